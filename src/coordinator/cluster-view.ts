import type { ClusterView } from "../protocol/job-view.ts";
import { PROTOCOL_VERSION } from "../protocol/version.ts";
import type { Scheduler } from "../scheduler/scheduler.ts";
import type { Agents } from "./agents.ts";
import type { Jobs } from "./jobs.ts";
import type { Gauges } from "./service.ts";

export interface ClusterParts {
  readonly scheduler: Scheduler;
  readonly jobs: Jobs;
  readonly coordinator: string;
  readonly version: string;
  readonly startTime: string;
  readonly roots: readonly string[];
  readonly heartbeatMs: number;
}

export function clusterView({ scheduler, jobs, roots, ...rest }: ClusterParts): ClusterView {
  const { nodes, busySlots } = scheduler.state;
  let slots = 0;
  for (const node of nodes.values()) slots += node.slots.length;
  return {
    protocol: PROTOCOL_VERSION,
    ...rest,
    agents: nodes.size,
    slots,
    busy: busySlots,
    jobs: countJobs(jobs),
    roots: [...roots],
  };
}

export function gaugesOf(scheduler: Scheduler, jobs: Jobs, agents: Agents, nowMs: number): Gauges {
  const { nodes, busySlots, active } = scheduler.state;
  let slots = 0;
  let silentMs = 0;
  for (const node of nodes.values()) {
    slots += node.slots.length;
    silentMs = Math.max(silentMs, nowMs - (agents.get(node.id)?.heardMs ?? nowMs));
  }
  let ready = 0;
  let running = 0;
  for (const job of active) {
    ready += job.ready;
    running += job.running;
  }
  return {
    ...countJobs(jobs),
    agents: nodes.size,
    slots,
    busySlots,
    tasksReady: ready,
    tasksRunning: running,
    heartbeatAgeMsMax: silentMs,
  };
}

function countJobs(jobs: Jobs): { queued: number; running: number } {
  let queued = 0;
  for (const { row } of jobs.live()) if (row.state === "QUEUED" || row.state === "PLANNING") queued++;
  return { queued, running: jobs.liveCount - queued };
}
