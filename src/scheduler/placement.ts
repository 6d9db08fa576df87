/**
 * Who runs where. Work meets slots in three ways: a slot asks and takes the best task (`serveNode`), a task
 * becomes READY and takes an idle slot (`placeFresh`), or a node may take more than before (`serveOpened`).
 * Together they keep one promise: after each step, no idle slot could run any READY task.
 */
import { idleFor, mayUse } from "./grants.ts";
import type { JobState } from "./job-state.ts";
import type { NodeState } from "./node.ts";
import { startAttempt } from "./run-attempt.ts";
import type { SchedulerState } from "./scheduler-state.ts";
import { backupFor } from "./speculation.ts";
import type { Task } from "./task.ts";

/** Fills the idle slots of a node: from the least served job that has something for it; else with backups. */
export function serveNode(s: SchedulerState, node: NodeState): void {
  if (!node.open) return;
  const choose = (job: JobState): Task | undefined =>
    mayUse(s, job, node.id) ? job.queue.peek(node.id, s.nodes.size > 1) : undefined;
  while (node.idle.length > 0) {
    const task = s.queue.find(choose);
    if (task !== undefined) {
      startAttempt(s, task, node, null);
      continue;
    }
    const slow = backupFor(s, node);
    if (slow === undefined) return;
    startAttempt(s, slow.task, node, slow);
  }
}

/**
 * Gives the tasks that became READY in this step to idle slots: first those that have one near, then the
 * others.
 */
export function placeFresh(s: SchedulerState): void {
  if (s.fresh.length === 0) return;
  const fresh = s.fresh;
  s.fresh = [];
  if (s.idleSlots === 0) return;
  const place = (task: Task, node: NodeState | undefined): void => {
    if (node !== undefined && task.state.kind === "READY") startAttempt(s, task, node, null);
  };
  for (const task of fresh) {
    if (s.idleSlots === 0) return;
    if (task.pinned.length > 0) place(task, idleAmong(s, task, task.pinned));
    else if (task.preferred.length > 0) place(task, idleAmong(s, task, task.preferred));
  }
  const full = new Set<JobState>();
  for (const task of fresh) {
    if (s.idleSlots === 0) return;
    if (task.state.kind !== "READY" || task.pinned.length > 0 || full.has(task.job)) continue;
    const node = idleAnywhere(s, task);
    if (node === undefined) full.add(task.job);
    else place(task, node);
  }
}

/** Serves the nodes that were opened, or whose grants have got room, in this step. */
export function serveOpened(s: SchedulerState): void {
  if (s.opened.size === 0) return;
  for (const node of s.opened) if (s.nodes.get(node.id) === node) serveNode(s, node);
  s.opened.clear();
}

function idleAmong(s: SchedulerState, task: Task, names: readonly string[]): NodeState | undefined {
  let second: NodeState | undefined;
  for (const name of names) {
    const node = s.nodes.get(name);
    if (node === undefined || !node.open || node.idle.length === 0 || !mayUse(s, task.job, name)) continue;
    if (name !== task.lastFailedNode) return node;
    second = node;
  }
  return second;
}

function idleAnywhere(s: SchedulerState, task: Task): NodeState | undefined {
  let second: NodeState | undefined;
  for (const node of idleFor(s, task.job)) {
    if (node.id !== task.lastFailedNode) return node;
    second = node;
  }
  return second;
}
