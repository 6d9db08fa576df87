import { formatTask, PHASES, systemFailure } from "./ids.ts";
import { failJob } from "./job-progress.ts";
import { expireAttempt, liftBars, loseNode } from "./losses.ts";
import { idleFor, placeReady, serveNode, startBackups } from "./placement.ts";
import {
  type Attempt,
  isBarred,
  type JobState,
  type NodeState,
  type SchedulerState,
  type Task,
} from "./state.ts";
import { killAttempt, moveTask } from "./transitions.ts";

/**
 * What happens because time has passed. Costs as much as there are jobs, plus what is due; not as there are
 * nodes or tasks.
 */
export function tick(s: SchedulerState, absentMs: number): void {
  if (absentMs > 0) forgiveSilence(s, absentMs);
  expireLeases(s);
  for (const job of s.active) {
    expireAttempts(s, job);
    for (const name of liftBars(s, job)) {
      const node = s.nodes.get(name);
      if (node !== undefined) serveNode(s, node);
    }
  }
  // What was lost takes slots that are idle, before any is taken from others for it.
  placeReady(s);
  for (const job of s.active) {
    if (s.idleSlots > 0) startBackups(s, job);
    preempt(s, job);
    if (s.idleSlots > 0) askForRest(s, job);
    failStalled(s, job);
  }
}

/**
 * The driver could receive nothing for so long: every time at which something was last heard moves on by as
 * much. Their order stays.
 */
function forgiveSilence(s: SchedulerState, absentMs: number): void {
  const later = (ms: number): number => Math.min(ms + absentMs, s.nowMs);
  for (const node of s.leases) node.heardMs = later(node.heardMs);
  for (const job of s.active) {
    job.activeMs = later(job.activeMs);
    for (const attempt of job.watched) {
      attempt.progressMs = later(attempt.progressMs);
      attempt.reportedMs = later(attempt.reportedMs);
    }
  }
}

function expireLeases(s: SchedulerState): void {
  for (let link = s.leases.first; link !== null; link = s.leases.first) {
    const node = link.item;
    const silentMs = s.nowMs - node.heardMs;
    if (silentMs < s.settings.leaseMs) return;
    loseNode(s, node, `silent for ${Math.round(silentMs)} ms`);
    s.commands.push({ kind: "fenceNode", node: node.id, incarnation: node.incarnation });
  }
}

function expireAttempts(s: SchedulerState, job: JobState): void {
  for (let link = job.watched.first; link !== null; link = job.watched.first) {
    if (s.nowMs - link.item.progressMs < job.policy.noProgressMs) return;
    expireAttempt(s, link.item);
  }
}

/**
 * Fails a job that has waited too long for a node: there is none, or none that may run its tasks. One that
 * only waits for slots that other jobs use goes on waiting.
 */
function failStalled(s: SchedulerState, job: JobState): void {
  if (job.status.kind !== "RUNNING" || job.running > 0) return;
  const waitedMs = s.nowMs - job.activeMs;
  const noNode = s.nodes.size === 0;
  if (waitedMs < (noNode ? job.policy.queueTimeoutMs : job.policy.stallMs)) return;
  if (waitsForOthers(s, job)) {
    job.activeMs = s.nowMs;
    return;
  }
  const tasks = job.ready === 1 ? "1 task has" : `${job.ready} tasks have`;
  const text = `${tasks} waited for ${Math.round(waitedMs)} ms: ${explainWait(s, job)}`;
  failJob(s, job, systemFailure("NO_AGENTS", text));
}

/** How the reason of an attempt begins that was ended for another job. */
export const PREEMPTED = "its slot is needed by a job of higher priority";

/**
 * Frees slots for a job that has waited for what it was granted: of jobs of lower priority it ends attempts
 * that run beyond their grants, the youngest first. They run again later; no attempt is used up. A task is
 * ended so only a few times, so that even a job that others overtake all the time comes to its end. Called as
 * time passes; costs nothing unless the job waits, then as much as the slots of the nodes it is granted, and
 * its READY tasks once it has waited for long enough.
 */
