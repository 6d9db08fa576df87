import type { AttemptRef, NodeRef } from "./ids.ts";
import { advance, countTask, failJob, handedOver } from "./job-progress.ts";
import {
  doubtOutputs,
  failAttempt,
  keepOutput,
  loseAttempt,
  loseUnreadable,
  noteFailure,
  startReducesOver,
} from "./losses.ts";
import type { EventOf } from "./messages.ts";
import { hear } from "./node-events.ts";
import type { Attempt, SchedulerState, Task } from "./state.ts";
import { endAttempt, killAttempt, killRest, moveTask } from "./transitions.ts";

function findTask(s: SchedulerState, ref: AttemptRef): Task | undefined {
  return s.jobs.get(ref.job)?.phases[ref.phase].tasks[ref.task];
}

/** The running attempt a report is about, or undefined when the report is stale. */
function reported(s: SchedulerState, event: NodeRef & { attempt: AttemptRef }): Attempt | undefined {
  const node = hear(s, event);
  const attempt = findTask(s, event.attempt)?.attempts[event.attempt.attempt - 1];
  if (node === undefined || attempt === undefined) return undefined;
  if (!s.rules.speaksFor(attempt, event)) return undefined;
  attempt.unheard = false;
  return attempt;
}

export function attemptProgress(s: SchedulerState, event: EventOf<"attemptProgress">): void {
  const attempt = reported(s, event);
  if (attempt === undefined) return;
  if (attempt.beat === event.beat) attempt.reportedMs = s.nowMs;
  attempt.fraction = event.fraction ?? 0;
  if (attempt.beat !== null && event.beat <= attempt.beat) return;
  if (event.beat > 0) attempt.beganMs ??= s.nowMs;
  attempt.beat = event.beat;
  attempt.reportedMs = s.nowMs;
  attempt.progressMs = s.nowMs;
  if (attempt.byProgress !== null) attempt.task.job.watched.append(attempt.byProgress);
}

export function commitRequested(s: SchedulerState, event: EventOf<"commitRequested">): void {
  const attempt = reported(s, event);
  const { node, incarnation } = event;
  const task = findTask(s, event.attempt);
  if (attempt !== undefined && moveTask(s, attempt.task, { kind: "grant", attempt: attempt.ref.attempt }))
    s.facts?.attempt(attempt);
  const granted = task !== undefined && mayCommit(task, event.attempt.attempt);
  s.commands.push({
    kind: granted ? "grantCommit" : "denyCommit",
    attempt: event.attempt,
    node,
    incarnation,
  });
  if (granted || attempt === undefined) return;
  endAttempt(s, attempt, {
    kind: "KILLED",
    endedMs: s.nowMs,
    reason: "another attempt was granted the commit",
  });
  const number = attempt.ref.attempt;
  moveTask(s, attempt.task, { kind: "release", attempt: number, open: attempt.task.phase.open });
}

function mayCommit(task: Task, attempt: number): boolean {
  if (task.state.kind === "RUNNING") return task.state.granted === attempt;
  return task.state.kind === "FINISHED" && task.state.attempt === attempt;
}

export function attemptFinished(s: SchedulerState, event: EventOf<"attemptFinished">): void {
  const attempt = reported(s, event);
  if (attempt === undefined) {
    discardStale(s, event.attempt);
    return;
  }
  const { task } = attempt;
  const { job, phase } = task;
  const number = attempt.ref.attempt;
  const { lostOutput } = task.state.tally;
  if (!moveTask(s, task, { kind: "finish", attempt: number })) {
    killAttempt(s, attempt, "another attempt was granted the commit");
    moveTask(s, task, { kind: "release", attempt: number, open: phase.open });
    discardStale(s, event.attempt);
    return;
  }
  const { output, counters } = event;
  attempt.fingerprint = event.fingerprint ?? null;
  const rest = handedOver(s, task, event.more ?? 0, lostOutput);
  endAttempt(s, attempt, { kind: "SUCCEEDED", endedMs: s.nowMs, output, counters, ...rest });
  killRest(s, task, "another attempt finished first");
  phase.durations.add(s.nowMs - attempt.startedMs);
  countTask(task, counters);
  if (phase.name === "map" && job.phases.reduce.tasks.length > 0 && !job.policy.outputsSurviveNode) {
    keepOutput(task, attempt.node);
  }
  const before = lostOutput === null ? undefined : task.attempts[lostOutput - 1];
  if (
    phase.name === "map" &&
    before !== undefined &&
    s.rules.differs(before.fingerprint, attempt.fingerprint)
  )
    startReducesOver(s, before, attempt);
  advance(s, job);
}

/**
 * An attempt has finished too late: what it wrote is deleted. Not when it is the committed one, reported
 * twice, nor when it may be that one: its job ended before a restore.
 */
function discardStale(s: SchedulerState, ref: AttemptRef): void {
  const task = findTask(s, ref);
  if (task === undefined || (task.state.kind === "FINISHED" && task.state.attempt === ref.attempt)) return;
  s.commands.push({ kind: "discardOutput", attempt: ref });
}

export function attemptFailed(s: SchedulerState, event: EventOf<"attemptFailed">): void {
  const attempt = reported(s, event);
  if (attempt === undefined) return;
  const { blame, code, message, detail = null } = event;
  const { ref, node } = attempt;
  switch (s.rules.endingOf(event)) {
    case "failed":
      return failAttempt(s, attempt, { blame, code, message, attempt: ref, node: node.id, detail });
    case "lost":
      return loseAttempt(s, attempt, message, "alone", detail);
    case "lostWithWorker":
      return loseAttempt(s, attempt, message, "withWorker", detail);
  }
}

export function lateEmit(s: SchedulerState, event: EventOf<"lateEmit">): void {
  if (hear(s, event) === undefined) return;
  const job = s.jobs.get(event.job);
  if (job === undefined || !s.rules.canFail(job.status)) return;
  const { attempt: ref, blame, code, message, node, detail = null } = event;
  if (ref !== null) {
    const attempt = ref.job === job.id ? findTask(s, ref)?.attempts[ref.attempt - 1] : undefined;
    if (attempt === undefined || !s.rules.isOfLife(attempt, event)) return;
  }
  failJob(s, job, { blame, code, message, attempt: ref, node, detail });
}

export function fetchFailed(s: SchedulerState, event: EventOf<"fetchFailed">): void {
  const attempt = reported(s, event);
  if (attempt === undefined) return;
  const { job } = attempt.task;
  const map = job.phases.map.tasks[event.mapTask];
  const source = map?.attempts[event.mapAttempt - 1]?.node.id;
  if (map !== undefined && loseUnreadable(s, map, event.mapAttempt, event.message)) return;
  loseAttempt(s, attempt, `it could not fetch map-${event.mapTask}: ${event.message}`);
  for (const node of new Set([source, attempt.node.id])) {
    if (node !== undefined && job.status.kind === "RUNNING") noteFailure(s, job, node, null, event.message);
  }
  if (source !== undefined && job.status.kind === "RUNNING") doubtOutputs(s, job, source);
}
