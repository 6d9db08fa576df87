import { copyValue, keepValue } from "../aggregate/keep-value.ts";
import { isSheafError, SheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import type { Random } from "../base/random.ts";
import type { Aggregator } from "../job/aggregator.ts";
import { copyKey, plainKey } from "../job/descending.ts";
import type { CollectionPlan, Job } from "../job/job-plan.ts";
import { compareKeys } from "../job/key-order.ts";
import type { Key } from "../job/key.ts";
import { StreamedValues } from "../job/streamed-values.ts";
import type { ByteSink, Encoder } from "../job/writer.ts";
import type { Pair } from "./interpret-map.ts";
import type { Counters, SimulatedTask } from "./user-code.ts";
import { answersOf, callUser, contextOf } from "./user-code.ts";

/** How a run goes about what may not change its result. */
export interface ReducePlan {
  readonly partitions: number;
  /** Decides all that follows. */
  readonly random: Random;
  /** Combine at random places: within map tasks and when merging. */
  readonly combine: boolean;
  /** Hand the values of a key over in a random order. */
  readonly shuffle: boolean;
}

/** The values of one whole key, in (map task, emit) order; `parts` keeps those of each map task apart. */
interface KeyValues {
  readonly key: Key;
  readonly parts: unknown[][];
}

/** The keys that one call of reduce is for: one, or with groupBy those with the same prefix. */
interface Group {
  readonly key: Key;
  readonly members: KeyValues[];
}

/**
 * Runs shuffle and reduce of one collection, in the plainest way there is, and returns the results: per
 * partition, in key order. `outputs` are the pairs of each map task.
 */
export async function interpretReduce(
  job: Job,
  collection: CollectionPlan,
  outputs: readonly (readonly Pair[])[],
  plan: ReducePlan,
  counters: Counters,
): Promise<Pair[]> {
  const results = new TakenResults(collection);
  if (collection.mapOnly) {
    for (const [key, value] of outputs.flat()) results.add(key, value);
    return results.pairs;
  }
  const partitions = partition(collection, gather(outputs), plan);
  for (const [index, keys] of partitions.entries()) {
    const task: SimulatedTask = { kind: "reduce", index, path: "", offset: 0, state: undefined };
    const emit = (key: Key, value: unknown): void => results.add(key, value);
    const context = contextOf(job, task, counters, emit);
    for (const group of groupKeys(collection, keys)) {
      const where = `reduce, key ${printValue(group.key)}`;
      if (collection.aggregator !== undefined) {
        const value = aggregate(collection.aggregator, group, plan);
        results.add(group.key, collection.aggregator.result(value));
        continue;
      }
      const values = await valuesOf(collection, group, plan);
      if (collection.reduce === undefined) {
        for (const [key, value] of values) results.add(key, value);
        continue;
      }
      const stream = once(
        "reduce",
        values.map(([, value]) => value),
      );
      const answer = await callUser(where, async () =>
        answersOf(collection.reduce!(copyKey(plainKey(group.key)), stream, context)),
      );
      for (const value of answer) results.add(group.key, value);
    }
  }
  return results.pairs;
}

/** Copies of results that the job's writer takes; without one, of plain data. */
class TakenResults {
  readonly pairs: Pair[] = [];
  readonly #encoder: Encoder<Key, unknown> | undefined;

  constructor({ output, mapOnly }: CollectionPlan) {
    this.#encoder = output?.encoder({ mapOnly });
  }

  /** @throws SheafError VALUE_INVALID naming the key */
  add(key: Key, value: unknown): void {
    try {
      if (this.#encoder !== undefined) {
        const plain = plainKey(key);
        if (this.pairs.length === 0) this.#encoder.begin?.(NOWHERE, [plain, value]);
        this.#encoder.write(plain, value, NOWHERE);
      }
      const kept = this.#encoder === undefined ? keepValue(value) : copyValue(value);
      this.pairs.push([copyKey(key), kept]);
    } catch (error) {
      if (!isSheafError(error)) throw error;
      const { hint } = error;
      throw new SheafError(error.code, `the result of key ${printValue(key)}: ${error.message}`, {
        cause: error,
        ...(hint !== undefined && { hint }),
      });
    }
  }
}

const NOWHERE: ByteSink = { text: () => undefined, bytes: () => undefined, byte: () => undefined };

/** The pairs of all tasks by key, keys ascending. */
function gather(outputs: readonly (readonly Pair[])[]): KeyValues[] {
  const all = outputs.flatMap((pairs, task) => pairs.map(([key, value]) => ({ key, value, task })));
  const keys: KeyValues[] = [];
  let last: { key: Key; task: number } | undefined;
  for (const { key, value, task } of all.sort((a, b) => compareKeys(a.key, b.key))) {
    if (last === undefined || compareKeys(last.key, key) !== 0) keys.push({ key, parts: [[value]] });
    else if (last.task !== task) keys.at(-1)!.parts.push([value]);
    else keys.at(-1)!.parts.at(-1)!.push(value);
    last = { key, task };
  }
  return keys;
}

/**
 * Which keys each partition gets: as the job's function says, or, since nothing may depend on it, at
 * random.
 */
function partition(collection: CollectionPlan, keys: readonly KeyValues[], plan: ReducePlan): KeyValues[][] {
  const partitions: KeyValues[][] = Array.from({ length: plan.partitions }, () => []);
  for (const group of groupKeys(collection, keys)) {
    const place = plan.random.below(plan.partitions);
    for (const member of group.members) {
      const index = collection.partition === undefined ? place : askPartition(collection, member.key, plan);
      partitions[index]!.push(member);
    }
  }
  return partitions;
}

function askPartition(collection: CollectionPlan, key: Key, { partitions }: ReducePlan): number {
  const answer: unknown = collection.partition!(copyKey(plainKey(key)), partitions);
  if (typeof answer === "number" && Number.isInteger(answer) && answer >= 0 && answer < partitions)
    return answer;
  const call = `partition(${printValue(key)}, ${partitions})`;
  throw new SheafError("PARTITION_INVALID", `${call} gave ${printValue(answer)}`, {
    hint: `It must give an integer from 0 to ${partitions - 1}, at once.`,
  });
}

function groupKeys(collection: CollectionPlan, keys: readonly KeyValues[]): Group[] {
  const { groupBy } = collection;
  if (groupBy === undefined) return keys.map((values) => ({ key: values.key, members: [values] }));
  const groups: Group[] = [];
  for (const values of keys) {
    const { key } = values;
    if (!Array.isArray(key) || key.length < groupBy) {
      throw new SheafError(
        "KEY_INVALID",
        `groupBy is ${groupBy}, but ${printValue(key)} has fewer elements`,
        {
          hint: "With groupBy n every key is an array whose first n elements name the group.",
        },
      );
    }
    const prefix = (key as readonly Key[]).slice(0, groupBy);
    if (groups.length > 0 && compareKeys(groups.at(-1)!.key, prefix) === 0)
      groups.at(-1)!.members.push(values);
    else groups.push({ key: prefix, members: [values] });
  }
  return groups;
}

/** The state of a group: folded in one go, or in random stretches that are packed and merged at random. */
function aggregate(aggregator: Aggregator<unknown, unknown>, group: Group, plan: ReducePlan): unknown {
  const values = group.members.flatMap(({ parts }) => parts.flat());
  const ordered = plan.shuffle ? shuffled(values, plan.random) : values;
  const stretches = plan.combine ? stretchesOf(ordered, plan.random) : [ordered];
  const states = stretches.map((stretch) => {
    let state = aggregator.empty();
    for (const value of stretch) state = aggregator.add(state, copyValue(value));
    return state;
  });
  while (states.length > 1) {
    const at = plan.random.below(states.length - 1);
    const merged = aggregator.merge(states[at], states[at + 1]);
    states.splice(
      at,
      2,
      plan.random.below(2) === 0 ? merged : aggregator.unpack(copyValue(aggregator.pack(merged))),
    );
  }
  return states[0];
}

/** The values a reduce gets, with their whole keys, combined at random places where the plan says so. */
async function valuesOf(collection: CollectionPlan, group: Group, plan: ReducePlan): Promise<Pair[]> {
  const pairs: Pair[] = [];
  for (const { key, parts } of group.members) {
    let values: unknown[] = [];
    for (const part of parts) values.push(...(await combineSome(collection, key, part, plan)));
    if (parts.length > 1) values = await combineSome(collection, key, values, plan);
    for (const value of values) pairs.push([key, value]);
  }
  return plan.shuffle ? shuffled(pairs, plan.random) : pairs;
}

/**
 * Up to two passes over random stretches, as a map task combines when it spills and again when it merges
 * its runs.
 */
async function combineSome(
  { combine }: CollectionPlan,
  key: Key,
  values: unknown[],
  plan: ReducePlan,
): Promise<unknown[]> {
  if (combine === undefined || !plan.combine) return values;
  let now = values;
  for (let pass = plan.random.below(3); pass > 0; pass--) {
    const next: unknown[] = [];
    for (const stretch of stretchesOf(now, plan.random)) {
      if (stretch.length === 0) continue;
      const where = `combine, key ${printValue(key)}`;
      const run = async (): Promise<unknown[]> =>
        answersOf(atOnce(combine(copyKey(plainKey(key)), once("combine", stretch))));
      next.push(...(await callUser(where, run)).map(copyValue));
    }
    now = next;
  }
  return now;
}

/** What combine answered: never a promise, as it runs where nothing waits. */
function atOnce(answer: unknown): unknown {
  if (typeof answer !== "object" || answer === null) return answer;
  if (!("then" in answer || Symbol.asyncIterator in answer)) return answer;
  throw new SheafError("VALUE_INVALID", `combine gave ${printValue(answer)}, which comes later`, {
    hint: "combine must not be async. reduce may.",
  });
}

/** Consecutive stretches of random length, now and then an empty one. */
function stretchesOf<T>(values: readonly T[], random: Random): T[][] {
  const stretches: T[][] = [];
  for (let at = 0; at < values.length;) {
    const length = random.below(Math.min(values.length - at, 8) + 1);
    stretches.push(values.slice(at, at + length));
    at += length;
  }
  return stretches.length === 0 ? [[]] : stretches;
}

/** Fisher and Yates. */
function shuffled<T>(values: readonly T[], random: Random): T[] {
  const mixed = [...values];
  for (let i = mixed.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [mixed[i], mixed[j]] = [mixed[j]!, mixed[i]!];
  }
  return mixed;
}

/** Copies of the values, which can be iterated once: as the engine hands them over. */
function once(whose: "reduce" | "combine", values: readonly unknown[]): StreamedValues<unknown> {
  let at = 0;
  return new StreamedValues(whose, () =>
    at < values.length ? { done: false, value: copyValue(values[at++]) } : { done: true, value: undefined },
  );
}
