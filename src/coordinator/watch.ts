import { taskFailure } from "../worker/failure.ts";
import type { ClusterJob } from "./cluster-job.ts";
import type { EpochClock } from "./epoch-clock.ts";
import type { JobFlow } from "./job-flow.ts";
import type { Jobs } from "./jobs.ts";
import { clientLeases } from "./settings.ts";
import type { CoordinatorTimings } from "./settings.ts";

/** Progress is kept at least this often, also while nobody listens. */
const quietProgressMs = 1_000;

/** Cores that a job has no tasks for are noticed this soon. */
const lookAroundMs = 1_000;

/** What is only for people is kept this often. */
const keepSumsMs = 5_000;

/** Jobs whose time is over go this soon, also when no other ends. */
const pruneMs = 60_000;

/** What happens to jobs because time has passed, apart from what the scheduler watches. */
export class Watch {
  readonly #jobs: Jobs;
  readonly #flow: JobFlow;
  readonly #clock: EpochClock;
  readonly #timings: CoordinatorTimings;
  readonly #prune: () => void;
  #lookedMs = 0;
  #prunedMs = 0;
  #keptMs = 0;
  #tickedMs: number;

  constructor(jobs: Jobs, flow: JobFlow, clock: EpochClock, timings: CoordinatorTimings, prune: () => void) {
    this.#prune = prune;
    this.#jobs = jobs;
    this.#flow = flow;
    this.#clock = clock;
    this.#timings = timings;
    // A start takes its time, too, on a machine that stands still meanwhile.
    this.#tickedMs = clock.nowMs();
  }

  /** For how long nobody was listened to before this tick; see CoordinatorTimings.absentAfterMs. */
  absentMs(nowMs: number): number {
    const sinceMs = nowMs - this.#tickedMs;
    this.#tickedMs = nowMs;
    return Math.max(0, sinceMs - this.#timings.absentAfterMs);
  }

  tick(absentMs: number): void {
    const nowMs = this.#clock.nowMs();
    const keepSums = nowMs - this.#keptMs >= keepSumsMs;
    if (keepSums) this.#keptMs = nowMs;
    if (nowMs - this.#lookedMs >= lookAroundMs) {
      this.#lookedMs = nowMs;
      this.#flow.granting.lookAround();
    }
    if (nowMs - this.#prunedMs >= pruneMs) {
      this.#prunedMs = nowMs;
      this.#prune();
    }
    this.#flow.discards.tick();
    this.#flow.errands.tick(this.#timings.errandStillMs, absentMs);
    for (const job of this.#jobs.live()) {
      job.dying.look();
      if (absentMs > 0) job.clientMs = Math.min(job.clientMs + absentMs, nowMs);
      if (job.isEnding) continue;
      if (keepSums) job.planned?.keepSums();
      this.#watchClient(job, nowMs);
      this.#watchQueue(job, nowMs);
      job.planned?.tellOutputs();
      job.planned?.lookingOn?.tick(nowMs);
      this.#tellProgress(job, nowMs);
    }
  }

  #watchClient(job: ClusterJob, nowMs: number): void {
    if (!job.row.attached || nowMs - job.clientMs <= clientLeases * this.#timings.leaseMs) return;
    this.#flow.cancel(job, "its client is gone");
  }

  #watchQueue(job: ClusterJob, nowMs: number): void {
    const { queueTimeoutMs } = job.submission.options;
    const { state, after, queuedMs } = job.row;
    if (state !== "QUEUED" || queueTimeoutMs === null || after.length > 0) return;
    if (nowMs - queuedMs < queueTimeoutMs) return;
    const message = `the job has waited ${queueTimeoutMs} ms for ${job.waitingFor ?? "an agent"}`;
    const hint = "Start an agent (sheaf agent --join URL), or wait longer.";
    this.#flow.fail(job, taskFailure("NO_AGENTS", message, { phase: "queue", blame: "system", hint }));
  }

  #tellProgress(job: ClusterJob, nowMs: number): void {
    if (job.row.state !== "RUNNING") return;
    const everyMs = job.events.listeners > 0 ? this.#timings.progressMs : quietProgressMs;
    if (nowMs - job.progressMs < everyMs) return;
    job.progressMs = nowMs;
    job.planned?.run.tellProgress(job.planned.run.running.size);
  }
}
