import { decodeKey } from "../codec/key-codec.ts";
import { ValueDecoder } from "../codec/value-codec.ts";
import type { Aggregator, NumericState } from "../job/aggregator.ts";
import { plainKey } from "../job/descending.ts";
import { execOf } from "../job/exec.ts";
import type { CollectionPlan } from "../job/job-plan.ts";
import type { ReduceFunction } from "../job/job.ts";
import type { Key } from "../job/key.ts";
import { isSource } from "../job/reader.ts";
import { isIterator } from "../shuffle/cell-values.ts";
import { GroupReader } from "../shuffle/group-reader.ts";
import { mergeSources } from "../shuffle/merge-passes.ts";
import type { MergeStream } from "../shuffle/merge-stream.ts";
import { RecordCursor } from "../shuffle/record-cursor.ts";
import { readRunIndex } from "../shuffle/run-index.ts";
import { SegmentSource } from "../shuffle/run-reader.ts";
import type { RunSource } from "../shuffle/run-source.ts";
import { slotCount } from "../shuffle/table-collector.ts";
import { blockBytesFor } from "./collectors.ts";
import { lineProgramOf } from "./exec-map.ts";
import { reduceWithProgram, sortedLines } from "./exec-reduce.ts";
import { NativeFormat } from "./native-format.ts";
import type { TaskOutput } from "./result-output.ts";
import { openTaskOutput } from "./routed-output.ts";
import type { TaskSetting } from "./task-setting.ts";
import type { ReduceTaskSpec, TaskSuccess } from "./task-spec.ts";
import { PROGRESS_CELLS } from "./task-spec.ts";

/**
 * Runs one reduce attempt: merges the partition's runs, reduces its groups, writes its output files. Throws.
 */
export async function runReduce(
  setting: TaskSetting<ReduceTaskSpec>,
): Promise<Omit<TaskSuccess, "kind" | "stats" | "counters">> {
  const attempt = new ReduceAttempt(setting);
  try {
    return await attempt.run();
  } finally {
    attempt.close();
  }
}

class ReduceAttempt {
  readonly #setting: TaskSetting<ReduceTaskSpec>;
  readonly #plan: CollectionPlan;
  readonly #output: TaskOutput;
  #stream: MergeStream | undefined;
  #records = 0;
  #rawBytes = 0;

  constructor(setting: TaskSetting<ReduceTaskSpec>) {
    const { spec, job, settings } = setting;
    this.#setting = setting;
    this.#plan = job.collections[spec.collection]!;
    const outputs = spec.outputDirectory ?? spec.directory;
    this.#output = openTaskOutput(this.#plan, spec.collection, spec.partition, outputs, settings);
  }

