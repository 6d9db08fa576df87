import { estimatedColumns } from "../engine/estimates.ts";
import type { EngineScheduler } from "../engine/loop.ts";
import { sampledBy, sumStats } from "../engine/progress.ts";
import { madeTasksMax } from "../engine/result.ts";
import type { JobSummary, JobView } from "../protocol/job-view.ts";
import { formatTask, type Phase } from "../scheduler/ids.ts";
import { viewJob, viewOutputs, viewWait } from "../scheduler/view.ts";
import { sumEmptyFiles } from "../task/empty-files.ts";
import type { TaskStats } from "../task/task-spec.ts";
import type { ClusterJob } from "./cluster-job.ts";
import type { EpochClock } from "./epoch-clock.ts";
import type { JobEnd } from "./job-row.ts";
import type { KeptOutput } from "./kept-output.ts";

/** A job that has not ended, as clients see it. */
export function summaryOf(job: ClusterJob, clock: EpochClock): JobSummary {
  const { row, submission, planned } = job;
  const { name, submitter, host, group, project, options, code } = submission;
  const phases = planned?.run.progress.snapshot().phases ?? [];
  const tasks = phases.reduce((sum, phase) => sum + phase.tasks, 0);
  const done = phases.reduce((sum, phase) => sum + phase.fraction * phase.tasks, 0);
  return {
    job: job.id,
    name,
    state: row.state,
    submitter,
    host,
    group,
    project,
    priority: options.priority,
    code,
    attached: row.attached,
    submitTime: clock.text(row.submittedMs),
    startTime: row.startedMs === null ? null : clock.text(row.startedMs),
    endTime: row.endedMs === null ? null : clock.text(row.endedMs),
    elapsedMs: (row.endedMs ?? clock.nowMs()) - row.submittedMs,
    mapTasks: planned?.plan.map.length ?? 0,
    reduceTasks: planned?.plan.reduce.length ?? 0,
    fraction: tasks === 0 ? 0 : done / tasks,
    waitingFor: job.waitingFor,
    exception: null,
  };
}

export function viewOf(job: ClusterJob, scheduler: EngineScheduler<KeptOutput>, clock: EpochClock): JobView {
  const { row, submission, planned, collections } = job;
  const { inputs, output, file, after, once, force = false, keepMs, options, outline } = submission;
  const view = viewJob(scheduler, job.id);
  const state = scheduler.state.jobs.get(job.id);
  const progress = planned?.run.progress.snapshot() ?? { phases: [], badRecords: 0 };
  const doneOf = new Map(
    progress.phases.map(({ phase, recordsIn, bytesIn, fraction }) => [
      phase,
      { recordsIn, bytesIn, fraction },
    ]),
  );
  const barred = [...(state?.bars ?? [])].flatMap(([agent, bar]) =>
    bar.untilMs === null ? [] : [{ agent, reason: `${bar.failures} failures; last: ${bar.lastMessage}` }],
  );
  return {
    ...summaryOf(job, clock),
    inputs,
    output: output.kind === "shared" ? output.path : null,
    file,
    waitingFor: job.waitingFor ?? viewWait(scheduler, job.id),
    ...(row.sameAs !== null && { sameAs: row.sameAs.job }),
    ...(keepMs !== undefined && { keepMs }),
    runOnce: once !== undefined || force,
    force,
    ...(after !== undefined && after.length > 0 && { after }),
    phases: (view?.phases ?? []).map(({ phase, tasks, counts, backups }) => ({
      phase,
      tasks,
      blocked: counts.BLOCKED,
      ready: counts.READY,
      running: counts.RUNNING,
      finished: counts.FINISHED,
      failed: counts.FAILED,
      backups,
      ...doneOf.get(phase),
    })),
    bidding: row.bidding === null ? null : { ...row.bidding, used: planned?.coresUsed ?? row.bidding.used },
    agents: [...job.holders].sort(),
    barred,
    counters: view?.counters ?? {},
    stats: null,
    badRecords: progress.badRecords,
    ...madeOf(job),
    ...sampledBy(options.sample, options.estimate === true ? estimatedColumns(outline) : []),
    ...(row.committed?.incremental !== undefined && { incremental: row.committed.incremental }),
    ...materializedOf(job),
    parts: [...(row.committed?.parts ?? [])],
    collected: [...(row.committed?.collected ?? [])],
    partitions: [...(planned?.plan.partitions ?? [])],
    collections: [...collections],
    hotKeys: (planned?.run.shuffled.hotKeys(collections) ?? []).map(({ name, key, values, share }) => ({
      collection: name,
      key,
      values,
      share,
    })),
    skew: planned?.run.shuffled.skew(collections) ?? [],
    timings: [...row.timings],
    failedTasks: [],
    error: null,
  };
}

