import { SheafError } from "../base/errors.ts";
import type { AnyAux } from "./aux.ts";
import type { Job } from "./job-plan.ts";
import type {
  AggregatorInputsJob,
  AggregatorJob,
  AnyCollections,
  AnyInputs,
  CollectionResults,
  CollectionsInputsJob,
  CollectionsJob,
  InputsJob,
  NotAnnotated,
  Params,
  Result,
  SimpleJob,
} from "./job.ts";
import type { Key } from "./key.ts";
import { checkJob } from "./validate.ts";

/**
 * The job as tasks that read one of its inputs see it: with that reader and that map, and no other inputs.
 * @param input its index; undefined for a job with one input
 */
export function jobOfInput(job: Job, input: number | undefined): Job {
  if (job.inputs.length === 0) return job;
  const one = job.inputs[input ?? -1];
  if (one === undefined) throw new SheafError("INTERNAL", `the job has no input ${input}`);
  return { ...job, ...one, inputs: [] };
}

/**
 * Defines a job: what to read, what to make of each record, how to bring together what was emitted, and
 * where to write it. The result is checked and frozen; export it as the default of a job file, or give it
 * to `run()`.
 *
 *     export default job({
 *       input: text(),
 *       map(line, emit) {
 *         for (const word of line.match(/\p{L}+/gu) ?? []) emit(word.toLowerCase(), 1);
 *       },
 *       reduce: sum(),
 *     });
 *
 * Types follow from the parts: the reader gives the record's, the reduce those that `emit` accepts.
 * @throws SheafError JOB_INVALID naming the field that is wrong
 */
export function job<
  R,
  C extends AnyCollections<P, A>,
  P = Params,
  S = undefined,
  I extends AnyInputs = never,
  A extends AnyAux = AnyAux,
>(definition: CollectionsJob<R, C, P, S, A> | CollectionsInputsJob<I, C, P, S, A>): Job<CollectionResults<C>>;
export function job<
  R,
  K extends Key,
  V,
  O,
  P = Params,
  S = undefined,
  I extends AnyInputs = never,
  A extends AnyAux = AnyAux,
>(
  definition: AggregatorJob<R, K, V, O, P, S, A> | AggregatorInputsJob<I, K, V, O, P, S, A>,
): Job<{ readonly "": Result<K, unknown extends O ? V : O> }>;
export function job<
  R,
  O,
  K extends Key = Key,
  V = NotAnnotated,
  P = Params,
  S = undefined,
  I extends AnyInputs = never,
  A extends AnyAux = AnyAux,
>(
  definition: SimpleJob<R, K, V, O, P, S, A> | InputsJob<I, K, V, O, P, S, A>,
): Job<{ readonly "": Result<K, O> }>;
export function job(definition: unknown): Job {
  return checkJob(definition);
}
