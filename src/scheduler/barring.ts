import type { Failure } from "./failure.ts";
import { failJob } from "./job-end.ts";
import type { JobState } from "./job-state.ts";
import { loseOutputs } from "./output-loss.ts";
import type { SchedulerState } from "./scheduler-state.ts";

/** What a node has done to a job. */
export interface Bar {
  failures: number;
  /** Those of them that are the system's. */
  systemFailures: number;
  lastMs: number;
  lastMessage: string;
  /** null: not barred, only counted. */
  untilMs: number | null;
}

export function isBarred(job: JobState, node: string): boolean {
  if (job.bars.size === 0) return false;
  const bar = job.bars.get(node);
  return bar !== undefined && bar.untilMs !== null;
}

/**
 * Counts a failure on a node against it. The node is barred at the limit; when it is the last one admitted,
 * the job fails if the failures were the system's (a full disk), and goes on by the attempt limits if they
 * were user code's. A barred node gets no tasks; what its maps have written stays of use.
 * @param failure null for a fetch that failed: that may bar, but never fails the job, as it does not tell
 *   which side is broken
 */
export function noteFailure(
  s: SchedulerState,
  job: JobState,
  node: string,
  failure: Failure | null,
  message: string,
): void {
  const bar = barOf(s, job, node);
  bar.failures++;
  bar.lastMs = s.nowMs;
  bar.lastMessage = message;
  if (failure?.blame === "system") bar.systemFailures++;
  s.facts?.bar(job, node);
  if (bar.untilMs !== null || bar.failures < job.policy.barAfterFailures) return;
  if (hasOtherNode(s, job, node)) {
    bar.untilMs = s.nowMs + job.policy.barMs;
    s.commands.push({ kind: "nodeBarred", job: job.id, node, untilMs: bar.untilMs });
  } else if (failure?.blame === "system" && bar.systemFailures >= job.policy.barAfterFailures) {
    const times = `${node}, the last node this job may use, failed ${bar.systemFailures} times`;
    failJob(s, job, { ...failure, message: `${times}; last: ${failure.message}` });
  }
}

/**
 * A fetch from the node failed, which has been counted. From a barred one no other is tried: all that its
 * maps have written for the job is given up at once, instead of one output and one reduce attempt at a time.
 */
export function doubtOutputs(s: SchedulerState, job: JobState, node: string): void {
  const source = s.nodes.get(node);
  const bar = job.bars.get(node);
  if (source === undefined || bar === undefined || bar.untilMs === null) return;
  loseOutputs(s, job, source, `${node} is barred after ${bar.failures} failures; last: ${bar.lastMessage}`);
}

/** Lifts the bars whose time has come; returns the nodes admitted again. */
export function liftBars(s: SchedulerState, job: JobState): string[] {
  const lifted: string[] = [];
  for (const [node, bar] of job.bars) {
    if (bar.untilMs === null || bar.untilMs > s.nowMs) continue;
    job.bars.delete(node);
    s.facts?.bar(job, node);
    s.commands.push({ kind: "nodeAdmitted", job: job.id, node });
    lifted.push(node);
  }
  return lifted;
}

function barOf(s: SchedulerState, job: JobState, node: string): Bar {
  const old = job.bars.get(node);
  if (old !== undefined && (old.untilMs !== null || s.nowMs - old.lastMs < job.policy.barMs)) return old;
  const bar: Bar = { failures: 0, systemFailures: 0, lastMs: s.nowMs, lastMessage: "", untilMs: null };
  job.bars.set(node, bar);
  return bar;
}

function hasOtherNode(s: SchedulerState, job: JobState, node: string): boolean {
  for (const [name, { open }] of s.nodes) if (open && name !== node && !isBarred(job, name)) return true;
  return false;
}
