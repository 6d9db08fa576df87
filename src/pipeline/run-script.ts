import { rmSync, writeFileSync } from "node:fs";
import { lstat, mkdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { crcText } from "../base/crc32.ts";
import { SheafError } from "../base/errors.ts";
import type { CommittedPart } from "../engine/events.ts";
import { resultOf } from "../engine/result.ts";
import type { RunResult } from "../engine/run-result.ts";
import { runProgram } from "../exec/command.ts";
import { signalGroup } from "../exec/launch.ts";
import { workerEnvironment } from "../security/worker-environment.ts";
import { nodeOutputs, withPlaces } from "../steps/node-job.ts";
import type { ScriptSpec } from "../steps/script.ts";
import { commitDirectory, createTempOutput, discardTempOutput } from "../storage/atomic-output.ts";
import { crc32cOfFile } from "../storage/content-check.ts";
import { holderOf, isHeldBy, readHolder } from "../storage/file-lock.ts";
import { emptyStats } from "../task/task-spec.ts";
import { resultOfThrown, writeManifest } from "./step-output.ts";

export interface ScriptRun {
  readonly name: string;
  readonly spec: ScriptSpec;
  /** The pipeline's: it runs in its directory. */
  readonly file: string;
  /** Of this run of the step. */
  readonly directory: string;
  /** What it reads of steps, by name. */
  readonly inputs: Readonly<Record<string, string>>;
  readonly outputs: readonly string[];
  readonly signal: AbortSignal | undefined;
  log(stream: "stdout" | "stderr", text: string): void;
}

const pidName = "script.pid";

/**
 * Runs the script, and makes what it has written the output of the step, at once.
 * @param elsewhere runs it on other machines, and puts what it has written there into a directory; answers
 * with how that has ended when it was not well. Left out: it runs here
 */
export async function runScript(
  script: ScriptRun,
  elsewhere?: (out: string) => Promise<RunResult | null>,
): Promise<RunResult> {
  const { name, directory, outputs } = script;
  const startedMs = performance.now();
  await mkdir(directory, { recursive: true });
  const temp = await createTempOutput(join(directory, "files"));
  const stats = { ...emptyStats };
  const known = { jobId: "", name, stats };
  try {
    const ended = elsewhere === undefined ? await execute(script, temp) : await elsewhere(temp);
    if (ended) {
      await discardTempOutput(temp);
      return ended;
    }
    stats.elapsedMs = performance.now() - startedMs;
    if (script.signal?.aborted === true) return resultOf({ ...known, status: "CANCELLED" });
    const parts = await writtenParts(temp, outputs);
    stats.bytesOut = parts.reduce((sum, { bytes }) => sum + bytes, 0);
    await writeManifest(temp, { name, counters: {}, badRecords: 0 }, parts);
    await commitDirectory(temp, join(directory, "files"));
    return resultOf({ ...known, status: "SUCCEEDED", parts });
  } catch (error) {
    stats.elapsedMs = performance.now() - startedMs;
    await discardTempOutput(temp);
    const { signal } = script;
    return resultOfThrown(error, known, {
      signal,
      code: "USER_CODE",
      hint: "Look at the step's log: sheaf show @.",
    });
  }
}

async function execute(
  { spec, file, inputs, directory, signal, log }: ScriptRun,
  out: string,
): Promise<void> {
  const base = dirname(file);
  const places = { ...(await pathsOf(spec, file)), ...inputs };
  // It may have been aborted, while the files were looked at.
  if (signal?.aborted === true) return;
  try {
    await runProgram({
      argv: withPlaces(spec.run, places, out),
      directory: base,
      environment: { ...workerEnvironment(process.env), ...spec.env },
      timeoutMs: spec.timeoutMs,
      exitCodes: spec.exitCodes,
      signal,
      log,
      started: (pid) => notePid(directory, pid),
    });
  } finally {
    rmSync(join(directory, pidName), { force: true });
  }
}

/** The inputs that are paths beside the pipeline's file, by name. @throws SheafError INPUT_MISSING */
export async function pathsOf({ paths }: ScriptSpec, file: string): Promise<Record<string, string>> {
  const found = Object.entries(paths).map(([one, path]) => [one, resolve(dirname(file), path)] as const);
  for (const [one, path] of found) {
    await lstat(path).catch(() => {
      throw new SheafError("INPUT_MISSING", `in.${one}: there is no ${path}`, {
        hint: "Paths of a script lie beside the pipeline's file.",
      });
    });
  }
  return Object.fromEntries(found);
}

/** Which process this run has started, so that whoever goes on after a crash can end it. */
function notePid(directory: string, pid: number): void {
  writeFileSync(join(directory, pidName), JSON.stringify(holderOf(pid)));
}

/** Ends the script that a run which was killed has left, if it is sure to be that which still runs. */
export function endLeftScript(directory: string): void {
  const holder = readHolder(join(directory, pidName));
  if (holder !== null && holder.began !== null && isHeldBy(holder)) signalGroup(holder.pid, "SIGKILL");
}

/** The files that the script has written: each output, and nothing else. */
async function writtenParts(directory: string, outputs: readonly string[]): Promise<CommittedPart[]> {
  const parts: CommittedPart[] = [];
  const counts = new Map<string, number>();
  for (const { output: collection, below, path } of nodeOutputs(directory, outputs)) {
    const partition = counts.get(collection) ?? 0;
    counts.set(collection, partition + 1);
    const { bytes, crc32c } = await crc32cOfFile(path);
    const file = join(collection, below);
    parts.push({ file, collection, partition, bytes, records: 0, crc32c: crcText(crc32c) });
  }
  return parts;
}
