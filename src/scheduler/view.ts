import { type AttemptRef, type Phase, PHASES } from "./ids.ts";
import type { JobStatus } from "./messages.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Attempt, AttemptState, StateCounts } from "./state.ts";
import { explainWait } from "./time.ts";

interface PhaseView {
  readonly phase: Phase;
  readonly tasks: number;
  readonly counts: Readonly<StateCounts>;
  readonly backups: number;
}

interface JobView {
  readonly job: string;
  readonly status: "RUNNING" | "COMMITTING" | JobStatus;
  /** Attempts that run now. */
  readonly running: number;
  /** Phases that have tasks, in order. */
  readonly phases: readonly PhaseView[];
  /** Nodes alive, of them barred for this job; 0 nodes: the job waits for the first. */
  readonly nodes: number;
  readonly barred: number;
  /** So far, of committed attempts. */
  readonly counters: Readonly<Record<string, number>>;
}

/**
 * What a progress display shows; undefined for a job that is not known. Costs nothing that grows with tasks
 * or nodes.
 */
export function viewJob<Output, Detail>(
  scheduler: Scheduler<Output, Detail>,
  id: string,
): JobView | undefined {
  const { jobs, nodes } = scheduler.state;
  const job = jobs.get(id);
  if (job === undefined) return undefined;
  let barred = 0;
  for (const [node, bar] of job.bars) if (bar.untilMs !== null && nodes.has(node)) barred++;
  const phases = PHASES.map((name) => job.phases[name]).filter((phase) => phase.tasks.length > 0);
  return {
    job: id,
    status: job.status.kind === "ENDED" ? job.status.status : job.status.kind,
    running: job.running,
    phases: phases.map((phase) => ({
      phase: phase.name,
      tasks: phase.tasks.length,
      counts: { ...phase.counts },
      backups: phase.backups,
    })),
    nodes: nodes.size,
    barred,
    counters: Object.fromEntries(job.counters),
  };
}

/**
 * Why nothing of a job runs: "no agent has joined", "no core granted", "agent a is barred: ..."; null while
 * something does, or when it has ended. Costs as much as there are nodes.
 */
export function viewWait<Output, Detail>(scheduler: Scheduler<Output, Detail>, id: string): string | null {
  const job = scheduler.state.jobs.get(id);
  if (job === undefined || job.status.kind !== "RUNNING" || job.running > 0) return null;
  return explainWait(scheduler.state, job);
}

export interface AttemptRecord<Output = unknown, Detail = unknown> {
  readonly attempt: AttemptRef;
  readonly node: string;
  readonly incarnation: number;
  readonly slot: number;
  readonly backup: boolean;
  readonly startedMs: number;
  readonly state: AttemptState<Output, Detail>;
  /** Why the output of an attempt that succeeded is gone; null while it is there. */
  readonly outputLost: string | null;
}

/** Every attempt a job has made, in task order: the job's history. */
export function* viewAttempts<Output, Detail>(
  scheduler: Scheduler<Output, Detail>,
  id: string,
): Generator<AttemptRecord<Output, Detail>> {
  const job = scheduler.state.jobs.get(id);
  if (job === undefined) return;
  for (const name of PHASES) {
    for (const task of job.phases[name].tasks)
      for (const attempt of task.attempts) yield viewAttempt<Output, Detail>(attempt);
  }
}

function viewAttempt<Output, Detail>(attempt: Attempt): AttemptRecord<Output, Detail> {
  const { ref, node, slot, backup, startedMs, outputLost } = attempt;
  const state = stateOf<Output, Detail>(attempt);
  const { id, incarnation } = node;
  return { attempt: ref, node: id, incarnation, slot, backup, startedMs, state, outputLost };
}

export interface FinishedOutput<Output = unknown> {
  readonly task: number;
  readonly attempt: number;
  readonly node: string;
  /** As reported by attemptFinished. */
  readonly output: Output;
}

/**
 * The committed outputs of a phase, in the order of what the tasks read; tasks that have none (not finished,
 * or given up) are left out. What a reduce attempt is to read is what this gives for "map" at the moment its
 * startAttempt comes.
 */
export function* viewOutputs<Output, Detail>(
  scheduler: Scheduler<Output, Detail>,
  id: string,
  phase: Phase,
): Generator<FinishedOutput<Output>> {
  for (const task of scheduler.state.jobs.get(id)?.phases[phase].sequence ?? []) {
    if (task.state.kind !== "FINISHED") continue;
    const attempt = task.attempts[task.state.attempt - 1]!;
    const state = stateOf<Output, Detail>(attempt);
    if (state.kind !== "SUCCEEDED") continue;
    const { ref, node } = attempt;
    yield { task: ref.task, attempt: ref.attempt, node: node.id, output: state.output };
  }
}

/** How an attempt of a `Scheduler<Output, Detail>` ended: only its own events put in outputs and details. */
function stateOf<Output, Detail>({ state }: Attempt): AttemptState<Output, Detail> {
  return state as AttemptState<Output, Detail>;
}
