import { Worker as Thread } from "node:worker_threads";
import { builtUrl } from "../base/package-places.ts";
import type { Split } from "../task/split.ts";
import { PROGRESS_BYTES, type TaskFailure } from "../task/task-spec.ts";
import { placed } from "../worker/poison.ts";
import { type Trace, tracedPlace } from "../worker/trace.ts";

/** What the thread that watches a task (watch-entry.ts) is given. */
export interface WatchData {
  /** The progress board, and one Int32 that says what is being done. Shared. */
  readonly board: SharedArrayBuffer;
  readonly state: SharedArrayBuffer;
  /** Process id of the engine's process that started this one. */
  readonly parent: number;
  readonly task: string;
  readonly phase: string;
  readonly scratch: string;
  readonly noProgressMs: number;
  readonly noProgressSetting: string;
  /** So often the engine is to hear that the task lives. */
  readonly statusMs: number;
  /** What a map reads, where it is traced (worker/trace.ts). */
  readonly traced: Traced | null;
}

/** A traced map: with this and the board it is known at which record it is. */
export interface Traced {
  readonly trace: Trace;
  readonly pieces: Split["pieces"];
}

/** The failure with the record that the map was at, as far as that is known. */
export function withPlace(
  failure: TaskFailure,
  traced: Traced | null,
  board: Readonly<Float64Array>,
): TaskFailure {
  const place = traced === null ? null : tracedPlace(board, traced.trace);
  return place === null ? failure : placed(traced!.pieces, failure, place);
}

export const STATE_CELL = 0;
/** Resting: what is done has no time limit of its own, as reading what the engine sends. */
export const STATES = { resting: 0, running: 1 } as const;

/** A thread costs address space, which some clusters count: as little of it as V8 can do with, MB. */
const threadLimits = { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2, codeRangeSizeMb: 8 };

/** Sees from outside whether the task moves on. */
export class JobWatch {
  readonly board: Float64Array;
  readonly #state: Int32Array;

  constructor(about: Omit<WatchData, "board" | "state">) {
    const board = new SharedArrayBuffer(PROGRESS_BYTES);
    const state = new SharedArrayBuffer(4);
    this.board = new Float64Array(board);
    this.#state = new Int32Array(state);
    const workerData: WatchData = { ...about, board, state };
    const entry = new URL("hosted/watch-entry.js", builtUrl);
    new Thread(entry, { workerData, resourceLimits: threadLimits, env: {} }).unref();
  }

  /** User code runs from now on, or runs no more. */
  set isRunning(runs: boolean) {
    Atomics.store(this.#state, STATE_CELL, runs ? STATES.running : STATES.resting);
  }
}
