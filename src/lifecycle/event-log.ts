import type { Clock } from "../base/clock.ts";
import type { RunEvent, RunEventBody, RunPhase } from "./events.ts";
import type { JobDirectory } from "./job-directory.ts";
import type { PhaseTiming } from "./options.ts";

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
