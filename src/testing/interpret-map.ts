import { keepValue } from "../aggregate/keep-value.ts";
import { SheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import { encodeKey, keySizeMax } from "../codec/key-codec.ts";
import { ValueEncoder } from "../codec/value-codec.ts";
import { jobOfInput } from "../job/define.ts";
import { copyKey } from "../job/descending.ts";
import type { Job } from "../job/job-plan.ts";
import type { Key } from "../job/key.ts";
import { isPlainObject } from "../job/plain-data.ts";
import type { Counters, SimulatedTask } from "./user-code.ts";
import { callUser, contextOf } from "./user-code.ts";

/** One emitted or resulting pair. */
export type Pair = readonly [key: Key, value: unknown];

/** A record and its place, as ctx.path and ctx.offset tell it. */
export interface PlacedRecord {
  readonly record: unknown;
  /** Index of the input it is of, the same in all of a task; left out for a job with one input. */
  readonly input?: number;
  readonly path: string;
  readonly offset: number;
}

/** What one map task emitted, per collection in the order of `Job.collections`. */
export type EmittedPairs = readonly (readonly Pair[])[];

/** Runs one map task over its records: setup, map, teardown. */
export async function interpretMap(
  whole: Job,
  index: number,
  records: readonly PlacedRecord[],
  counters: Counters,
): Promise<EmittedPairs> {
  const job = jobOfInput(whole, records[0]?.input);
  const task: SimulatedTask = { kind: "map", index, path: "", offset: 0, state: undefined };
  const context = contextOf(job, task, counters, () => {});
  const outputs: Pair[][] = job.collections.map(() => []);
  const open = { now: true };
  const emits = outputs.map((output) => emitTo(output, open));
  const emit: unknown = job.named ? namedEmits(job, emits) : emits[0];
  if (job.setup !== undefined) task.state = await callUser("setup", () => job.setup!(context));
  for (const { record, path, offset } of records) {
    task.path = path;
    task.offset = offset;
    await callUser(`map, record ${printValue(record)} at ${path}:${offset}`, async () => {
      if (job.map === undefined) emitRecord(record, emits[0]!, job.collections[0]!.mapOnly);
      else await emitReturned(await job.map(record, emit, context), job.named ? undefined : emits[0]);
    });
  }
  task.path = "";
  task.offset = 0;
  if (job.teardown !== undefined) await callUser("teardown", () => job.teardown!(context, emit));
  open.now = false;
  return outputs;
}

/** Without a map a record is a key; where nothing is grouped, an object is a value. */
function emitRecord(record: unknown, emit: EmitPair, mapOnly: boolean): void {
  if (mapOnly && isPlainObject(record)) emit(null, record);
  else emit(record as Key, undefined);
}

type EmitPair = (key: Key, value: unknown) => void;

function namedEmits(job: Job, emits: readonly EmitPair[]): Readonly<Record<string, EmitPair>> {
  return Object.fromEntries(job.collections.map((plan, i) => [plan.name, emits[i]!]));
}

/** Takes what the engine takes, as it is at the time of the emit: it is encoded then. */
function emitTo(output: Pair[], open: { now: boolean }): EmitPair {
  const encoder = new ValueEncoder();
  return (key, value) => {
    if (!open.now) {
      throw new SheafError("EMIT_LATE", `emit(${printValue(key)}) after the task ended`, {
        hint: "Await what emits later, or return its promise from map.",
      });
    }
    encodeKey(Buffer.allocUnsafe(keySizeMax(key)), 0, key);
    encoder.encode(value);
    output.push([copyKey(key), keepValue(value)]);
  };
}

/** Emits the pairs that map returned or yields. A map of a job with collections returns nothing. */
async function emitReturned(returned: unknown, emit: EmitPair | undefined): Promise<void> {
  if (returned === undefined) return;
  const isObject = typeof returned === "object" && returned !== null;
  const isList = isObject && (Symbol.iterator in returned || Symbol.asyncIterator in returned);
  if (!isList || emit === undefined) throw notPairs(returned);
  for await (const pair of returned as AsyncIterable<unknown>) {
    if (!Array.isArray(pair)) throw notPairs(pair);
    emit(pair[0] as Key, pair[1]);
  }
}

function notPairs(returned: unknown): SheafError {
  return new SheafError("VALUE_INVALID", `map gave ${printValue(returned)}, which is no [key, value] pair`, {
    hint: "Yield or return pairs (yield [word, 1]), or call emit and return nothing.",
  });
}
