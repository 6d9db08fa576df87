/**
 * An interpreter of jobs in memory: the plainest possible meaning of a job, sharing no code with the engine
 * but the checks of what may be emitted. What the engine makes of a job must equal what this makes of it.
 */
import { seededRandom } from "../base/random.ts";
import type { Job } from "../job/job-plan.ts";
import { sortResults } from "./compare-results.ts";
import type { EmittedPairs, Pair, PlacedRecord } from "./interpret-map.ts";
import { interpretMap } from "./interpret-map.ts";
import type { ReducePlan } from "./interpret-reduce.ts";
import { interpretReduce } from "./interpret-reduce.ts";
import type { Counters } from "./user-code.ts";

/**
 * The results of each collection, in the order of `Job.collections`: in key order, results of one key in
 * the order they came; of map-only collections in the order of the records.
 */
export type Results = readonly (readonly Pair[])[];

/** How each collection is reduced. */
export type ReduceWay = (collection: number) => ReducePlan;

export interface Interpreted {
  readonly results: Results;
  readonly counters: Readonly<Record<string, number>>;
}

/**
 * Runs a job over the records of its map tasks: in one partition, without combining, values in (map task,
 * emit) order.
 * @throws SheafError USER_CODE for what the job's own code throws, with the record or key; what emit refuses
 */
export async function interpret(job: Job, tasks: readonly (readonly PlacedRecord[])[]): Promise<Interpreted> {
  const counters: Counters = new Map();
  const results = await reduceAll(job, await mapAll(job, tasks, counters), plainWay, counters);
  return { results, counters: Object.fromEntries(counters) };
}

/** In one piece. */
export function plainWay(): ReducePlan {
  return { partitions: 1, random: seededRandom(0), combine: false, shuffle: false };
}

/** Runs the map tasks one after the other. */
export async function mapAll(
  job: Job,
  tasks: readonly (readonly PlacedRecord[])[],
  counters: Counters,
): Promise<EmittedPairs[]> {
  const outputs: EmittedPairs[] = [];
  for (const [index, records] of tasks.entries())
    outputs.push(await interpretMap(job, index, records, counters));
  return outputs;
}

/** Shuffles and reduces every collection. */
export async function reduceAll(
  job: Job,
  outputs: readonly EmittedPairs[],
  way: ReduceWay,
  counters: Counters,
): Promise<Results> {
  const results: Pair[][] = [];
  for (const [i, plan] of job.collections.entries()) {
    const pairs = outputs.map((output) => output[i]!);
    const made = await interpretReduce(job, plan, pairs, way(i), counters);
    results.push(plan.mapOnly ? made : sortResults(made));
  }
  return results;
}
