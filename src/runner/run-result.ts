import { join } from "node:path";
import { writeCapsule } from "../engine/capsule.ts";
import { outputDigest } from "../engine/committed-output.ts";
import { failureOutsideTasks, formatFailure, mapFailure } from "../engine/error-report.ts";
import { estimatedColumns } from "../engine/estimates.ts";
import type { Forecast } from "../engine/forecast.ts";
import type { JobRecord } from "../engine/job-directory.ts";
import { keptForecast } from "../engine/plan-memory.ts";
import { recordedStats, sumStats } from "../engine/progress.ts";
import { readRecords } from "../engine/result.ts";
import { finishedEvent, resultOf } from "../engine/result.ts";
import type { FailedTask, RunResult } from "../engine/run-result.ts";
import { RunFailure } from "../engine/run-result.ts";
import { ShuffleTally } from "../engine/shuffle-tally.ts";
import { removeAtExit } from "../storage/temp-directory.ts";
import { sumEmptyFiles } from "../task/empty-files.ts";
import type { TaskFailure, TaskSuccess } from "../task/task-spec.ts";
import type { LocalRun } from "./local-run.ts";
import type { RunEnd } from "./run-stages.ts";

/** Makes the result of a run that is over: capsules, report, job directory, clean-up, the last event. */
export async function finishRun(run: LocalRun, given: RunEnd): Promise<RunResult> {
  const { loaded, planned, driven, events } = run;
  const { status } = given;
  const end: RunEnd =
    "cause" in given ? { ...given, cause: asCounted(run, keepCapsule(run, given.cause)) } : given;
  const cause = "cause" in end ? end.cause : null;
  const error = await errorOf(run, end);
  const kept = end.status === "SUCCEEDED" && driven !== null ? driven.collected : null;
  await run.cleanUp(kept !== null);

  const { map = [], reduce = [], counters: counted = {} } = driven?.outputs ?? {};
  const earlier = run.earlier?.manifest;
  const counters = earlier?.counters ?? counted;
  const elapsedMs = events.elapsedMs;
  const stats = sumStats(map, reduce, elapsedMs);
  const emptyFiles = sumEmptyFiles(map.map((one) => one.emptyFiles)) ?? null;
  const { output, sample, estimate } = run.resolved;
  const estimates = estimate ? estimatedColumns(loaded?.outline) : [];
  const { jobId = "", directory = null } = loaded ?? {};
  const parts = earlier?.parts ?? driven?.parts ?? [];
  const badRecords = earlier?.badRecords ?? stats.badRecords;
  const sameAs = run.earlier?.jobId ?? null;
  const once =
    status === "SUCCEEDED" && output !== null ? forOnce(run, { counters, badRecords, parts }) : null;
  const made = driven?.made ?? null;
  const more = { once, sameAs, ...(made !== null && { made }) };
  directory?.update({ counters, ...recordedStats(stats), badRecords, elapsedMs, ...more });
  const collections = loaded?.collections ?? [];
  const shuffled = tallyOf(map, planned?.plan.partitions ?? []);
  const release = kept === null ? null : removeAtExit(join(planned!.work.collected, ".."));
  let collected = kept;
  const result = resultOf({
    jobId,
    status,
    output,
    parts,
    counters,
    stats,
    badRecords,
    emptyFiles,
    name: run.name,
    directory: directory?.path ?? null,
    phases: events.phases,
    mapTasks: driven?.mapTasks ?? planned?.plan.tasks.map.length ?? 0,
    reduceTasks: planned?.plan.tasks.reduce.length ?? 0,
    workers: run.pool.used,
    hotKeys: shuffled.hotKeys(collections),
    skew: shuffled.skew(collections),
    sample,
    sameAs,
    estimates,
    made,
    materialized: status === "SUCCEEDED" ? (driven?.materialized ?? null) : null,
    incremental: planned?.incremental?.report(map) ?? null,
    forecast: status === "SUCCEEDED" ? forecastOf(run) : null,
    failedAttempts: failedAttempts(driven?.failedAttempts ?? [], given, cause),
    failedTasks: driven?.failedTasks ?? [],
    error,
    records: (collection) => readRecords({ collected, collections }, collection),
    dispose: async () => {
      release?.();
      collected = null;
      await planned?.work.remove(false);
    },
  });
  events.emit(finishedEvent(result));
  directory?.finish({
    status,
    endTime: new Date(run.clock.wallMs()).toISOString(),
    currentPhase: "finished",
    exception: status === "FAILED" ? (error?.report ?? null) : null,
    capsules: cause?.capsule ? [cause.task] : [],
  });
  run.keep(directory);
  return result;
}

function tallyOf(map: readonly TaskSuccess[], partitions: readonly number[]): ShuffleTally {
  const shuffled = new ShuffleTally(partitions);
  for (const result of map) shuffled.add(result);
  return shuffled;
}

function forecastOf({ resolved, loaded, planned }: LocalRun): Forecast | null {
  if (resolved.stateDirectory === null || loaded === null || planned === null) return null;
  const { plan, settings } = planned;
  const { params, sample } = settings;
  return keptForecast(resolved.stateDirectory, { code: loaded.bundle?.hash ?? null, params, sample, plan });
}

/** What a later run with `once` is told by; nothing of an output that lacks what was given up. */
function forOnce(
  { onceKey: key, driven }: LocalRun,
  made: Parameters<typeof outputDigest>[0],
): NonNullable<JobRecord["once"]> | null {
  const isWhole = (driven?.failedTasks.length ?? 0) === 0;
  return isWhole ? { key, digest: outputDigest(made) } : null;
}

/** All of them, the one that was the cause with all that is known of it. */
function failedAttempts(
  attempts: readonly FailedTask[],
  end: RunEnd,
  cause: FailedTask | null,
): readonly FailedTask[] {
  if (cause === null || !("cause" in end)) return attempts;
  const { task, attempt } = end.cause;
  return attempts.map((one) => (one.task === task && one.attempt === attempt ? cause : one));
}

/** The cause by the name and the number that an engine has for it. */
function asCounted({ driven }: LocalRun, cause: FailedTask): FailedTask {
  return { ...cause, ...driven?.failedElsewhere };
}

/** The cause, with its capsule where the job directory keeps one. */
function keepCapsule({ loaded, driven }: LocalRun, cause: FailedTask): FailedTask {
  const { task, attempt, failure } = cause;
  const spec = task === "" ? undefined : driven?.failedSpecs.get(`${task}.${attempt}`);
  if (spec === undefined || driven === null || loaded === null) return cause;
  const { directory, bundle, jobId } = loaded;
  if (directory === null || bundle === null) return cause;
  const { settings } = driven;
  const capsule = writeCapsule(directory.path, { jobId, task, attempt, failure, spec, settings });
  return { ...cause, capsule: capsule?.path ?? null };
}

async function errorOf(run: LocalRun, end: RunEnd): Promise<RunFailure | null> {
  if (end.status === "SUCCEEDED") return null;
  if (end.status === "FAILED")
    return "error" in end ? failureOutsideTasks(end.error) : failedBy(run, end.cause);
  const message = "the job was cancelled; nothing was written";
  return new RunFailure("CANCELLED", message, { failed: null, report: message });
}

async function failedBy(run: LocalRun, cause: FailedTask): Promise<RunFailure> {
  const { failure, task, attempt } = cause;
  const mapped = await mapFailure(failure, run.bundlePath);
  const replay = cause.capsule === null ? null : `sheaf replay ${run.loaded?.jobId ?? ""}:${shortTask(task)}`;
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