/** As clients see it from now on. REQUIRES: `row.endedMs`. Costs as much as the job has tasks. */
export function viewOfEnded(
  job: ClusterJob,
  { status, counters, failedTasks }: JobEnd,
  error: JobView["error"],
  scheduler: EngineScheduler<KeptOutput>,
  clock: EpochClock,
): JobView {
  const { keepMs } = job.submission;
  const stats = statsOf(job, scheduler);
  const emptyFiles = emptyFilesOf(job, scheduler);
  const nearMaps = nearMapsOf(job, scheduler);
  const unfinished = viewOf(job, scheduler, clock);
  return {
    ...unfinished,
    waitingFor: null,
    exception: status === "FAILED" ? (error?.report ?? null) : null,
    counters,
    stats: { ...stats },
    ...(keepMs !== undefined && { keptUntil: clock.text(job.row.endedMs! + keepMs) }),
    badRecords: job.row.sameAs?.badRecords ?? stats.badRecords,
    ...(emptyFiles === undefined ? {} : { emptyFiles }),
    ...(nearMaps === undefined ? {} : { nearMaps }),
    failedTasks: failedTasks.map(formatTask),
    fraction: status === "SUCCEEDED" ? 1 : unfinished.fraction,
    error,
  };
}

/** Files that gave no record. Costs as much as the job has maps. */
function emptyFilesOf(job: ClusterJob, scheduler: EngineScheduler<KeptOutput>): JobView["emptyFiles"] {
  const maps = [...viewOutputs(scheduler, job.id, "map")];
  const sum = sumEmptyFiles(maps.map(({ output }) => output.emptyFiles));
  return sum === undefined ? undefined : { files: sum.files, names: [...sum.names] };
}

/** How many maps ran near their input, where that is known of any. Costs as much as the job has maps. */
function nearMapsOf(job: ClusterJob, scheduler: EngineScheduler<KeptOutput>): JobView["nearMaps"] {
  let maps = 0;
  let local = 0;
  // Also where no agent is on any of them.
  const isKnown = (job.planned?.plan.hosts ?? []).length > 0;
  for (const task of scheduler.state.jobs.get(job.id)?.phases.map.tasks ?? []) {
    if (task.state.kind !== "FINISHED") continue;
    maps++;
    if (task.preferred.includes(task.attempts[task.state.attempt - 1]!.node.id)) local++;
  }
  return isKnown ? { maps, local } : undefined;
}

/** Sums over the successful attempts. Costs as much as the job has tasks. */
function statsOf(job: ClusterJob, scheduler: EngineScheduler<KeptOutput>): TaskStats {
  const of = (phase: Phase): KeptOutput[] =>
    [...viewOutputs(scheduler, job.id, phase)].map(({ output }) => output);
  return sumStats(of("map"), of("reduce"), job.elapsedMs);
}

function materializedOf({ row, submission }: ClusterJob): Pick<JobView, "materialized"> {
  const { records } = row.committed ?? {};
  const { materialize = null } = submission;
  return records === undefined ? {} : { materialized: { directory: materialize, parts: [...records] } };
}

/** Of a job that generates its records. */
function madeOf({ submission, planned }: ClusterJob): Pick<JobView, "made"> {
  if (planned === null || !("tasks" in submission.outline.input)) return {};
  const { made } = planned.run;
  const { records, stoppedBy } = made;
  const tasks = planned.plan.map.length;
  return { made: { records, ...(tasks <= madeTasksMax && { tasks: made.of(tasks) }), stoppedBy } };
}
