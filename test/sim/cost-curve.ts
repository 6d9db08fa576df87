import { type Clock, systemClock } from "#src/base/clock.js";
import type { Fact } from "#src/scheduler/facts.js";
import type { Command, Grants, SchedulerEvent, TaskPlan } from "#src/scheduler/messages.js";
import { Scheduler } from "#src/scheduler/scheduler.js";

const SLOTS = 2;

/** Time the processor has spent on this process: other processes do not count. */
const cpuClock: Pick<Clock, "nowMs"> = {
  nowMs() {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1_000;
  },
};

export interface CostPoint {
  readonly nodes: number;
  readonly tasks: number;
  readonly events: number;
  /** Of all events of the job, from its submission to its end: processor time, microseconds. */
  readonly usPerEvent: number;
  /** The dearest single event, by the clock on the wall: opening the reduce phase or ending the job. */
  readonly worstMs: number;
}

export interface CostOptions {
  /** Facts are kept, and taken after each step. */
  readonly facts?: boolean;
  /** The job is granted half the cores of each node. */
  readonly grants?: boolean;
}

/**
 * Cost of the scheduler alone: one job of `tasks` tasks (1 in 20 a reduce), half with a preferred node, no
 * faults.
 */
export function measureCost(nodes: number, tasks: number, options: CostOptions = {}): CostPoint {
  const { facts: keepFacts = false, grants = false } = options;
  const scheduler = new Scheduler({ leaseMs: Number.POSITIVE_INFINITY, keepFacts });
  let events = 0;
  let worstMs = 0;
  let nowMs = 0;
  let todo: SchedulerEvent[] = [];
  const asks = new Map<string, number>();
  const ask = (node: string, slot: number): SchedulerEvent => {
    const key = `${node}/${slot}`;
    const number = (asks.get(key) ?? 0) + 1;
    asks.set(key, number);
    return { kind: "workerReady", node, incarnation: 1, slot, ask: number };
  };
  const step = (event: SchedulerEvent): readonly Command[] => {
    const begunMs = systemClock.nowMs();
    const commands = scheduler.step(event, nowMs);
    if (keepFacts) scheduler.takeFacts();
    events++;
    worstMs = Math.max(worstMs, systemClock.nowMs() - begunMs);
    return commands;
  };
  const next: SchedulerEvent[] = [];
  const obey = (commands: readonly Command[]): void => {
    for (const command of commands) {
      if (command.kind === "commitJob") next.push({ kind: "jobCommitted", job: command.job });
      if (command.kind !== "startAttempt") continue;
      const { attempt, node, incarnation, slot } = command;
      next.push(
        { kind: "attemptProgress", attempt, node, incarnation, beat: 1 },
        { kind: "attemptFinished", attempt, node, incarnation, output: null, counters: { records: 1 } },
        ask(node, slot),
      );
    }
  };
  for (let i = 0; i < nodes; i++)
    todo.push({ kind: "nodeJoined", node: `n${i}`, incarnation: 1, slots: SLOTS });
  for (let i = 0; i < nodes * SLOTS; i++) todo.push(ask(`n${i % nodes}`, Math.floor(i / nodes)));
  const reduces = Math.floor(tasks / 20);
  const near = (i: number): TaskPlan => (i % 2 === 0 ? {} : { preferred: [`n${(i * 7) % nodes}`] });
  const map = Array.from({ length: tasks - reduces }, (_, i) => near(i));
  todo.push({
    kind: "jobSubmitted",
    job: {
      id: "j",
      map,
      ...(grants ? { grants: halfOf(nodes) } : {}),
      reduce: Array.from({ length: reduces }, () => ({})),
    },
  });
  const begunMs = cpuClock.nowMs();
  while (todo.length > 0) {
    for (const event of todo) obey(step(event));
    nowMs += 10;
    obey(step({ kind: "tick" }));
    todo = next.splice(0);
  }
  const usPerEvent = (1_000 * (cpuClock.nowMs() - begunMs)) / events;
  return { nodes, tasks, events, usPerEvent, worstMs };
}

function halfOf(nodes: number): Grants {
  return Object.fromEntries(Array.from({ length: nodes }, (_, i) => [`n${i}`, SLOTS / 2]));
}

/** How long it takes to begin anew with a job of so many finished tasks, ms. */
export function measureRestore(nodes: number, tasks: number): number {
  const facts: Fact[] = [
    {
      kind: "job",
      job: "j",
      plan: { id: "j", map: Array.from({ length: tasks }, () => ({})) },
      sequence: 0,
      submittedMs: 0,
    },
  ];
  for (let i = 0; i < nodes; i++)
    facts.push({
      kind: "node",
      node: `n${i}`,
      incarnation: 1,
      slots: SLOTS,
      alive: true,
      draining: false,
      asks: [],
    });
  for (let task = 0; task < tasks - 1; task++) {
    facts.push({
      kind: "attempt",
      job: "j",
      phase: "map",
      task,
      attempt: 1,
      node: `n${task % nodes}`,
      incarnation: 1,
      slot: task % SLOTS,
      ask: task,
      backup: false,
      startedMs: 0,
      granted: false,
      state: { kind: "SUCCEEDED", endedMs: 5, output: null, counters: { records: 1 } },
      fingerprint: null,
      outputLost: null,
    });
  }
  const begunMs = cpuClock.nowMs();
  Scheduler.restore(facts, 10);
  return cpuClock.nowMs() - begunMs;
}
