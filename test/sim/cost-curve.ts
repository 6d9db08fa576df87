import type { Clock } from "#src/base/clock.js";
import type { Command } from "#src/scheduler/commands.js";
import type { SchedulerEvent, TaskPlan } from "#src/scheduler/events.js";
import { Scheduler } from "#src/scheduler/scheduler.js";

const SLOTS = 2;

export interface CostPoint {
  readonly nodes: number;
  readonly tasks: number;
  readonly events: number;
  /** All events of the job, from its submission to its end, microseconds each. */
  readonly usPerEvent: number;
  /** The dearest single event: opening the reduce phase or ending the job. */
  readonly worstMs: number;
}

/**
 * Cost of the scheduler alone: one job of `tasks` tasks (1 in 20 a reduce), half with a preferred node, no
 * faults.
 */
export function measureCost(nodes: number, tasks: number, clock: Clock): CostPoint {
  const scheduler = new Scheduler({ leaseMs: Number.POSITIVE_INFINITY });
  let events = 0;
  let totalMs = 0;
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
    const begunMs = clock.nowMs();
    const commands = scheduler.step(event, nowMs);
    const tookMs = clock.nowMs() - begunMs;
    events++;
    totalMs += tookMs;
    worstMs = Math.max(worstMs, tookMs);
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
    job: { id: "j", map, reduce: Array.from({ length: reduces }, () => ({})) },
  });
  while (todo.length > 0) {
    for (const event of todo) obey(step(event));
    nowMs += 10;
    obey(step({ kind: "tick" }));
    todo = next.splice(0);
  }
  return { nodes, tasks, events, usPerEvent: (1_000 * totalMs) / events, worstMs };
}
