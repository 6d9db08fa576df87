import { isBarred } from "./barring.ts";
import { formatTask, PHASES } from "./ids.ts";
import type { JobState } from "./job-state.ts";
import type { NodeState } from "./node.ts";
import type { SchedulerState } from "./scheduler-state.ts";
import type { Task } from "./task.ts";

/** Nodes named in an explanation. */
const NAMED_MAX = 3;

/**
 * Whether a job of which nothing runs has only to wait until other jobs need their slots no more. Costs as
 * much as there are nodes granted.
 */
export function waitsForOthers(s: SchedulerState, job: JobState): boolean {
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

/** What keeps the tasks of a job of which nothing runs from running. Costs as much as there are nodes. */
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
