import type { AttemptRef } from "../scheduler/ids.ts";
import type { TaskSpec } from "../task/task-spec.ts";
import { tracedPlace } from "../worker/trace.ts";
import type { RecordPlace, Trace } from "../worker/trace.ts";

/** An attempt that a worker of this machine has. */
export interface RunningAttempt {
  readonly id: number;
  readonly ref: AttemptRef;
  readonly slot: number;
  readonly spec: TaskSpec;
  readonly directory: string;
  readonly trace: Trace | null;
  readonly startedMs: number;
  board: Readonly<Float64Array>;
  /** Times it was seen to have moved on, and when the last time was. */
  moves: number;
  movedMs: number;
  lastBeat: number;
}

/** The record a traced attempt is at. */
export function placeOf({ trace, board }: RunningAttempt): RecordPlace | null {
  return trace === null ? null : tracedPlace(board, trace);
}
