import type { PartialResult } from "./engine/events.ts";
import type { Forecast } from "./engine/forecast.ts";
import type { LocalRunOptions, RunOptions } from "./engine/options.ts";
import { Partials } from "./engine/partials.ts";
import type { RunResult } from "./engine/run-result.ts";
// The public API of sheaf. What a job file needs is here; running jobs from a program is loaded when it is
// used.
import type { Job } from "./job/job-plan.ts";
import type { Pipeline } from "./steps/pipeline.ts";

export { job } from "./job/define.ts";
export type { Job } from "./job/job-plan.ts";
export { from } from "./steps/from.ts";
export type { From, StepReader } from "./steps/from.ts";
export { loop, previous } from "./steps/loop.ts";
export type { Loop, LoopOptions, Round } from "./steps/loop.ts";
export { script, transfer } from "./steps/script.ts";
export type { Script, ScriptOptions, TransferOptions } from "./steps/script.ts";
export { pipeline, step } from "./steps/pipeline.ts";
export type { Pipeline, Step, StepOptions } from "./steps/pipeline.ts";
export { table } from "./job/aux.ts";
export type { AuxFile, AuxFiles, AuxKey, AuxSource, AuxTable, ByOptions } from "./job/aux.ts";
export { columns } from "./job/field-map.ts";
export { grep } from "./job/line-filter.ts";
export { exec } from "./job/exec.ts";
export { streamJob } from "./stream/stream-job.ts";
export type { StreamPlan } from "./stream/stream-job.ts";
export type { ExecFunction, ExecOptions, ExecProtocol } from "./job/exec.ts";
export { desc } from "./job/descending.ts";
export type { Key } from "./job/key.ts";
export { compareKeys } from "./job/key-order.ts";
export type { Aggregator, NumericState } from "./job/aggregator.ts";
export type { TaskContext } from "./job/context.ts";
export type {
  CollectionOptions,
  CollectionsInputsJob,
  CollectionsJob,
  CombineFunction,
  Emit,
  InputsJob,
  MapResult,
  ReduceContext,
  ReduceFunction,
  SimpleJob,
} from "./job/job.ts";
export type {
  BadRecord,
  DecodeContext,
  Decoder,
  Framing,
  Input,
  PartialResults,
  Reader,
  RecordBatch,
  Source,
  SourceContext,
  SourceProgress,
} from "./job/reader.ts";
export type { ByteSink, EncodePlace, Encoder, Writer } from "./job/writer.ts";

export { text } from "./format/text.ts";
export { words } from "./format/words.ts";
export { csv } from "./format/csv.ts";
export { tsv } from "./format/tsv.ts";
export { keyValue } from "./format/key-value.ts";
export { jsonl } from "./format/jsonl.ts";
export { jsonArray } from "./format/json-array.ts";
export { wholeFile } from "./format/whole-file.ts";
export { fixedLength } from "./format/fixed-length.ts";
export { delimited } from "./format/delimited.ts";
export { generate } from "./format/generate.ts";
export { route } from "./format/route.ts";
export { raw } from "./format/raw.ts";
export { none } from "./format/none.ts";

export { sum } from "./aggregate/sum.ts";
export { sumBig } from "./aggregate/sum-big.ts";
export { count } from "./aggregate/count.ts";
export { max, min } from "./aggregate/min-max.ts";
export { mean } from "./aggregate/mean.ts";
export { stddev, variance } from "./aggregate/variance.ts";
export { confidence } from "./aggregate/confidence.ts";
export type { Confidence } from "./aggregate/confidence.ts";
export { first, last } from "./aggregate/first-last.ts";
export { argMax, argMin } from "./aggregate/arg-extreme.ts";
export { topK } from "./aggregate/top-k.ts";
export { collect } from "./aggregate/collect.ts";
export { distinct, set } from "./aggregate/distinct.ts";
export { distinctApprox } from "./aggregate/distinct-approx.ts";
export { median, quantiles } from "./aggregate/quantiles.ts";
export { histogram } from "./aggregate/histogram.ts";
export { stats } from "./aggregate/stats.ts";

export { defineConfig } from "./project/define-config.ts";
export type { ProfileConfig, ProjectConfig, ProjectJobConfig, RunSettings } from "./project/define-config.ts";

export { registerStore } from "./engine/user-stores.ts";
export { RangedReads } from "./storage/ranged-reads.ts";
export type { RangeStream } from "./storage/ranged-reads.ts";
export { checkFree } from "./storage/stored-output.ts";
export type {
  FetchRules,
  FileToRead,
  HeldRange,
  PutFile,
  RangeReader,
  Store,
  StoredFile,
  StoreEntry,
  StoreModule,
  StoreOutput,
  StoreOutputOptions,
  StoreSettings,
  StoreStep,
} from "./storage/store.ts";

export { SheafError } from "./base/errors.ts";
export type { ErrorCode } from "./base/errors.ts";
export type { RunOptions } from "./engine/options.ts";
export type { RunResult } from "./engine/run-result.ts";
export type { RunEvent } from "./engine/events.ts";
export type { Forecast } from "./engine/forecast.ts";

export type { PartialResult } from "./engine/events.ts";
export type { PartialCollection } from "./task/fold-states.ts";
export type { MadeRecords, MaterializedRecords } from "./engine/run-result.ts";

/** A run that has begun: the promise of its result, and what is known before. */
export interface Run extends Promise<RunResult> {
  /**
   * What the job's aggregators have made of the records so far, about once a second: each time the latest,
   * also for those who are slow to ask. Ends with the run, and throws what the run throws. Call it at once
   * after run(), or give the option `live`.
   * @throws SheafError USAGE when neither was done
   */
  partials(): AsyncIterable<PartialResult>;
}

/**
 * Runs a job, or a pipeline, from a program. `job` is the path or URL of its file, which runs on all cores,
 * or with `on` on a cluster, on Hadoop or on Spark; or a Job object, which runs in this thread. Options that
 * do not apply where it runs are refused.
 * @returns the promise of the result. It rejects with a SheafError, the first real cause, when the job fails,
 * is cancelled, or cannot start
 */
export function run(job: Job | Pipeline | string | URL, options: RunOptions = {}): Run {
  const partials = new Partials(options);
  const result = runWith(job, partials);
  partials.follow(result);
  return Object.assign(result, { partials: () => partials.all() });
}

async function runWith(job: Job | Pipeline | string | URL, partials: Partials): Promise<RunResult> {
  const { runnerAsked } = await import("./runners/runners.ts");
  const options = partials.begin();
  const { runnerFitFor } = await import("./pipeline/detect.ts");
  const runner = await runnerFitFor(job, options, await runnerAsked(options));
  const result = await runner.run(job as Job, options);
  result.throwIfFailed();
  return result;
}

/**
 * Predicts what `run(job, options)` would take on this machine, by running the job's own tasks on parts of
 * its input for some seconds; writes nothing that stays. See docs/planning.md.
 * @throws SheafError as run() would; USAGE for a cluster, standard input, and sources that do not end
 */
export async function plan(job: Job | string | URL, options: LocalRunOptions = {}): Promise<Forecast> {
  const { tryJob } = await import("./runner/try-job.ts");
  const { forecast } = await tryJob(job, options);
  return forecast;
}
