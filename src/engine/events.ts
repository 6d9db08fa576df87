import type { Clock } from "../base/clock.ts";
import type { EmptyFiles } from "../task/empty-files.ts";
import type { TaskFailure, TaskStats } from "../task/task-spec.ts";
import type { Isolation } from "../worker/worker.ts";
import type { JobDirectory } from "./job-directory.ts";
import type { CommittedPart, PhaseTiming, RunStatus } from "./options.ts";

/** The stages of a run, in order; `sample` only for total order. */
export type RunPhase = "load" | "plan" | "sample" | "map" | "reduce" | "commit";

/** One phase as it stands, for a progress line. */
export interface PhaseProgress {
  readonly phase: "sample" | "map" | "reduce";
  readonly tasks: number;
  readonly finished: number;
  readonly running: number;
  /** 0 to 1, finished tasks and the running ones' shares. */
  readonly fraction: number;
  readonly recordsIn: number;
  readonly bytesIn: number;
  readonly recordsOut: number;
  readonly spillBytes: number;
}

/**
 * What happened, in one union; plain data, so that `--json` prints it as it is. `atMs` counts from the run's
 * start.
 */
export type RunEvent = { readonly atMs: number } & RunEventBody;

export type RunEventBody =
  /** The job is loaded and has its id; nothing has been read yet. */
  | {
      readonly kind: "job-started";
      readonly jobId: string;
      readonly name: string;
      /** Job file, null for a Job object. */
      readonly file: string | null;
      /** Content hash of the bundle, null for a Job object. */
      readonly code: string | null;
      readonly directory: string | null;
      readonly output: string | null;
      readonly isolation: Isolation;
    }
  | {
      readonly kind: "planned";
      readonly files: number;
      readonly bytes: number;
      readonly mapTasks: number;
      readonly reduceTasks: number;
      readonly partitions: Readonly<Record<string, number>>;
      readonly workersMax: number;
    }
  | { readonly kind: "phase-started"; readonly phase: RunPhase; readonly tasks: number }
  | { readonly kind: "phase-finished"; readonly phase: RunPhase; readonly elapsedMs: number }
  /** About four times a second while tasks run. */
  | {
      readonly kind: "progress";
      readonly phases: readonly PhaseProgress[];
      readonly workers: number;
      readonly badRecords: number;
    }
  | {
      readonly kind: "attempt-started";
      readonly task: string;
      readonly attempt: number;
      readonly worker: number;
    }
  | {
      readonly kind: "attempt-finished";
      readonly task: string;
      readonly attempt: number;
      readonly stats: TaskStats;
    }
  /** `lost`: the worker went away or the system failed; that does not use up the task's attempts. */
  | {
      readonly kind: "attempt-failed";
      readonly task: string;
      readonly attempt: number;
      readonly outcome: "failed" | "lost";
      readonly failure: TaskFailure;
      readonly willRetry: boolean;
    }
  | {
      readonly kind: "attempt-cancelled";
      readonly task: string;
      readonly attempt: number;
      readonly reason: string;
    }
  /** What user code printed or logged; whole lines, without the last newline. */
  | {
      readonly kind: "log";
      /** "" while the job file was being loaded. */
      readonly task: string;
      readonly attempt: number;
      readonly stream: "log" | "stdout" | "stderr";
      readonly text: string;
    }
  | { readonly kind: "warning"; readonly message: string }
  | {
      readonly kind: "job-finished";
      readonly jobId: string;
      readonly status: RunStatus;
      readonly output: string | null;
      readonly parts: readonly CommittedPart[];
      /** Of a job on a cluster whose list is longer than an event may be: how many more there are. */
      readonly moreParts?: number;
      readonly counters: Readonly<Record<string, number>>;
      readonly stats: TaskStats;
      readonly badRecords: number;
      /** null when every file that was read to its end gave a record. */
      readonly emptyFiles: EmptyFiles | null;
      /** The share of the records that was read; left out: all of them. */
      readonly sample?: number;
      /** null when it succeeded. */
      readonly error: {
        readonly code: string;
        readonly message: string;
        readonly hint: string | null;
        readonly task: string | null;
        readonly attempt: number | null;
        /** The one-screen text. */
        readonly report: string;
      } | null;
    };

/** "map-00017", "reduce-00003", "sample-00000". */
export function taskName(kind: "sample" | "map" | "reduce", index: number): string {
  return `${kind}-${String(index).padStart(5, "0")}`;
}

/** Gives every event its time and passes it to the caller and to the job directory, in order. */
export class EventLog {
  readonly #clock: Clock;
  readonly #startedMs: number;
  readonly #listener: ((event: RunEvent) => void) | undefined;
  readonly phases: PhaseTiming[] = [];
  readonly #tasks = new Map<RunPhase, number>();
  #directory: JobDirectory | null = null;
  #early: RunEvent[] = [];

  constructor(clock: Clock, listener: ((event: RunEvent) => void) | undefined) {
    this.#clock = clock;
    this.#startedMs = clock.nowMs();
    this.#listener = listener;
  }

  get elapsedMs(): number {
    return this.#clock.nowMs() - this.#startedMs;
  }

  emit(body: RunEventBody): void {
    const event: RunEvent = { atMs: Math.round(this.elapsedMs * 1000) / 1000, ...body };
    if (body.kind === "phase-started") this.#tasks.set(body.phase, body.tasks);
    if (body.kind === "phase-finished") {
      const { phase, elapsedMs } = body;
      this.phases.push({ phase, tasks: this.#tasks.get(phase) ?? 0, elapsedMs });
    }
    if (this.#directory === null) this.#early.push(event);
    else this.#directory.event(event);
    this.#listener?.(event);
  }

  /** From now on events are kept there, those before included. */
  keepIn(directory: JobDirectory): void {
    this.#directory = directory;
    for (const event of this.#early) directory.event(event);
    this.#early = [];
  }

  /** Runs `work` as a phase without tasks. */
  async phase<T>(phase: RunPhase, work: () => Promise<T>): Promise<T> {
    const startedMs = this.#clock.nowMs();
    this.emit({ kind: "phase-started", phase, tasks: 0 });
    const result = await work();
    this.emit({ kind: "phase-finished", phase, elapsedMs: this.#clock.nowMs() - startedMs });
    return result;
  }
}

/** Tells when phases begin and end. One phase at a time; going back to an earlier one begins it again. */
export class PhaseClock {
  readonly #clock: Clock;
  readonly #emit: (event: RunEventBody) => void;
  #now: { readonly phase: RunPhase; readonly startedMs: number } | null = null;

  constructor(clock: Clock, emit: (event: RunEventBody) => void) {
    this.#clock = clock;
    this.#emit = emit;
  }

  /** Ends the phase before, if it is another. */
  enter(phase: RunPhase, tasks: number): void {
    if (this.#now?.phase === phase) return;
    this.leave();
    this.#now = { phase, startedMs: this.#clock.nowMs() };
    this.#emit({ kind: "phase-started", phase, tasks });
  }

  leave(): void {
    if (this.#now === null) return;
    const { phase, startedMs } = this.#now;
    this.#now = null;
    this.#emit({ kind: "phase-finished", phase, elapsedMs: this.#clock.nowMs() - startedMs });
  }
}