function preempt(s: SchedulerState, job: JobState): void {
  const { room } = job.grants;
  if (room === null || room.size === 0 || job.ready === 0 || job.status.kind !== "RUNNING") {
    job.starvedMs = null;
    return;
  }
  const waitedMs = job.starvedMs === null ? 0 : s.nowMs - job.starvedMs;
  let left = job.ready;
  let starves = false;
  for (const name of room) {
    const node = s.nodes.get(name);
    if (node === undefined || !node.open || node.idle.length > 0 || isBarred(job, name)) continue;
    if (left <= 0) break;
    if (job.queue.peek(name, false) === undefined) continue;
    const victims = victimsOn(s, node, job);
    if (victims.length === 0) continue;
    starves = true;
    if (waitedMs < job.policy.preemptAfterMs) break;
    // Slots whose workers have ended something and have yet to ask will be free at once.
    const away = node.slots.filter(({ state }) => state.kind === "AWAY").length;
    const usable = Math.min(left, job.queue.count(name, job.grants.roomOn(name)));
    for (const victim of victims.slice(0, Math.max(0, usable - away))) {
      left--;
      endFor(s, victim, job);
    }
  }
  job.starvedMs = starves ? (job.starvedMs ?? s.nowMs) : null;
}

function endFor(s: SchedulerState, victim: Attempt, job: JobState): void {
  const { task, ref } = victim;
  killAttempt(s, victim, `${PREEMPTED}, ${job.id}`);
  moveTask(s, task, { kind: "release", attempt: ref.attempt, open: task.phase.open });
}

/** What may be ended on the node for the job: of the least important jobs, and begun last, first. */
function victimsOn(s: SchedulerState, node: NodeState, job: JobState): Attempt[] {
  const found: Attempt[] = [];
  for (const { state } of node.slots) {
    if (state.kind === "BUSY" && mayEnd(s, state.attempt, job)) found.push(state.attempt);
  }
  found.sort((a, b) => a.task.job.weight - b.task.job.weight || b.startedMs - a.startedMs || b.slot - a.slot);
  const taken = new Map<JobState, number>();
  return found.filter(({ task }) => {
    const before = taken.get(task.job) ?? 0;
    taken.set(task.job, before + 1);
    return before < task.job.grants.excessOn(node.id);
  });
}

function mayEnd(s: SchedulerState, { task }: Attempt, job: JobState): boolean {
  if (!s.rules.mayTakeFrom(job, task.job) || task.job.status.kind !== "RUNNING") return false;
  if (task.state.kind !== "RUNNING" || task.state.granted !== null) return false;
  return timesPreempted(task) < task.job.policy.preemptionsMax;
}

/** How often attempts of the task were ended for other jobs. */
export function timesPreempted({ attempts }: Pick<Task, "attempts">): number {
  return attempts.filter(({ state }) => state.kind === "KILLED" && state.reason.startsWith(PREEMPTED)).length;
}

/** Parts asked for per slot that may work on them: tasks of unequal weight then end together. */
const PARTS_PER_SLOT = 2;

/**
 * When nothing is left to start and slots are idle, asks map attempts that have run for a while to hand over
 * what they have not begun: a few slow records, or a large split of them, then keep all slots busy. Called as
 * time passes; costs nothing unless slots are idle.
 */
function askForRest(s: SchedulerState, job: JobState): void {
  const { handOverAfterMs } = job.policy;
  const { map } = job.phases;
  if (!Number.isFinite(handOverAfterMs) || job.status.kind !== "RUNNING") return;
  if (job.ready > 0 || !map.open || map.counts.RUNNING === 0) return;
  let idle = 0;
  for (const node of idleFor(s, job)) idle += Math.min(node.idle.length, job.grants.roomOn(node.id));
  let asked = 0;
  for (const { ref, task, node, beat, startedMs, askedForRest } of map.ages) {
    if (asked === idle || s.nowMs - startedMs < handOverAfterMs) return;
    if (askedForRest || beat === null || !isUntroubled(task)) continue;
    task.attempts[0]!.askedForRest = true;
    asked++;
    const { id, incarnation } = node;
    const parts = PARTS_PER_SLOT * (idle + 1);
    s.commands.push({ kind: "handOver", attempt: ref, parts, node: id, incarnation });
  }
}

