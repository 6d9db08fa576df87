import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { RunStatus } from "../engine/events.ts";
import { JobDirectory } from "../engine/job-directory.ts";
import type { EngineCommand, EngineScheduler } from "../engine/loop.ts";
import type { KeptSums } from "../engine/shuffle-tally.ts";
import type { JobView } from "../protocol/job-view.ts";
import type { Fact } from "../scheduler/facts.ts";
import { Scheduler } from "../scheduler/scheduler.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import { ClusterJob, PlannedJob } from "./cluster-job.ts";
import type { JobSurroundings, PlannedJobParts } from "./cluster-job.ts";
import { stateCorrupt } from "./database.ts";
import { endEvent, recordOf } from "./ending.ts";
import { JobEvents } from "./job-events.ts";
import { recordOfNew } from "./job-record.ts";
import { planOf } from "./job-row.ts";
import type { EndedJob, JobRow, PlanRow, SubmissionRow } from "./job-row.ts";
import type { Jobs } from "./jobs.ts";
import type { KeptOutput } from "./kept-output.ts";
import type { StateStore } from "./store.ts";

/** The scheduler as it was, and what it has to have done again. @throws SheafError STATE_CORRUPT */
export function restoreScheduler(
  store: StateStore,
  nowMs: number,
  leaseMs: number,
): { readonly scheduler: EngineScheduler<KeptOutput>; readonly commands: readonly EngineCommand[] } {
  return Scheduler.restore(factsOf(store), nowMs, { leaseMs, keepFacts: true });
}

/** Of agents, and of jobs that have not ended: the history of the others may be long. */
function* factsOf(store: StateStore): Generator<Fact<KeptOutput, TaskFailure>> {
  const jobs = [...store.all("jobs")].map(({ text }) => JSON.parse(text) as JobRow);
  const live = jobs.filter(({ endedMs }) => endedMs === null).map(({ job }) => job);
  for (const job of ["", ...live]) {
    for (const { text } of store.of("facts", job)) yield JSON.parse(text) as Fact<KeptOutput, TaskFailure>;
  }
}

/** Reads back every job; those that live are what they were. @throws SheafError STATE_CORRUPT */
export function restoreJobs(jobs: Jobs, around: JobSurroundings, parts: PlannedJobParts): number {
  const { store } = around;
  let next = 0;
  const rows = [...store.all("jobs")].map(({ text }) => JSON.parse(text) as JobRow);
  rows.sort((a, b) => a.number - b.number);
  for (const row of rows) {
    next = Math.max(next, row.number + 1);
    const submission = parsed<SubmissionRow>(store.get("submissions", row.job));
    if (submission === null)
      throw stateCorrupt("coordinator.db", `table submissions has no row of ${row.job}`);
    const ended = parsed<EndedJob>(store.get("views", row.job));
    if (ended !== null) {
      jobs.addEnded(ended.view, row.onceKey, submission);
      mendDirectory(ended.view, submission, row, around);
      continue;
    }
    const job = new ClusterJob(row, submission, around);
    const plan = parsed<PlanRow>(store.get("plans", row.job));
    if (plan !== null) {
      const splits = planOf(plan, row.job, (key) => {
        const text = store.get("splits", key);
        if (text === null)
          throw stateCorrupt("coordinator.db", `table splits has no row ${JSON.stringify(key)}`);
        return text;
      });
      const sums = parsed<KeptSums>(store.get("sums", row.job));
      const added = [...store.of("added", row.job)];
      job.planned = new PlannedJob(job, splits, parts, { sums, added });
    }
    jobs.add(job);
  }
  return next;
}

/** The coordinator was killed when the job had ended, and before its directory said so. */
function mendDirectory(
  view: JobView,
  { submission }: SubmissionRow,
  row: JobRow,
  around: JobSurroundings,
): void {
  const result = join(around.stateDirectory, "jobs", view.job, "result");
  if (readText(result) !== "INCOMPLETE\n") return;
  const record = recordOfNew(view.job, submission, view.submitTime);
  const directory = new JobDirectory(around.stateDirectory, record, around.warn);
  const { mapTasks, reduceTasks } = view;
  directory.update({ ...recordOf(view), mapTasks, reduceTasks });
  const events = new JobEvents(directory, row.submittedMs, around.clock);
  if (!events.isOver) events.emit(endEvent(view));
  directory.finish({ status: view.state as RunStatus });
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

function parsed<T>(text: string | null): T | null {
  return text === null ? null : (JSON.parse(text) as T);
}
