import { type Failure, systemFailure } from "./ids.ts";
import { advance, endJob, failJob, newJob } from "./job-progress.ts";
import type { EventOf } from "./messages.ts";
import { idleFor } from "./placement.ts";
import type { SchedulerState } from "./state.ts";

export function jobSubmitted(s: SchedulerState, event: EventOf<"jobSubmitted">): void {
  if (s.jobs.has(event.job.id)) return;
  const job = newJob(event.job, s.jobsSubmitted++, s.nowMs);
  s.jobs.set(job.id, job);
  s.facts?.submitted(job, event.job);
  s.active.add(job);
  advance(s, job);
}

export function jobCancelled(s: SchedulerState, event: EventOf<"jobCancelled">): void {
  const job = s.jobs.get(event.job);
  if (job === undefined) return;
  switch (job.status.kind) {
    case "RUNNING":
      endJob(s, job, "CANCELLED", cancelled(event.reason));
      return;
    case "COMMITTING":
      job.status = { kind: "COMMITTING", cancelled: job.status.cancelled ?? event.reason };
      s.facts?.job(job);
      return;
    case "ENDED":
      return;
  }
}

export function jobCommitted(s: SchedulerState, event: EventOf<"jobCommitted">): void {
  const job = s.jobs.get(event.job);
  if (job?.status.kind === "COMMITTING") endJob(s, job, "SUCCEEDED", null);
}

export function jobCommitFailed(s: SchedulerState, event: EventOf<"jobCommitFailed">): void {
  const job = s.jobs.get(event.job);
  if (job?.status.kind !== "COMMITTING") return;
  if (job.status.cancelled !== null) {
    endJob(s, job, "CANCELLED", cancelled(job.status.cancelled));
    return;
  }
  const { blame, code, message } = event;
  failJob(s, job, { blame, code, message, attempt: null, node: null, detail: event.detail ?? null });
}

export function jobFailed(s: SchedulerState, event: EventOf<"jobFailed">): void {
  const job = s.jobs.get(event.job);
  if (job === undefined || !s.rules.canFail(job.status)) return;
  const { blame, code, message, detail = null } = event;
  failJob(s, job, { blame, code, message, attempt: null, node: null, detail });
}

export function jobGranted(s: SchedulerState, event: EventOf<"jobGranted">): void {
  const job = s.jobs.get(event.job);
  if (job === undefined || job.status.kind === "ENDED") return;
  job.grants.replace(event.grants);
  s.facts?.job(job);
  for (const node of idleFor(s, job)) s.opened.add(node);
}

export function jobForgotten(s: SchedulerState, event: EventOf<"jobForgotten">): void {
  if (s.jobs.get(event.job)?.status.kind !== "ENDED") return;
  s.jobs.delete(event.job);
  s.facts?.forgotten(event.job);
}

function cancelled(reason: string): Failure {
  return systemFailure("CANCELLED", reason);
}
