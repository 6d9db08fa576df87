import { isDeepStrictEqual } from "node:util";
import { type Phase, PHASES } from "#src/scheduler/ids.js";
import type { JobState, NodeState, SchedulerState, Task } from "#src/scheduler/state.js";

/**
 * All that a restored scheduler has to know as the lost one did, as plain data. Left out is what begins anew:
 * idle slots, beats, leases, how long a job has stood still, and jobs that have ended.
 */
export function canonical(s: SchedulerState): unknown {
  const byName = <T extends { id: string }>(a: T, b: T): number => (a.id < b.id ? -1 : 1);
  return {
    handBars: [...s.handBars].sort(),
    incarnations: [...s.incarnations].sort(),
    nodes: [...s.nodes.values()].sort(byName).map((node) => nodeView(s, node)),
    busySlots: s.busySlots,
    jobs: [...s.active].sort((a, b) => a.sequence - b.sequence).map((job) => jobView(job)),
  };
}

function nodeView(s: SchedulerState, node: NodeState): unknown {
  const slots = node.slots.map(({ state }) => {
    if (state.kind !== "BUSY") return null;
    const { ref, ask } = state.attempt;
    return { ...ref, ask };
  });
  const outputs = [...node.outputs]
    .filter(([job, tasks]) => s.jobs.get(job)?.status.kind === "RUNNING" && tasks.size > 0)
    .map(([job, tasks]) => [job, [...tasks].map((task) => task.ref.task).sort((a, b) => a - b)])
    .sort();
  return {
    id: node.id,
    incarnation: node.incarnation,
    draining: node.draining,
    open: node.open,
    slots,
    outputs,
  };
}

function jobView(job: JobState): unknown {
  const { id, weight, policy, submittedMs, status, ready, running, samplesAnnounced } = job;
  return {
    id,
    weight,
    policy,
    submittedMs,
    status,
    ready,
    running,
    samplesAnnounced,
    grants: job.grants.grants,
    room: job.grants.room && [...job.grants.room].sort(),
    outputChanges: job.outputChanges,
    queued: job.queueAt >= 0,
    watched: [...job.watched].map((attempt) => JSON.stringify(attempt.ref)).sort(),
    bars: [...job.bars].sort(),
    counters: [...job.counters].filter(([, sum]) => sum !== 0).sort(),
    phases: PHASES.map((name) => phaseView(job, name)),
  };
}

function phaseView(job: JobState, name: Phase): unknown {
  const { open, counts, backups, durations, ages, tasks } = job.phases[name];
  return {
    open,
    counts,
    backups,
    durations: [durations.count, durations.median],
    ages: [...ages].map((attempt) => JSON.stringify(attempt.ref)).sort(),
    tasks: tasks.map(taskView),
  };
}

function taskView(task: Task): unknown {
  const { order, pinned, preferred, state, lastFailedNode, counted } = task;
  return {
    order,
    pinned,
    preferred,
    state,
    lastFailedNode,
    counted,
    attempts: task.attempts.map(
      ({ ref, node, slot, ask, backup, startedMs, state: end, fingerprint, outputLost }) => ({
        ref,
        node: node.id,
        incarnation: node.incarnation,
        slot,
        ask,
        backup,
        startedMs,
        end,
        fingerprint,
        outputLost,
      }),
    ),
  };
}

/** Where two plain values differ first: "jobs.0.ready: 3, 2". */
export function difference(a: unknown, b: unknown, at: readonly string[] = []): string {
  if (typeof a === "object" && typeof b === "object" && a !== null && b !== null) {
    const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
    for (const key of new Set([...Object.keys(left), ...Object.keys(right)]))
      if (!isDeepStrictEqual(left[key], right[key])) return difference(left[key], right[key], [...at, key]);
  }
  return `${at.join(".")}: ${JSON.stringify(a)}, ${JSON.stringify(b)}`;
}
