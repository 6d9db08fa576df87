import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { limits } from "../base/limits.ts";
import type { Forecast } from "./forecast.ts";
import type { JobPlan } from "./plan-job.ts";

/*
 * What `sheaf plan` has predicted is kept beside the history, so that a run of the same code over the same
 * files can show it beside what came of it. Nothing depends on it: what cannot be read or written is none.
 */

/** What a prediction is for. */
export interface PlannedFor {
  /** Content hash of the bundle; null: nothing is known of the code. */
  readonly code: string | null;
  readonly params: Readonly<Record<string, unknown>>;
  readonly sample: number;
  readonly plan: Pick<JobPlan, "paths" | "bytes">;
}

/** Stands for the plan of a run on a cluster, of whose files the client knows only how they were named. */
export function plannedElsewhere(inputs: readonly string[], cwd: string, bytes: number): PlannedFor["plan"] {
  return { paths: ["on a cluster", cwd, ...inputs], bytes };
}

/** Never throws. */
export function keepForecast(state: string, about: PlannedFor, forecast: Forecast): void {
  try {
    const name = fileOf(about);
    if (name === null) return;
    const directory = join(state, DIRECTORY);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const path = join(directory, name);
    writeFileSync(`${path}.${process.pid}`, JSON.stringify(forecast), { mode: 0o600 });
    renameSync(`${path}.${process.pid}`, path);
    removeOldest(directory);
  } catch {
    // It would only have been shown.
  }
}

/** null when none was kept. Never throws. */
export function keptForecast(state: string, about: PlannedFor): Forecast | null {
  const directory = join(state, DIRECTORY);
  try {
    // Most have never asked for one: then no name need be made of all of the input's paths.
    if (!existsSync(directory)) return null;
    const name = fileOf(about);
    if (name === null) return null;
    const kept = JSON.parse(readFileSync(join(directory, name), "utf8")) as Forecast;
    return typeof kept.elapsedMs?.expected === "number" ? kept : null;
  } catch {
    return null;
  }
}

const DIRECTORY = "plans";

function fileOf({ code, params, sample, plan }: PlannedFor): string | null {
  if (code === null) return null;
  const values = Object.entries(params).sort(([a], [b]) => (a < b ? -1 : 1));
  const text = JSON.stringify([1, code, values, sample, plan.paths, plan.bytes], (_, value: unknown) =>
    typeof value === "bigint" ? `${value}n` : value,
  );
  return `${createHash("sha256").update(text).digest("hex").slice(0, 32)}.json`;
}

function removeOldest(directory: string): void {
  const names = readdirSync(directory);
  if (names.length <= limits.jobsKept) return;
  const byAge = names
    .map((name) => ({ path: join(directory, name), ms: statSync(join(directory, name)).mtimeMs }))
    .sort((a, b) => a.ms - b.ms);
  for (const { path } of byAge.slice(0, names.length - limits.jobsKept)) rmSync(path, { force: true });
}