  async run(): Promise<Omit<TaskSuccess, "kind" | "stats" | "counters">> {
    const { scene, stats, context } = this.#setting;
    const { aggregator, reduce } = this.#plan;
    scene.phase = "merge";
    const numeric = this.#plan.groupBy === undefined ? aggregator?.numeric : undefined;
    const stream = mergeSources(this.#sources(), {
      memory: this.#setting.memory,
      blockBytes: blockBytesFor(this.#setting.settings.memoryBytes),
      directory: this.#setting.spec.directory,
      identity: this.#identity(),
      ops: numeric?.ops,
      onProgress: () => this.#moved(),
    });
    this.#stream = stream;
    await this.#output.open();
    context.write = (key, value) => this.#output.write(plainKey(key), value);
    if (numeric !== undefined) await this.#numeric(stream, numeric);
    else if (aggregator !== undefined && this.#plan.groupBy !== undefined)
      await this.#fold(stream, aggregator);
    else if (aggregator !== undefined) await this.#mergeStates(stream, aggregator);
    else if (reduce === undefined) await this.#identityRecords(stream);
    else {
      const program = execOf(reduce);
      if (program === undefined) await this.#free(stream, reduce);
      else {
        scene.phase = "reduce";
        await reduceWithProgram(this.#setting, program, stream, this.#output, () => this.#moved());
      }
    }
    context.write = undefined;
    scene.phase = "write";
    scene.key = undefined;
    const parts = await this.#output.finish();
    stats.recordsIn = this.#records;
    stats.bytesIn = this.#rawBytes;
    stats.recordsOut = this.#output.records;
    for (const part of parts) if (part.kind === "output") stats.bytesOut += part.bytes;
    return { output: null, parts, keys: [], partitionBytes: [], pairs: [], hotKeys: [], badPath: null };
  }

  close(): void {
    this.#stream?.close();
    this.#output.discard();
  }

  #identity(): { readonly jobId: string; readonly task: number; readonly attempt: number } {
    const { settings, spec } = this.#setting;
    return { jobId: settings.jobId, task: spec.partition, attempt: spec.attempt };
  }

  /** The runs of this partition in (map task, run) order: the order that equal keys keep. */
  #sources(): RunSource[] {
    const { spec, settings } = this.#setting;
    const sources: RunSource[] = [];
    for (const input of spec.inputs) {
      if (input.path === null) continue;
      const index = readRunIndex(input.path, {
        identity: input.owner ?? { jobId: settings.jobId, task: input.task, attempt: input.attempt },
        place: { collection: spec.collection, partition: spec.partition },
        window: input.window,
      });
      for (const segment of index.segments) {
        sources.push(new SegmentSource(index, segment));
        this.#records += segment.records;
        this.#rawBytes += segment.rawBytes;
      }
    }
    return sources;
  }

