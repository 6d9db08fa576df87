import { expireAttempt } from "./attempt-events.ts";
import { liftBars } from "./barring.ts";
import { askForRest } from "./hand-over.ts";
import { systemFailure } from "./failure.ts";
import { failJob } from "./job-end.ts";
import type { JobState } from "./job-state.ts";
import { loseNode } from "./node-events.ts";
import { serveNode } from "./placement.ts";
import { preempt } from "./preemption.ts";
import type { SchedulerState } from "./scheduler-state.ts";
import { startBackups } from "./speculation.ts";
import { explainWait, waitsForOthers } from "./waiting.ts";

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
    if (s.idleSlots > 0) startBackups(s, job);
    preempt(s, job);
    if (s.idleSlots > 0) askForRest(s, job);
    failStalled(s, job);
  }
}

/** Nobody could be heard for so long: as if everybody had been heard that much later. The order stays. */
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
 * Fails a job that waits in vain: no node, or none that may run what waits. One that waits for others' slots
 * just waits.
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
