import type { Clock } from "../base/clock.ts";
import type { RunEvent, RunEventBody, RunPhase } from "../engine/events.ts";
import type { FailedTask, PhaseTiming } from "../engine/options.ts";

/**
 * Brings the coordinator's events and this client's own into one row, as if the job ran here, and remembers
 * of them what the result of a run holds.
 */
export class EventRelay {
  readonly phases: PhaseTiming[] = [];
  readonly failedAttempts: FailedTask[] = [];
  readonly #clock: Clock;
  readonly #listener: ((event: RunEvent) => void) | undefined;
  readonly #startedMs: number;
  readonly #tasks = new Map<RunPhase, number>();
  /** Between the beginning of this run and that of the job at the coordinator. */
  #offsetMs = 0;
  #lastMs = 0;

  constructor(clock: Clock, listener: ((event: RunEvent) => void) | undefined) {
    this.#clock = clock;
    this.#listener = listener;
    this.#startedMs = clock.nowMs();
  }

  get elapsedMs(): number {
    return this.#clock.nowMs() - this.#startedMs;
  }

  /** The job begins at the coordinator, whose events count their time from here. */
  submitted(): void {
    this.#offsetMs = this.elapsedMs;
  }

  /** An event of the client's own. */
  emit(body: RunEventBody): void {
    this.#tell({ atMs: this.elapsedMs, ...body });
  }

  /** An event of the coordinator's. */
  pass(event: RunEvent): void {
    this.#tell({ ...event, atMs: event.atMs + this.#offsetMs });
  }

  /** Runs `work` as a phase without tasks. */
  async phase<T>(phase: RunPhase, work: () => Promise<T>): Promise<T> {
    const startedMs = this.#clock.nowMs();
    this.emit({ kind: "phase-started", phase, tasks: 0 });
    const result = await work();
    this.emit({ kind: "phase-finished", phase, elapsedMs: this.#clock.nowMs() - startedMs });
    return result;
  }

  #tell(event: RunEvent): void {
    switch (event.kind) {
      case "phase-started":
        this.#tasks.set(event.phase, event.tasks);
        break;
      case "phase-finished": {
        const { phase, elapsedMs } = event;
        this.phases.push({ phase, tasks: this.#tasks.get(phase) ?? 0, elapsedMs });
        break;
      }
      case "attempt-failed": {
        const { task, attempt, failure } = event;
        this.failedAttempts.push({ task, attempt, failure, capsule: null });
        break;
      }
    }
    // Clocks of two machines: time does not go back.
    this.#lastMs = Math.max(this.#lastMs, Math.round(event.atMs * 1000) / 1000);
    this.#listener?.({ ...event, atMs: this.#lastMs });
  }
}
