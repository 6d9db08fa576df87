import type { Clock } from "../base/clock.ts";
import type { PhaseTiming, RunEvent, RunEventBody, RunPhase } from "./events.ts";
import type { JobDirectory } from "./job-directory.ts";

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

  /** @param step the step of a pipeline that it is told of */
  emit(body: RunEventBody, step?: string): void {
    const event: RunEvent = { atMs: this.#now(), ...(step === undefined ? {} : { step }), ...body };
    if (body.kind === "phase-started") this.#tasks.set(body.phase, body.tasks);
    if (body.kind === "phase-finished") {
      const { phase, elapsedMs } = body;
      this.phases.push({ phase, tasks: this.#tasks.get(phase) ?? 0, elapsedMs });
    }
    if (this.#directory === null) this.#early.push(event);
    else this.#directory.event(event);
    this.#listener?.(event);
  }

  /** Passes on what happened in the run that is a step; its own history keeps it. */
  forward(event: RunEvent, step: string): void {
    this.#listener?.({ ...event, atMs: this.#now(), step });
  }

  #now(): number {
    return Math.round(this.elapsedMs * 1000) / 1000;
  }

  /** From now on events are kept there, those before included. */
  keepIn(directory: JobDirectory): void {
    this.#directory = directory;
    for (const event of this.#early) directory.event(event);
    this.#early = [];
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
