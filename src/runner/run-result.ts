import { join } from "node:path";
import { SheafError } from "../base/errors.ts";
import { sumEmptyFiles } from "../task/empty-files.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import { writeCapsule } from "../engine/capsule.ts";
import { readRecords } from "../engine/commit.ts";
import { failureOutsideTasks, formatFailure, mapFailure } from "../engine/error-report.ts";
import type { LocalRun, RunOutcome } from "./local-run.ts";
import type { FailedTask, RunResult } from "../engine/options.ts";
import { RunFailure } from "../engine/options.ts";
import { sampledBy, sumStats } from "../engine/progress.ts";
import { ShuffleTally } from "../engine/shuffle-tally.ts";
import { removeAtExit } from "./work-directory.ts";

/** Makes the result of a run that is over: capsules, report, job directory, clean-up, the last event. */
export async function finishRun(run: LocalRun, outcome: RunOutcome): Promise<RunResult> {
  const cause = outcome.status === "FAILED" ? keepCapsule(run, outcome) : null;
  const error = await errorOf(run, outcome, cause);
  const keep = outcome.status === "SUCCEEDED" && run.collected !== null;
  await run.cleanUp(keep);

  const { map = [], reduce = [], counters = {} } = outcome.driven?.outputs ?? {};
  const elapsedMs = run.events.elapsedMs;
  const stats = sumStats(map, reduce, elapsedMs);
  const emptyFiles = sumEmptyFiles(map.map((one) => one.emptyFiles)) ?? null;
  const { status } = outcome;
  const { jobId, parts } = run;
  const output = run.resolved.output;
  run.directory?.update({
    counters,
    elapsedMs,
    recordsIn: stats.recordsIn,
    recordsOut: stats.recordsOut,
    bytesIn: stats.bytesIn,
    bytesOut: stats.bytesOut,
    badRecords: stats.badRecords,
  });
  run.events.emit({
    kind: "job-finished",
    jobId,
    status,
    output,
    parts,
    counters,
    stats,
    badRecords: stats.badRecords,
    emptyFiles,
    ...sampledBy(run.resolved.sample),
    error: error === null ? null : eventError(error),
  });
  run.directory?.finish({
    status,
    endTime: new Date(run.clock.wallMs()).toISOString(),
    currentPhase: "finished",
    exception: status === "FAILED" ? (error?.report ?? null) : null,
    capsules: cause?.capsule ? [cause.task] : [],
  });
  run.prune();

  const shuffled = new ShuffleTally(run.plan?.partitions ?? []);
  for (const result of map) shuffled.add(result);
  const release = keep ? removeAtExit(join(run.work!.collected, "..")) : null;
  return {
    status,
    jobId,
    name: run.name,
    directory: run.directory?.path ?? null,
    output,
    counters,
    stats,
    phases: run.events.phases,
    mapTasks: run.plan?.tasks.map.length ?? 0,
    reduceTasks: run.plan?.tasks.reduce.length ?? 0,
    workers: run.pool.used,
    parts,
    hotKeys: shuffled.hotKeys(run.collections),
    skew: shuffled.skew(run.collections),
    badRecords: stats.badRecords,
    emptyFiles,
    sample: run.resolved.sample,
    failedAttempts: failedAttempts(outcome, cause),
    failedTasks: outcome.driven?.failedTasks ?? [],
    error,
    records: (collection) => readRecords(run, collection),
    throwIfFailed: () => {
      if (error !== null) throw error;
    },
    dispose: async () => {
      release?.();
      run.collected = null;
      await run.work?.remove(false);
    },
  };
}

function failedAttempts(outcome: RunOutcome, cause: FailedTask | null): FailedTask[] {
  const attempts = outcome.driven?.failedAttempts ?? [];
  return attempts.map((one) =>
    cause !== null && one.task === cause.task && one.attempt === cause.attempt ? cause : one,
  );
}

/** The cause, with its capsule where the job directory keeps one. */
function keepCapsule(run: LocalRun, { cause, driven }: RunOutcome): FailedTask | null {
  if (cause === null || cause.task === "") return cause;
  const spec = driven?.failedSpecs.get(`${cause.task}.${cause.attempt}`);
  if (spec === undefined || run.directory === null || run.settings === null || run.bundle === null)
    return cause;
  const { task, attempt, failure } = cause;
  const capsule = writeCapsule(run.directory.path, {
    jobId: run.jobId,
    task,
    attempt,
    failure,
    spec,
    settings: run.settings,
  });
  return { ...cause, capsule: capsule?.path ?? null };
}

async function errorOf(
  run: LocalRun,
  outcome: RunOutcome,
  cause: FailedTask | null,
): Promise<RunFailure | null> {
  if (outcome.status === "SUCCEEDED") return null;
  if (outcome.status === "CANCELLED") {
    const message = "the job was cancelled; nothing was written";
    return new RunFailure("CANCELLED", message, { failed: null, report: message });
  }
  if (cause === null)
    return failureOutsideTasks(outcome.error ?? new SheafError("INTERNAL", "no cause was given"));
  return failedBy(run, cause);
}

async function failedBy(run: LocalRun, cause: FailedTask): Promise<RunFailure> {
  const { failure, task, attempt } = cause;
  const mapped = await mapFailure(failure, run.bundle?.path ?? null);
  const replay = cause.capsule === null ? null : `sheaf replay ${run.jobId}:${shortTask(task)}`;
  const report = formatFailure(failure, { task, attempt, mapped, replay });
  const place = mapped?.place;
  return new RunFailure(failure.code, failure.message, {
    ...(failure.hint === null ? {} : { hint: failure.hint }),
    failed: cause,
    report,
    cause: thrownAgain(failure, mapped?.text),
    details: {
      task,
      attempt,
      path: failure.path,
      offset: failure.offset,
      key: failure.key,
      source: place?.path ?? null,
      line: place?.line ?? null,
      column: place?.column ?? null,
    },
  });
}

/** What user code threw, as an error of this thread, with the stack of its sources. */
function thrownAgain(failure: TaskFailure, stack: string | undefined): Error {
  const error = new Error(failure.message);
  error.name = failure.name;
  error.stack = stack ?? failure.stack ?? `${failure.name}: ${failure.message}`;
  return error;
}

/** "map-17" for "map-00017". */
function shortTask(task: string): string {
  return task.replace(/-0*(?=\d)/, "-");
}

function eventError(error: RunFailure) {
  const { code, message, task, attempt, report } = error;
  return { code, message, hint: error.hint ?? null, task, attempt, report };
}
