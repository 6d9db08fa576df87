import { unlink } from "./chain.ts";
import {
  Attempt,
  type AttemptState,
  AWAY,
  type NodeState,
  type SchedulerState,
  type Slot,
  type Task,
} from "./state.ts";
import { sameTally, type TaskEvent } from "./task-state.ts";

/**
 * Applies one event to one task and keeps counts and queues in step. False when the event was stale. Every
 * change of a task's state goes through here.
 */
export function moveTask(s: SchedulerState, task: Task, event: TaskEvent): boolean {
  const before = task.state;
  const after = s.rules.nextTaskState(before, event);
  if (after === before) return false;
  task.state = after;
  if (s.facts !== null && (after.kind === "FAILED" || !sameTally(before.tally, after.tally)))
    s.facts.task(task);
  if (after.kind === before.kind) return true;
  const { job, phase } = task;
  phase.counts[before.kind]--;
  phase.counts[after.kind]++;
  if (before.kind === "READY") job.ready--;
  if (after.kind === "READY") {
    job.ready++;
    job.queue.add(task);
    s.fresh.push(task);
  }
  s.queue.update(job);
  return true;
}

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

/** A job keeps up to a hundred thousand attempts that are over: they hold only what views and facts show. */
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

/** The worker of a slot waits for work: the slot becomes IDLE. REQUIRES: the slot is AWAY. */
export function offerSlot(s: SchedulerState, node: NodeState, slot: Slot, ask: number): void {
  slot.state = { kind: "IDLE", ask };
  node.idle.push(slot);
  if (!node.open) return;
  s.idleSlots++;
  if (node.byIdle.chain === null) s.idle.append(node.byIdle);
}

/** Takes an idle slot of an open node, which goes to the end of the line, so that work spreads. */
function giveSlot(s: SchedulerState, node: NodeState): { slot: Slot; ask: number } {
  const slot = node.idle.pop()!;
  const ask = slot.state.kind === "IDLE" ? slot.state.ask : slot.lastAsk;
  s.idleSlots--;
  if (node.idle.length > 0) s.idle.append(node.byIdle);
  else unlink(node.byIdle);
  return { slot, ask };
}

/** The worker of an idle slot is gone. */
export function withdrawSlot(s: SchedulerState, node: NodeState, slot: Slot): void {
  slot.state = AWAY;
  node.idle.splice(node.idle.indexOf(slot), 1);
  if (!node.open) return;
  s.idleSlots--;
  if (node.idle.length === 0) unlink(node.byIdle);
}

/** Takes note of whether the node takes new tasks. Its idle slots count only while it does. */
export function openOrClose(s: SchedulerState, node: NodeState): void {
  const open = s.rules.isOpen(node.draining, s.handBars.has(node.id));
  if (open === node.open) return;
  node.open = open;
  if (node.idle.length === 0) return;
  if (open) {
    s.idleSlots += node.idle.length;
    s.idle.append(node.byIdle);
    s.opened.add(node);
  } else {
    s.idleSlots -= node.idle.length;
    unlink(node.byIdle);
  }
}
