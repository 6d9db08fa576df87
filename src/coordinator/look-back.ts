import { outputDigest } from "../engine/committed-output.ts";
import { byName, onceKey } from "../engine/once.ts";
import type { Submission } from "../protocol/submission.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import { taskFailure } from "../worker/failure.ts";
import type { ClusterJob } from "./cluster-job.ts";
import type { EndedJob, JobRow, Plan } from "./job-row.ts";
import type { Jobs } from "./jobs.ts";
import { ResultFiles } from "./results.ts";

/** Whether a job that is planned is to be run. */
type LookBack =
  | { readonly kind: "run" }
  | { readonly kind: "failed"; readonly failure: TaskFailure }
  /** The same was done before: the job has succeeded. */
  | { readonly kind: "same"; readonly changes: Partial<JobRow> };

/** Notes what the job's result follows from; with `once`, looks for a job that has done the same. */
export function lookBack(job: ClusterJob, { identity = null, existing }: Plan, jobs: Jobs): LookBack {
  const { once, output } = job.submission;
  const key = identity === null ? null : keyOf(job.submission, identity);
  job.update({ onceKey: key });
  if (once === undefined) return { kind: "run" };
  if (key !== null) {
    for (const ended of jobs.sameAs(key))
      if (hasOutput(job, ended, existing, jobs)) return { kind: "same", changes: endedAs(ended) };
  }
  const isInTheWay = output.kind === "shared" && !output.overwrite && existing !== undefined;
  if (once !== "fail" && !isInTheWay) return { kind: "run" };
  const where = output.kind === "shared" ? output.path : "the output";
  const message = `${where} exists already, and no job that is kept has made it of the same code and input`;
  const hint = "Give --overwrite to replace it when the job has succeeded, or choose another output.";
  return { kind: "failed", failure: taskFailure("OUTPUT_EXISTS", message, { phase: "plan", hint }) };
}

function keyOf(submission: Submission, identity: string): string | null {
  const { bundle, aux, files = [], outline, name, options, output, faults } = submission;
  if (faults.length > 0) return null;
  // Whatever is not known to change no output is taken to change it, options of later versions, too.
  const { memoryBytes: _1, heapBytes: _2, attempts: _3, noProgressMs: _4, cores: _5, ...more } = options;
  const {
    priority: _6,
    speculation: _7,
    queueTimeoutMs: _8,
    chaos: _9,
    live: _10,
    params,
    ...settings
  } = more;
  const data = aux.map(({ path, file = path, blob }) => [path, file, blob]).sort();
  const target = output.kind === "shared" ? output.path : [output.write, output.collect];
  const told = [byName(params), byName(settings), outline.seed, identity, target];
  const programs = files.map(({ name, blob, mode }) => [name, blob, mode]);
  return onceKey(["cluster", bundle, data, name, ...told, programs]);
}

/** Whether what that job has made is still there; results that are kept here become this job's, too. */
function hasOutput(
  job: ClusterJob,
  { view, files }: EndedJob,
  existing: Plan["existing"],
  jobs: Jobs,
): boolean {
  if (job.submission.output.kind === "shared") return outputDigest(view) === existing;
  const { output = [], collected = [], bad = [] } = files ?? {};
  return job.results.link(new ResultFiles(jobs.directoryOf(view.job)), [...output, ...collected, ...bad]);
}

function endedAs({ view, files }: EndedJob): Partial<JobRow> {
  const { job, sameAs = job, badRecords, parts, collected, counters } = view;
  const none = { output: [], collected: [], bad: [] };
  return {
    sameAs: { job: sameAs, badRecords },
    committed: { parts, collected, files: files ?? none },
    end: { status: "SUCCEEDED", cause: null, counters, failedTasks: [] },
  };
}
