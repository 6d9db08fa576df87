import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { MiB } from "../base/size.ts";
import { decodeKey } from "../codec/key-codec.ts";
import { type ExecPlan, execOf } from "../job/exec.ts";
import type { CollectionPlan, Job } from "../job/job-plan.ts";
import { partitionOfFields } from "../job/key-fields.ts";
import { partitionOf } from "../kernel/typescript/hash.ts";
import type { TaskMemory } from "../shuffle/memory.ts";
import { mergeSources } from "../shuffle/merge-passes.ts";
import type { Partitioning } from "../shuffle/partitioning.ts";
import { RecordCursor } from "../shuffle/record-cursor.ts";
import { runDigest } from "../shuffle/run-fingerprint.ts";
import { readRunIndex, type RunIndex } from "../shuffle/run-index.ts";
import { SegmentSource } from "../shuffle/run-reader.ts";
import { RunWriter } from "../shuffle/run-writer.ts";
import { varintSize } from "../shuffle/varint.ts";
import { blockBytesFor, partitioningOf } from "./collectors.ts";
import { writtenKey } from "./exec-pair-feed.ts";
import type { TaskSetting } from "./task-setting.ts";
import { type KeptMap, type MapTaskSpec, PROGRESS_CELLS } from "./task-spec.ts";

/** Records held until they are written as a run. */
const HELD_BYTES = 16 * MiB;

/**
 * Writes what an earlier run has kept of a map anew, each pair in the partition where this run wants it: the
 * shuffle's bytes are read and written once, nothing is mapped. Equal keys keep their order.
 * @throws SheafError BLOCK_CORRUPT; PARTITION_INVALID and whatever the job's own partition function throws
 */
export function repartition(setting: TaskSetting<MapTaskSpec>, kept: KeptMap): KeptMap {
  const { job, settings, spec, memory } = setting;
  if (kept.run === null) return kept;
  const index = readRunIndex(kept.run.path, { identity: kept.run.owner });
  const owner = { jobId: settings.jobId, task: spec.index, attempt: spec.attempt };
  const path = join(spec.directory, "map.run");
  const writer = new RunWriter(path, owner);
  try {
    for (const collection of job.collections.keys()) moveCollection(setting, index, collection, writer);
    writer.finish();
  } catch (error) {
    writer.abandon();
    throw error;
  }
  memory.reset();
  const { partitions, bounds } = settings;
  const partitionBytes = partitions.map((count) => Array.from({ length: count }, () => 0));
  const pairs = partitions.map(() => 0);
  for (const segment of writer.segments) {
    partitionBytes[segment.collection]![segment.partition]! += segment.length;
    pairs[segment.collection]! += segment.records;
  }
  return { ...kept, run: { path, owner, ...runDigest(path) }, partitions, bounds, partitionBytes, pairs };
}

function moveCollection(
  setting: TaskSetting<MapTaskSpec>,
  index: RunIndex,
  collection: number,
  writer: RunWriter,
): void {
  const { job, settings, spec, memory, services } = setting;
  const plan = job.collections[collection]!;
  // Equal keys lie in one partition: those of earlier runs come first.
  const segments = index.segments
    .filter((segment) => segment.collection === collection)
    .toSorted((a, b) => a.run - b.run || a.partition - b.partition);
  if (segments.length === 0) return;
  const directory = join(spec.directory, `repartition-${collection}`);
  mkdirSync(directory);
  memory.reset();
  const blockBytes = blockBytesFor(settings.memoryBytes);
  const beat = (): void => {
    services.progress[PROGRESS_CELLS.beat]! += 1;
    services.signal.throwIfAborted();
  };
  const stream = mergeSources(
    segments.map((segment) => new SegmentSource(index, segment)),
    {
      memory,
      blockBytes,
      directory,
      identity: { jobId: settings.jobId, task: spec.index, attempt: spec.attempt },
      ops: plan.groupBy === undefined ? plan.aggregator?.numeric?.ops : undefined,
      onProgress: beat,
    },
  );
  try {
    const cursor = new RecordCursor(memory, stream, beat);
    const partition = partitionFinder(
      partitioningOf(plan, collection, settings),
      memory,
      programOf(job, plan),
    );
    const held = new HeldRecords(settings.partitions[collection]!, blockBytes, collection, writer);
    while (cursor.advance()) {
      const { keyAt, keyLength, valueAt, valueLength } = cursor;
      const start = keyAt - varintSize(keyLength) - varintSize(valueLength);
      held.add(partition(keyAt, keyLength), memory.bytes.subarray(start, valueAt + valueLength));
    }
    held.flush();
  } finally {
    stream.close();
  }
}

