import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { RunEvent } from "#src/engine/events.js";
import type { RunOptions } from "#src/engine/options.js";
import type { RunResult } from "#src/engine/run-result.js";
import { runnerFitFor } from "#src/pipeline/detect.js";
import { runnerAsked } from "#src/runners/runners.js";
import { packageRoot } from "../cli/support.ts";
import type { Case } from "./cases.ts";

/** What a run has made. */
interface Made {
  /** By name, all files of the output. */
  readonly files: ReadonlyMap<string, Buffer>;
  readonly told: Pick<RunResult, "counters" | "badRecords"> & { readonly stats: readonly number[] };
}

/** Runs that others are compared with, each once in a process, one after the other. */
const inline = new Map<Case, Promise<Made>>();
let lastInline: Promise<unknown> = Promise.resolve();

/**
 * Runs a case at a place, and on one thread: every byte of every file must be the same, and every counter.
 * @param options where
 * @param parent name of the directory that the output is made in
 */
export async function sameAsInline(one: Case, options: RunOptions, parent = "place"): Promise<void> {
  if (!inline.has(one)) {
    const own = lastInline.then(() => made(one, { on: "inline" }, "place"));
    lastInline = own.catch(() => undefined);
    inline.set(one, own);
  }
  const expected = await inline.get(one)!;
  const found = await made(one, options, parent);
  assert.deepEqual([...found.files.keys()], [...expected.files.keys()]);
  for (const [name, bytes] of expected.files)
    assert.ok(found.files.get(name)!.equals(bytes), `${name} differs`);
  assert.deepEqual(found.told, expected.told);
  assert.ok(Object.keys(expected.told.counters).length >= (one.counters ?? 0));
  assert.equal(expected.told.badRecords, one.bad ?? 0);
}

async function made(one: Case, where: RunOptions, parent: string): Promise<Made> {
  const root = mkdtempSync(join(tmpdir(), "sheaf-case-"));
  const output = join(root, parent, "out");
  mkdirSync(dirname(output));
  const said: string[] = [];
  const onEvent = (event: RunEvent): void => {
    if (event.kind === "warning") said.push(event.message);
  };
  try {
    const { file, inputs } = prepared(one, root);
    const options = {
      mappers: 2,
      partitions: 2,
      ...one.options,
      inputs,
      output,
      stateDirectory: join(root, "state"),
      onEvent,
      ...where,
    } as RunOptions;
    const runner = await runnerFitFor(file, options, await runnerAsked(options));
    const result = await runner.run(file, options);
    assert.equal(result.status, "SUCCEEDED", [result.error?.report, ...said].join("\n"));
    assert.deepEqual(readdirSync(dirname(output)), ["out"]);
    const { counters, badRecords, stats } = result;
    const told = { counters, badRecords, stats: [stats.recordsIn, stats.emitted, stats.groups] };
    return { files: filesBelow(output, root), told };
  } finally {
    rmSync(root, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** The case as files. */
function prepared(one: Case, root: string): { readonly file: string; readonly inputs: string[] } {
  for (const [name, content] of Object.entries(one.files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), content);
  }
  const inputs = (one.inputs ?? Object.keys(one.files)).map((text) => {
    const [, input = "", path = ""] = /^(\w+(?:\.\w+)?=)?(.*)$/.exec(text)!;
    return `${input}${join(root, path)}`;
  });
  if ("text" in one.job) {
    writeFileSync(join(root, "case.ts"), one.job.text);
    return { file: join(root, "case.ts"), inputs };
  }
  const examples = join(packageRoot, "examples");
  const { example, with: others } = one.job;
  if (others === undefined) return { file: join(examples, example), inputs };
  // It writes beside itself.
  for (const name of [example, ...others]) copyFileSync(join(examples, name), join(root, name));
  return { file: join(root, example), inputs };
}

/** What is said of inputs names them; each run has its own directory. */
function filesBelow(output: string, root: string): ReadonlyMap<string, Buffer> {
  const names = readdirSync(output, { recursive: true, encoding: "utf8" }).sort();
  const files = names.filter((name) => statSync(join(output, name)).isFile());
  const read = (name: string): Buffer => {
    const bytes = readFileSync(join(output, name));
    return bytes.includes(root) ? Buffer.from(bytes.toString("utf8").replaceAll(root, "ROOT")) : bytes;
  };
  return new Map(files.map((name) => [name, read(name)]));
}
