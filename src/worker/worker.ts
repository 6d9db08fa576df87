import type { SheafError } from "../base/errors.ts";
import type { ToWorker } from "./messages.ts";

/** Where user code runs: worker threads (default), child processes, or this thread (for debugging). */
export type Isolation = "thread" | "process" | "inline";

/** Why a worker is no more. */
export interface WorkerExit {
  /** Exit code; null when a signal ended it or it never started. */
  readonly code: number | null;
  readonly signal: string | null;
  /** It ran out of JavaScript heap. */
  readonly outOfMemory: boolean;
  /** The error that ended it, as text, when there was one. */
  readonly message: string | null;
}

/** The parent's half of a worker: a thread, a child process, or this thread. */
export interface Worker {
  /** The progress board (PROGRESS_CELLS), only to be read. For processes a copy that is refreshed. */
  readonly board: Float64Array;
  /** Of a child process that has started. */
  readonly pid?: number;
  send(message: ToWorker): void;
  /** Ends it whatever it is doing; `onExit` is still called. Idempotent. */
  kill(): void;
}

export interface WorkerListener {
  /** What came, of whatever form it is (see from-worker.ts). */
  message(message: unknown): void;
  /** Something came that is no message at all; nothing more will be heard. Called once at most. */
  broken(error: SheafError): void;
  /** Called once, after the last message. */
  exit(exit: WorkerExit): void;
}

export interface WorkerStart {
  /** JavaScript heap in bytes, null for Node's own limit. */
  readonly heapBytes: number | null;
  readonly listener: WorkerListener;
  /** The whole environment of a process. Default: that of this one, without NODE_OPTIONS. */
  readonly environment?: Readonly<Record<string, string>>;
}

export type StartWorker = (start: WorkerStart) => Worker;