/** The program whose keys are spread by their fields; undefined where none are. */
function programOf(job: Job, { partition }: CollectionPlan): ExecPlan | undefined {
  if (partition === undefined || !("fields" in partition)) return undefined;
  // Where a job has several, they are alike in this.
  return execOf(job.inputs.length > 0 ? job.inputs[0]!.map : job.map);
}

function partitionFinder(
  partitioning: Partitioning,
  memory: TaskMemory,
  program: ExecPlan | undefined,
): (keyAt: number, keyLength: number) => number {
  const { partitions } = partitioning;
  switch (partitioning.kind) {
    case "hash":
      return (keyAt, keyLength) => partitionOf(memory.heap.kernels.hashKey(keyAt, keyLength), partitions);
    case "range": {
      let at = 0;
      // Keys come in order.
      return (keyAt, keyLength) => {
        for (; at < partitioning.bounds.length; at++) {
          const bound = partitioning.bounds[at]!;
          if (memory.bytes.compare(bound, 0, bound.length, keyAt, keyAt + keyLength) < 0) break;
        }
        return at;
      };
    }
    case "each":
      return (keyAt, keyLength) => {
        const to = keyAt + keyLength;
        const written = program && writtenKey(memory.bytes, keyAt, to, program);
        if (program === undefined || written === undefined)
          return partitioning.choose(memory, keyAt, keyLength, decodeKey(memory.bytes, keyAt, to));
        const { partitionBy, keySeparator } = program;
        return partitionOfFields(written, 0, written.length, partitionBy, keySeparator, partitions);
      };
  }
}

/** Records in order, to be written partition by partition, as runs of as much as is held. */
class HeldRecords {
  readonly #blockBytes: number;
  readonly #collection: number;
  readonly #writer: RunWriter;
  /** By partition: where each record begins and ends. */
  readonly #places: number[][];
  #bytes = Buffer.allocUnsafe(HELD_BYTES);
  #length = 0;
  #run = 0;

  constructor(partitions: number, blockBytes: number, collection: number, writer: RunWriter) {
    this.#blockBytes = blockBytes;
    this.#collection = collection;
    this.#writer = writer;
    this.#places = Array.from({ length: partitions }, () => []);
  }

  add(partition: number, record: Buffer): void {
    if (this.#length + record.length > this.#bytes.length) {
      this.flush();
      if (record.length > this.#bytes.length) this.#bytes = Buffer.allocUnsafe(record.length);
    }
    record.copy(this.#bytes, this.#length);
    this.#places[partition]!.push(this.#length, this.#length + record.length);
    this.#length += record.length;
  }

  flush(): void {
    if (this.#length === 0) return;
    for (const [partition, places] of this.#places.entries()) {
      if (places.length > 0) this.#write(partition, places);
      places.length = 0;
    }
    this.#length = 0;
    this.#run++;
  }

  #write(partition: number, places: readonly number[]): void {
    const writer = this.#writer;
    writer.begin(this.#collection, partition, this.#run);
    let block: Buffer[] = [];
    let size = 0;
    for (let i = 0; i < places.length; i += 2) {
      const record = this.#bytes.subarray(places[i], places[i + 1]);
      if (size > 0 && size + record.length > this.#blockBytes) {
        writer.block(Buffer.concat(block, size), block.length);
        block = [];
        size = 0;
      }
      block.push(record);
      size += record.length;
    }
    writer.block(Buffer.concat(block, size), block.length);
  }
}
