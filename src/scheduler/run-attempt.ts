import { Attempt, type AttemptState } from "./attempt.ts";
import { unlink } from "./chain.ts";
import { moveTask } from "./move-task.ts";
import { AWAY, type NodeState, type Slot } from "./node.ts";
import { giveSlot } from "./idle-slots.ts";
import type { SchedulerState } from "./scheduler-state.ts";
import type { Task } from "./task.ts";

/** Starts an attempt of the task in an idle slot of the node. REQUIRES: the node has one. */
export function startAttempt(s: SchedulerState, task: Task, node: NodeState, original: Attempt | null): void {
  const { job, phase } = task;
  const { slot, ask } = giveSlot(s, node);
  const attempt = new Attempt(task, node, { slot: slot.index, ask }, original !== null, s.nowMs);
  task.attempts = [...task.attempts, attempt];
  s.facts?.attempt(attempt);
  slot.state = { kind: "BUSY", attempt };
  slot.answeredAsk = ask;
  s.busySlots++;
  job.running++;
  job.grants.started(node.id);
  job.activeMs = s.nowMs;
  job.watched.append(attempt.byProgress!);
  if (original === null) {
    phase.ages.append(attempt.byAge!);
  } else {
    unlink(original.byAge);
    phase.backups++;
  }
  moveTask(s, task, { kind: "start", attempt: attempt.ref.attempt });
  s.queue.update(job);
  orderStart(s, node, slot);
}

/** Tells the worker in a busy slot what to run. */
export function orderStart(s: SchedulerState, node: NodeState, slot: Slot): void {
  if (slot.state.kind !== "BUSY") return;
  const { ref, ask, backup } = slot.state.attempt;
  const { id, incarnation } = node;
  s.commands.push({
    kind: "startAttempt",
    attempt: ref,
    node: id,
    incarnation,
    slot: slot.index,
    ask,
    backup,
  });
}

/** Gives a running attempt its final state. Its slot stays away until the worker asks again. */
export function endAttempt(s: SchedulerState, attempt: Attempt, state: AttemptState): void {
  if (attempt.state.kind !== "RUNNING") return;
  attempt.state = state;
  s.facts?.attempt(attempt);
  const { job } = attempt.task;
  leaveChains(attempt);
  job.running--;
  if (job.grants.ended(attempt.node.id) && attempt.node.idle.length > 0) s.opened.add(attempt.node);
  job.activeMs = s.nowMs;
  const slot = attempt.node.slots[attempt.slot]!;
  if (slot.state.kind === "BUSY" && slot.state.attempt === attempt) {
    slot.state = AWAY;
    s.busySlots--;
  }
  s.queue.update(job);
}

/** Jobs keep a hundred thousand attempts that are over: they hold nothing but what is told of them. */
export function leaveChains(attempt: Attempt): void {
  unlink(attempt.byProgress);
  unlink(attempt.byAge);
  attempt.byProgress = null;
  attempt.byAge = null;
  attempt.progressMs = 0;
  attempt.reportedMs = 0;
}

/** Ends an attempt on purpose and tells its node. */
export function killAttempt(s: SchedulerState, attempt: Attempt, reason: string): void {
  if (attempt.state.kind !== "RUNNING") return;
  orderKill(s, attempt, reason);
  endAttempt(s, attempt, { kind: "KILLED", endedMs: s.nowMs, reason });
}

export function orderKill(s: SchedulerState, attempt: Attempt, reason: string): void {
  const { id, incarnation } = attempt.node;
  s.commands.push({ kind: "killAttempt", attempt: attempt.ref, node: id, incarnation, reason });
}

/** Kills what still runs of a task that needs it no more. */
export function killRest(s: SchedulerState, task: Task, reason: string): void {
  for (const attempt of task.attempts) killAttempt(s, attempt, reason);
}
