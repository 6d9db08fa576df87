import type { Clock } from "../base/clock.ts";
import type { Phase } from "../scheduler/ids.ts";
import type { Split, TaskFailure, TaskSpec, TaskSuccess } from "../task/task-spec.ts";
import type { RunEventBody } from "../engine/events.ts";
import type { InjectedFault } from "../worker/fault-injection.ts";
import type { LocalPolicyOptions } from "./local-policy.ts";
import type { FailedTask } from "../engine/options.ts";
import type { Outputs } from "../engine/commit.ts";
import type { TaskTable } from "../engine/plan-job.ts";
import type { WorkerPool } from "../worker/pool.ts";

export interface DriverOptions extends LocalPolicyOptions {
  readonly jobId: string;
  readonly tasks: TaskTable;
  readonly pool: WorkerPool;
  /** Tasks that run at once at most, */
  readonly slots: number;
  /** and so many of them until a map turns out to be slow. */
  readonly slotsAtFirst: number;
  /** Directory, existing and the job's own, in which every attempt gets one. */
  readonly workDirectory: string;
  readonly faults: readonly InjectedFault[];
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
  emit(event: RunEventBody): void;
  /** All sample tasks are done; called before the first map starts. */
  sampled(results: readonly TaskSuccess[]): void;
  /** There are more map tasks: these, by number, read what they were to read from now on. */
  rested(maps: readonly Split[]): void;
  /** A task of the phase is finished; a failure ends the job by it. */
  taskFinished(phase: Phase, result: TaskSuccess, allOfPhase: boolean): TaskFailure | null;
  /** So many records were set aside because they ended workers; a failure ends the job by it. */
  poisoned(records: number): TaskFailure | null;
  /** Makes the output final. Rejects when that cannot be done: then nothing of it must be left. */
  commit(outcome: Outputs): Promise<void>;
}

export interface DriverResult {
  readonly status: "SUCCEEDED" | "FAILED" | "CANCELLED";
  /** The first real cause; null when it succeeded. */
  readonly cause: FailedTask | null;
  readonly outputs: Outputs;
  readonly failedAttempts: readonly FailedTask[];
  /** Tasks given up within the allowed share: "map-00017". */
  readonly failedTasks: readonly string[];
  /** What the attempts that failed were to do, by attempt name: what a capsule is made of. */
  readonly failedSpecs: ReadonlyMap<string, TaskSpec>;
}