/** Its first attempt, alone: what failed before is run again as it was. */
function isUntroubled({ attempts, state }: Task): boolean {
  return attempts.length === 1 && state.kind === "RUNNING" && state.granted === null;
}

/** Nodes named in an explanation. */
const NAMED_MAX = 3;

/**
 * Whether a job of which nothing runs only waits for slots that other jobs use. Costs as much as there are
 * nodes granted.
 */
function waitsForOthers(s: SchedulerState, job: JobState): boolean {
  if (s.busySlots === 0) return false;
  if (s.idleSlots === 0) return true;
  const { grants } = job.grants;
  if (grants === null) return false;
  const names = grantedNodes(job);
  if (names.length === 0) return true;
  return names.some((name) => {
    const node = s.nodes.get(name);
    return node !== undefined && node.open && !isBarred(job, name) && isBusy(node);
  });
}

/** Why no task of a job runs, for people to read. Costs as much as there are nodes. */
export function explainWait(s: SchedulerState, job: JobState): string {
  if (s.nodes.size === 0) return s.incarnations.size === 0 ? "no agent has joined" : lostAgents(s);
  const task = firstReady(job);
  const pinned = task?.pinned ?? [];
  const { grants } = job.grants;
  const granted = grantedNodes(job);
  if (grants !== null && granted.length === 0) return "no core granted";
  const names = pinned.length > 0 ? pinned : grants === null ? [...s.nodes.keys()] : granted;
  const reasons = names.slice(0, NAMED_MAX).map((name) => reasonFor(s, job, name));
  if (names.length > NAMED_MAX) reasons.push(`and ${names.length - NAMED_MAX} more`);
  const only = pinned.length > 0 ? `${formatTask(task!.ref)} has its input on ${pinned.join(", ")}; ` : "";
  return only + reasons.join("; ");
}

function reasonFor(s: SchedulerState, job: JobState, name: string): string {
  const node = s.nodes.get(name);
  if (node === undefined) return `agent ${name} is not there`;
  const byHand = s.handBars.get(name);
  if (byHand !== undefined) return `agent ${name} is barred by hand: ${byHand}`;
  if (node.draining) return `agent ${name} is draining`;
  const bar = job.bars.get(name);
  if (bar !== undefined && bar.untilMs !== null)
    return `agent ${name} is barred: ${bar.failures}x failed, last: ${bar.lastMessage}`;
  if (!job.grants.has(name)) return `no core of agent ${name} granted`;
  if (isBusy(node)) return `all ${node.slots.length} slots of agent ${name} run other jobs`;
  return `no worker of agent ${name} asks for tasks`;
}

function lostAgents(s: SchedulerState): string {
  const names = [...s.incarnations.keys()];
  const more = names.length > NAMED_MAX ? ` and ${names.length - NAMED_MAX} more` : "";
  return `no agent is left of ${names.slice(0, NAMED_MAX).join(", ")}${more}`;
}

/** Names of the nodes of which the job may use a core at all. */
function grantedNodes(job: JobState): string[] {
  return Object.entries(job.grants.grants ?? {}).flatMap(([name, cores]) => (cores > 0 ? [name] : []));
}

function isBusy(node: NodeState): boolean {
  return node.idle.length === 0 && node.slots.some((slot) => slot.state.kind === "BUSY");
}

function firstReady(job: JobState): Task | undefined {
  for (const name of PHASES) {
    const { counts, tasks } = job.phases[name];
    if (counts.READY > 0) return tasks.find((task) => task.state.kind === "READY");
  }
  return undefined;
}