  #moved(): void {
    const { progress } = this.#setting.services;
    progress[PROGRESS_CELLS.beat]! += 1;
    progress[PROGRESS_CELLS.bytesIn] = this.#stream?.bytesIn ?? 0;
    progress[PROGRESS_CELLS.recordsOut] = this.#output.records;
    progress[PROGRESS_CELLS.fraction] =
      this.#rawBytes === 0 ? 0 : (this.#stream?.bytesIn ?? 0) / this.#rawBytes;
  }

  #cursor(stream: MergeStream): RecordCursor {
    return new RecordCursor(this.#setting.memory, stream, () => {
      this.#moved();
      this.#setting.services.signal.throwIfAborted();
    });
  }

  /** Rows that the merge has already combined: one record a key. */
  async #numeric(stream: MergeStream, numeric: NumericState<unknown, unknown>): Promise<void> {
    const { memory, scene, stats, services } = this.#setting;
    const slots = slotCount(numeric.ops);
    const native = NativeFormat.of(
      this.#output,
      memory,
      printsAsInteger(this.#plan) ? numeric.ops : undefined,
    );
    const row = new Float64Array(slots);
    scene.phase = "reduce";
    for (let window = stream.next(); window !== null; window = stream.next()) {
      stats.groups += window.records;
      await native.write(window, (keyAt, keyLength, valueAt) => {
        const key = decodeKey(memory.bytes, keyAt, keyAt + keyLength);
        scene.key = key;
        for (let i = 0; i < slots; i++) row[i] = memory.bytes.readDoubleLE(valueAt + i * 8);
        this.#output.write(key, numeric.result(row, 0));
      });
      this.#moved();
      services.signal.throwIfAborted();
    }
  }

  /** Packed states of a group merge in run order. */
  async #mergeStates(stream: MergeStream, aggregator: Aggregator<unknown, unknown>): Promise<void> {
    const { memory, scene, stats } = this.#setting;
    const groups = new GroupReader(memory, this.#cursor(stream));
    scene.phase = "reduce";
    while (groups.nextGroup()) {
      scene.key = groups.key;
      stats.groups++;
      let state: unknown;
      let first = true;
      for (const packed of groups.values()) {
        const next = aggregator.unpack(packed);
        state = first ? next : aggregator.merge(state, next);
        first = false;
      }
      this.#output.write(groups.key, aggregator.result(state));
      if (this.#output.full) await this.#output.roll();
    }
  }

  /** With groupBy an aggregator gets the values themselves, in the order of the whole key. */
  async #fold(stream: MergeStream, aggregator: Aggregator<unknown, unknown>): Promise<void> {
    const { memory, scene, stats } = this.#setting;
    const groups = new GroupReader(memory, this.#cursor(stream), this.#plan.groupBy);
    scene.phase = "reduce";
    while (groups.nextGroup()) {
      scene.key = groups.key;
      stats.groups++;
      let state = aggregator.empty();
      for (const value of groups.values()) state = aggregator.add(state, value);
      this.#output.write(groups.key, aggregator.result(state));
      if (this.#output.full) await this.#output.roll();
    }
  }

  async #free(stream: MergeStream, reduce: ReduceFunction<Key, unknown, unknown>): Promise<void> {
    const { memory, scene, stats, context } = this.#setting;
    const groups = new GroupReader(memory, this.#cursor(stream), this.#plan.groupBy);
    scene.phase = "reduce";
    while (groups.nextGroup()) {
      const { key } = groups;
      scene.key = key;
      stats.groups++;
      const returned: unknown = reduce(key, groups.values(), context);
      if (returned !== undefined) await this.#results(key, returned);
      if (this.#output.full) await this.#output.roll();
    }
  }

  /** Writes what reduce returned: a value, a promise of one, or the values of a generator. */
  async #results(key: Key, returned: unknown): Promise<void> {
    const output = this.#output;
    if (typeof returned === "object" && returned !== null) {
      if (isIterator(returned)) {
        for (const value of returned) {
          output.write(key, value);
          if (output.full) await output.roll();
        }
        return;
      }
      if (Symbol.asyncIterator in returned) {
        for await (const value of returned as AsyncIterable<unknown>) {
          output.write(key, value);
          if (output.full) await output.roll();
        }
        return;
      }
      if ("then" in returned && typeof returned.then === "function") {
        const settled = await (returned as unknown as Promise<unknown>);
        if (settled !== undefined) await this.#results(key, settled);
        return;
      }
    }
    output.write(key, returned);
  }

  /** No reduce: the sorted records are the result. */
  async #identityRecords(stream: MergeStream): Promise<void> {
    const { memory, scene, stats, services, job } = this.#setting;
    scene.phase = "reduce";
    const asLines = sortedLines(this.#setting, this.#plan, this.#output);
    if (asLines !== undefined) {
      stats.groups = this.#records;
      return asLines(stream, () => this.#moved());
    }
    const sorted = lineProgramOf(job, this.#plan)?.sort !== undefined;
    const decoder = new ValueDecoder();
    // The kernel takes a newline for the end of a record: only lines themselves are sure to hold none.
    const lines = job.map === undefined && !isSource(job.input) && job.input.native?.kind === "lines";
    const native = NativeFormat.of(this.#output, memory, lines ? [] : undefined);
    for (let window = stream.next(); window !== null; window = stream.next()) {
      stats.groups += window.records;
      await native.write(window, (keyAt, keyLength, valueAt, valueLength) => {
        const found = decodeKey(memory.bytes, keyAt, keyAt + keyLength);
        // What it is sorted by comes before the key itself.
        const key = sorted ? (found as readonly Key[]).at(-1)! : found;
        scene.key = key;
        this.#output.write(key, decoder.decodeAt(memory.bytes, valueAt, valueLength));
      });
      this.#moved();
      services.signal.throwIfAborted();
    }
  }
}

/** Whether results are the rows' own integers: kernels print rows without asking the aggregator. */
function printsAsInteger({ aggregator }: CollectionPlan): boolean {
  const numeric = aggregator?.numeric;
  if (numeric === undefined || (aggregator?.kind !== "count" && aggregator?.kind !== "sum")) return false;
  const row = new Float64Array(slotCount(numeric.ops));
  row[0] = 3;
  return numeric.result(row, 0) === 3;
}
