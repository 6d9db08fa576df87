import { PROGRESS_CELLS } from "../task/task-spec.ts";
import { tracedPlace } from "./trace.ts";
import type { Trace } from "./trace.ts";
import { workerStartMsMax } from "./worker-slot.ts";

/**
 * Sees from outside whether an attempt moves on: its worker changes the progress board, or those who do
 * something for it say so.
 */
export class AttemptWatch {
  #trace: Trace | null = null;
  /** Times it was seen to have moved on; this is what the coordinator is told. */
  moves = 1;
  #movedMs: number;
  #lastBeat = 0;
  #runsSinceMs: number | null = null;

  constructor(nowMs: number) {
    this.#movedMs = nowMs;
  }

  /** A worker has the attempt from now on: before, others did something for it. */
  runs(trace: Trace | null, nowMs: number): void {
    this.#trace = trace;
    this.#runsSinceMs = nowMs;
    this.#lastBeat = 0;
    this.moved(nowMs);
  }

  /** No worker has it any more. */
  rests(nowMs: number): void {
    this.#runsSinceMs = null;
    this.moved(nowMs);
  }

  moved(nowMs: number): void {
    this.moves++;
    this.#movedMs = nowMs;
  }

  /** Looks at the board; returns for how long the attempt has stood still, ms. */
  look(board: Readonly<Float64Array>, nowMs: number): number {
    // Fetching and sending have limits of their own.
    if (this.#runsSinceMs === null) {
      this.moved(nowMs);
      return 0;
    }
    const place = this.#trace === null ? null : tracedPlace(board, this.#trace);
    const beat = beatOf(board) + (place === null ? 0 : place.piece + place.offset);
    // What a worker needs to start on a busy machine is not its task's time.
    const starting = beat === 0 && nowMs - this.#runsSinceMs < workerStartMsMax;
    if (starting || beat !== this.#lastBeat) {
      this.#lastBeat = beat;
      this.moved(nowMs);
    }
    return nowMs - this.#movedMs;
  }
}

/** Beat of a board: changes whenever the attempt has moved on. */
function beatOf(board: Readonly<Float64Array>): number {
  return board[PROGRESS_CELLS.beat]!;
}
