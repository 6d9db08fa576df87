/**
 * Who runs where. Work meets slots in three ways: a slot asks and takes the best task (`serveNode`), a task
 * becomes READY and takes an idle slot (`placeFresh`), or a node may take more than before (`serveOpened`).
 * Together they keep one promise: after each step, no idle slot could run any READY task.
 */
import { PHASES } from "./ids.ts";
import {
  type Attempt,
  isBarred,
  type JobState,
  type NodeState,
  type PhaseState,
  type SchedulerState,
  type Task,
} from "./state.ts";
import { startAttempt } from "./transitions.ts";

/** Whether the job may run one attempt more on the node. */
function mayUse(s: SchedulerState, job: JobState, node: string): boolean {
  return s.rules.hasGrant(job, node) && !isBarred(job, node);
}

/**
 * The nodes that have an idle slot for the job, next to be used first. Costs no more than there are idle
 * nodes, or nodes with room.
 */
export function* idleFor(s: SchedulerState, job: JobState): Generator<NodeState> {
  const { room } = job.grants;
  if (room === null || room.size >= s.idle.size) {
    for (const node of s.idle) if (mayUse(s, job, node.id)) yield node;
    return;
  }
  for (const name of room) {
    const node = s.nodes.get(name);
    if (node !== undefined && node.open && node.idle.length > 0 && !isBarred(job, name)) yield node;
  }
}

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

/** What has changed in this step so far may leave idle slots beside READY tasks: after this, none are. */
export function placeReady(s: SchedulerState): void {
  placeFresh(s);
  serveOpened(s);
}

/**
 * Gives the tasks that became READY in this step to idle slots: first those that have one near, then the
 * others.
 */
function placeFresh(s: SchedulerState): void {
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
function serveOpened(s: SchedulerState): void {
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

/** Attempts, oldest first, and idle nodes that are tried before giving up until later. */
const LOOK_MAX = 8;

/** A slow attempt that the node could run a backup of; the attempt's own node is no help. */
function backupFor(s: SchedulerState, node: NodeState): Attempt | undefined {
  for (const job of s.active) {
    const slow = slowAttempt(s, job, node);
    if (slow !== undefined) return slow;
  }
  return undefined;
}

/**
 * Starts backups on idle slots. Called as time passes: nothing else tells that an attempt has become slow.
 */
export function startBackups(s: SchedulerState, job: JobState): void {
  while (s.idleSlots > 0 && hasSlow(s, job)) {
    const found = findBackup(s, job);
    if (found === undefined) return;
    startAttempt(s, found.slow.task, found.node, found.slow);
  }
}

function findBackup(s: SchedulerState, job: JobState): { node: NodeState; slow: Attempt } | undefined {
  let looked = 0;
  for (const node of idleFor(s, job)) {
    if (looked++ === LOOK_MAX) return undefined;
    const slow = slowAttempt(s, job, node);
    if (slow !== undefined) return { node, slow };
  }
  return undefined;
}

function slowAttempt(s: SchedulerState, job: JobState, node: NodeState): Attempt | undefined {
  if (!job.policy.speculation || job.status.kind !== "RUNNING" || !mayUse(s, job, node.id)) return undefined;
  for (const name of PHASES) {
    const phase = job.phases[name];
    let looked = 0;
    for (let link = phase.ages.first; link !== null && looked < LOOK_MAX; link = link.next, looked++) {
      const attempt = link.item;
      if (!isSlowNow(s, job, phase, attempt)) continue;
      const { task } = attempt;
      if (task.state.kind === "RUNNING" && task.state.granted !== null) continue;
      if (attempt.node.id === node.id || (task.pinned.length > 0 && !task.pinned.includes(node.id))) continue;
      return attempt;
    }
  }
  return undefined;
}

function hasSlow(s: SchedulerState, job: JobState): boolean {
  if (!job.policy.speculation) return false;
  return PHASES.some((name) => {
    const phase = job.phases[name];
    let looked = 0;
    for (let link = phase.ages.first; link !== null && looked < LOOK_MAX; link = link.next, looked++)
      if (isSlowNow(s, job, phase, link.item)) return true;
    return false;
  });
}

function isSlowNow(s: SchedulerState, job: JobState, phase: PhaseState, attempt: Attempt): boolean {
  const { startedMs, beganMs, fraction } = attempt;
  const workedMs = beganMs === null ? null : s.nowMs - beganMs;
  const run = { elapsedMs: s.nowMs - startedMs, workedMs, fraction };
  return s.rules.isSlow(phase, job.policy, run);
}
