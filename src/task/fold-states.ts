import { SheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { cutText, printValue } from "../base/print-value.ts";
import { decodeKey, printKey } from "../codec/key-codec.ts";
import { jsonText } from "../format/field-text.ts";
import { plainKey } from "../job/descending.ts";
import type { Job } from "../job/job-plan.ts";
import type { Key } from "../job/key.ts";
import { isSource } from "../job/reader.ts";
import type { SourceProgress } from "../job/reader.ts";
import { LeadingStates, readStates, StatesWriter, tellsStates } from "./told-states.ts";

/** What is to be merged, as map tasks have told it. */
export interface FoldRequest {
  /** What an earlier answer had as `merged`; null at first. */
  readonly merged: Uint8Array | null;
  /** Of tasks that have finished since: merged for good. */
  readonly finished: readonly Uint8Array[];
  /** Of tasks that run. */
  readonly running: readonly Uint8Array[];
  readonly progress: SourceProgress;
  /** Whether the source's stop condition is to be asked. */
  readonly asks: boolean;
}

/** The keys of one collection that lead, and what has come of them so far. */
export interface PartialCollection {
  readonly name: string;
  /** Keys known. */
  readonly keys: number;
  /**
   * There are more, of which nothing is known here: the results are then those of the tasks that a key led
   * in, so far.
   */
  readonly more: boolean;
  /** At most 100, those of most values first. `value`: plain JSON data; a text where it is too long. */
  readonly top: readonly { readonly key: unknown; readonly value: unknown }[];
}

export interface FoldAnswer {
  /** All that has finished. */
  readonly merged: Uint8Array;
  readonly collections: readonly PartialCollection[];
  /** The source's stop condition is true. */
  readonly stop: boolean;
}

/**
 * Merges the states of map tasks, and asks the source's stop condition of the results.
 * @throws whatever the job's own code throws; SheafError USER_CODE for an answer that is no boolean
 */
export function foldStates(job: Job, request: FoldRequest): FoldAnswer {
  const finished = mergeAll(job, [request.merged ?? new Uint8Array(), ...request.finished]);
  const merged = bytesOf(finished);
  const all = request.running.length === 0 ? finished : mergeAll(job, [merged, ...request.running]);
  const results = all.flatMap((one) => (one === null ? [] : [resultsOf(one)]));
  const stop = request.asks && results.some(({ pairs }) => pairs.length > 0) && ask(job, results, request);
  return { merged, collections: results.map((one) => shown(one)), stop };
}

interface Merged {
  readonly name: string;
  readonly states: LeadingStates;
  readonly result: (state: unknown) => unknown;
  readonly pack: (state: unknown) => unknown;
}

interface Results {
  readonly name: string;
  readonly keys: number;
  readonly more: boolean;
  readonly pairs: readonly (readonly [Key, unknown])[];
}

/** By collection; null for one of which no states are told. */
function mergeAll(job: Job, told: readonly Uint8Array[]): (Merged | null)[] {
  const merged = job.collections.map((plan): Merged | null => {
    if (!tellsStates(plan)) return null;
    const aggregator = plan.aggregator!;
    return {
      name: plan.name,
      states: new LeadingStates(aggregator, limits.liveKeysMergedMax),
      result: (state) => aggregator.result(state),
      pack: (state) => aggregator.pack(state),
    };
  });
  for (const bytes of told) {
    const cut = (collection: number): void => {
      const one = merged[collection];
      if (one !== null && one !== undefined) one.states.isCut = true;
    };
    for (const { collection, key, weight, packed } of readStates(bytes, cut))
      merged[collection]?.states.merge(key, weight, packed);
  }
  return merged;
}

function bytesOf(merged: readonly (Merged | null)[]): Uint8Array {
  const writer = new StatesWriter(limits.liveMergedBytesMax);
  for (const [collection, one] of merged.entries()) {
    if (one === null) continue;
    for (const { key, weight, state } of one.states.leading())
      writer.add({ collection, key, weight, packed: one.pack(state) });
    if (one.states.isCut) writer.cut(collection);
  }
  return writer.finish();
}

function resultsOf({ name, states, result }: Merged): Results {
  const pairs: [Key, unknown][] = [];
  for (const { key, state } of states.leading())
    pairs.push([plainKey(decodeKey(key, 0, key.length)), result(state)]);
  return { name, keys: pairs.length, more: states.isCut, pairs };
}

function shown({ name, keys, more, pairs }: Results): PartialCollection {
  const top: { key: unknown; value: unknown }[] = [];
  let room = limits.liveEventCharsMax;
  for (const [key, value] of pairs) {
    const entry = { key: plainJson(key), value: plainJson(value) };
    room -= JSON.stringify(entry).length;
    if (top.length === limits.liveKeysShownMax || room < 0) break;
    top.push(entry);
  }
  return { name, keys, more, top };
}

/** As JSON writes it: what has no form there, or a long one, is a text. */
function plainJson(value: unknown): unknown {
  try {
    const text = jsonText(value);
    if (text.length <= limits.liveValueCharsMax) return JSON.parse(text) as unknown;
    return cutText(text, limits.liveValueCharsMax);
  } catch {
    return cutText(printValue(value), limits.liveValueCharsMax);
  }
}

function ask(job: Job, results: readonly Results[], { progress }: FoldRequest): boolean {
  const { input } = job;
  if (!isSource(input) || input.until === undefined) return false;
  const byKey = results.map(({ name, pairs }) => [name, named(pairs)] as const);
  const partial = job.named ? Object.fromEntries(byKey) : byKey[0]![1];
  const answer: unknown = input.until(partial, progress);
  if (typeof answer === "boolean") return answer;
  const isLater = typeof answer === "object" && answer !== null && "then" in answer;
  throw new SheafError("USER_CODE", `until returned ${isLater ? "a promise" : printValue(answer)}`, {
    hint: "Return true to stop, false to go on, at once: until: (partial) => partial.rtp.ci95 < 0.001.",
  });
}

/** Without a prototype: a key may be called "constructor". */
function named(pairs: readonly (readonly [Key, unknown])[]): Record<string, unknown> {
  const results = Object.create(null) as Record<string, unknown>;
  for (const [key, value] of pairs)
    results[typeof key === "string" ? key : printKey(key)] = withoutNull(value);
  return results;
}

/** What is not known yet compares with nothing: null would be less than 0.001. */
function withoutNull(value: unknown): unknown {
  if (value === null) return Number.NaN;
  if (typeof value !== "object" || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, withoutNull(member)]));
}
