import type { Clock } from "../base/clock.ts";
import type { RunEventBody, RunPhase } from "./events.ts";

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
