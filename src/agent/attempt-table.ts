import type { Running } from "../protocol/agent-messages.ts";
import { type AttemptRef, formatAttempt } from "../scheduler/ids.ts";
import type { AttemptRun } from "./attempt-run.ts";

/**
 * Attempts this agent was given whose end the coordinator has not taken in: heartbeats list them, also when
 * they run no more and only their report is on its way.
 */
export class AttemptTable {
  readonly #runs = new Map<number, AttemptRun>();
  readonly #changed: () => void;

  /** @param changed called whenever one has come or gone */
  constructor(changed: () => void) {
    this.#changed = changed;
  }

  get size(): number {
    return this.#runs.size;
  }

  add(run: AttemptRun): void {
    this.#runs.set(run.id, run);
    this.#changed();
  }

  remove(run: AttemptRun): void {
    this.#runs.delete(run.id);
    this.#changed();
  }

  byId(id: number | null): AttemptRun | undefined {
    return id === null ? undefined : this.#runs.get(id);
  }

  find(ref: AttemptRef): AttemptRun | undefined {
    const name = formatAttempt(ref);
    return this.all().find((run) => run.ref.job === ref.job && formatAttempt(run.ref) === name);
  }

  ofJob(job: string): AttemptRun[] {
    return this.all().filter((run) => run.ref.job === job);
  }

  all(): AttemptRun[] {
    return [...this.#runs.values()];
  }

  /** Looks at each; see AttemptRun. */
  look(): void {
    for (const run of this.#runs.values()) run.look();
  }

  views(): Running[] {
    return this.all().map((run) => run.view());
  }
}
