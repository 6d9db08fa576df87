import { Chain } from "./chain.ts";
import type { Command } from "./commands.ts";
import { FactBook } from "./fact-book.ts";
import { JobQueue } from "./job-queue.ts";
import type { JobState } from "./job-state.ts";
import type { NodeState } from "./node.ts";
import type { SchedulerSettings } from "./policy.ts";
import type { Rules } from "./rules.ts";
import type { Task } from "./task.ts";

/** All the scheduler knows. Owned by one Scheduler and changed in place, only inside `step`. */
export interface SchedulerState {
  readonly settings: SchedulerSettings;
  readonly rules: Rules;
  /** null: nobody asks for facts. */
  readonly facts: FactBook | null;
  /** The time of the event being handled. */
  nowMs: number;
  jobsSubmitted: number;
  readonly jobs: Map<string, JobState>;
  /** Jobs that have not ended. */
  readonly active: Set<JobState>;
  /** Nodes that are alive, by name. */
  readonly nodes: Map<string, NodeState>;
  /** The highest incarnation each node has ever had. */
  readonly incarnations: Map<string, number>;
  /** Longest silent first. */
  readonly leases: Chain<NodeState>;
  /** Nodes with idle slots, next to be used first. */
  readonly idle: Chain<NodeState>;
  readonly queue: JobQueue;
  /** Of open nodes. */
  idleSlots: number;
  busySlots: number;
  /** Tasks that became READY in this step and have not been offered to idle slots. */
  fresh: Task[];
  /** Nodes with idle slots for which new work may have turned up in this step. */
  readonly opened: Set<NodeState>;
  /** Why nodes are barred by hand, by name. */
  readonly handBars: Map<string, string>;
  /** What this step orders. */
  commands: Command[];
}

export function newSchedulerState(settings: SchedulerSettings, rules: Rules): SchedulerState {
  return {
    settings,
    rules,
    facts: settings.keepFacts ? new FactBook() : null,
    nowMs: 0,
    jobsSubmitted: 0,
    jobs: new Map(),
    active: new Set(),
    nodes: new Map(),
    incarnations: new Map(),
    leases: new Chain(),
    idle: new Chain(),
    queue: new JobQueue(),
    idleSlots: 0,
    busySlots: 0,
    fresh: [],
    opened: new Set(),
    handBars: new Map(),
    commands: [],
  };
}
