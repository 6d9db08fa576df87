import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { systemClock } from "#src/base/clock.js";
import type { Random } from "#src/base/random.js";
import { seededRandom } from "#src/base/random.js";
import type { ReduceInputs } from "#src/exchange/fetch-reduce.js";
import type { FetchLimits } from "#src/exchange/fetch-stream.js";
import type { ShuffleNodeOptions, ShuffleNode } from "#src/exchange/shuffle-node.js";
import { startShuffleNode } from "#src/exchange/shuffle-node.js";
import type { MapOutputs } from "#src/protocol/task-messages.js";
import { readRunIndex } from "#src/shuffle/run-index.js";
import { SegmentSource } from "#src/shuffle/run-reader.js";
import { RunWriter } from "#src/shuffle/run-writer.js";
import type { ReduceInput } from "#src/task/task-spec.js";

export const job = "job-of-the-test";
export const shuffleKey = "sheaf_j_0123456789012345678901234567890123456789012";

export const quickLimits: Partial<FetchLimits> = {
  pauseMs: 1,
  connectMs: 2_000,
  stallMs: 10_000,
  stallBytes: 1_000,
};

export type OutputEntry = MapOutputs["entries"][number];

export function tempDir(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "sheaf-exchange-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Blocks of one partition of one map, by run. */
export type Content = readonly (readonly Buffer[])[];

/** Random blocks: runs x blocks of some bytes. */
export function randomContent(random: Random, runs: number, blocks: number, bytes: number): Content {
  return Array.from({ length: runs }, () =>
    Array.from({ length: blocks }, () => {
      const block = Buffer.alloc(1 + random.below(bytes));
      for (let i = 0; i < block.length; i++) block[i] = random.below(256);
      return block;
    }),
  );
}

/** The list of map outputs as the coordinator keeps it. */
export class OutputList {
  readonly entries: OutputEntry[] = [];
  reads = 0;

  put(entry: Partial<OutputEntry> & { readonly task: number }): void {
    this.entries.push({ attempt: 1, agent: "b", incarnation: 1, address: null, bytes: 1, ...entry });
  }

  read = async (_job: string, after: number): Promise<MapOutputs> => {
    this.reads++;
    return { version: this.entries.length, entries: this.entries.slice(after) };
  };
}

/** One agent's part of the shuffle, with its directory. */
export interface Machine {
  readonly node: ShuffleNode;
  /** The job's directory. */
  readonly directory: string;
  /** Writes, and begins to serve, the output of a map attempt: partition by partition. Gives its path. */
  map(task: number, attempt: number, partitions: readonly Content[], as?: { readonly job: string }): string;
}

/** Starts it, and prepares the job on it, which has so many maps. */
export async function machine(
  t: TestContext,
  maps: number,
  options: Partial<ShuffleNodeOptions> & { readonly list?: OutputList },
): Promise<Machine> {
  const { list = new OutputList(), ...given } = options;
  const random = seededRandom(7);
  const node = await startShuffleNode({
    agent: "a",
    incarnation: () => 1,
    tls: null,
    clock: systemClock,
    random: () => random.next(),
    log: () => {},
    outputs: list.read,
    ...given,
    limits: { ...quickLimits, ...given.limits },
  });
  t.after(() => node.close());
  const directory = join(tempDir(t), "job");
  mkdirSync(directory, { mode: 0o700 });
  node.prepared({ job, directory, shuffleKey, maps, expected: [] });
  return {
    node,
    directory,
    map: (task, attempt, partitions, as = { job }) => {
      const at = join(directory, `map-${task}.${attempt}`);
      mkdirSync(at);
      const path = join(at, "map.run");
      writeRun(path, { jobId: as.job, task, attempt }, partitions);
      node.add(job, { task, attempt, path });
      return path;
    },
  };
}

export function writeRun(
  path: string,
  identity: { readonly jobId: string; readonly task: number; readonly attempt: number },
  partitions: readonly Content[],
): void {
  const writer = new RunWriter(path, identity);
  const runs = Math.max(0, ...partitions.map((content) => content.length));
  for (let run = 0; run < runs; run++) {
    for (const [partition, content] of partitions.entries()) {
      writer.begin(0, partition, run);
      for (const block of content[run] ?? []) writer.block(block, 1);
    }
  }
  writer.finish();
}

export interface Asked {
  readonly partition?: number;
  readonly version: number;
  readonly signal?: AbortSignal;
  readonly moved?: () => void;
}

export function ask(node: ShuffleNode, task: number, asked: Asked): Promise<ReduceInputs> {
  return node.inputs({
    job,
    task,
    collection: 0,
    partition: asked.partition ?? 0,
    version: asked.version,
    signal: asked.signal ?? new AbortController().signal,
    moved: asked.moved ?? (() => {}),
  });
}

/** What the reduce will read of an input. */
export function contentOf(input: ReduceInput, partition = 0): Content {
  const { path, task, attempt, window } = input;
  const place = { collection: 0, partition };
  const index = readRunIndex(path!, { identity: { jobId: job, task, attempt }, place, window });
  return index.segments.map((segment) => {
    const source = new SegmentSource(index, segment);
    const blocks: Buffer[] = [];
    for (let block = source.next(); block !== null; block = source.next()) blocks.push(Buffer.from(block));
    return blocks;
  });
}

/** All inputs are there, and hold just this, by map task. */
export function assertInputs(inputs: ReduceInputs, expected: readonly Content[], partition = 0): void {
  assert.equal(inputs.kind, "inputs", JSON.stringify(inputs));
  if (inputs.kind !== "inputs") return;
  const filled = expected.map((content) => content.filter((run) => run.length > 0));
  const there = new Map(inputs.inputs.map((input) => [input.task, contentOf(input, partition)]));
  assert.deepEqual(
    inputs.inputs.map(({ task }) => task),
    inputs.inputs.map(({ task }) => task).sort((a, b) => a - b),
  );
  assert.equal(there.size, inputs.inputs.length, "a map came twice");
  for (const [task, content] of filled.entries()) assert.deepEqual(there.get(task) ?? [], content);
  assert.ok(there.size <= filled.length);
}

/** A file that is none of a job. */
export function strayFile(directory: string, name: string): string {
  const path = join(directory, name);
  writeFileSync(path, "not to be served");
  return path;
}
