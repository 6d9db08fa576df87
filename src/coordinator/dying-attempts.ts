import type { EpochClock } from "./epoch-clock.ts";

/** The attempts of a job that were told to end and may run still, by name, with their agents. */
export class DyingAttempts {
  readonly #clock: EpochClock;
  readonly #attempts = new Map<string, string>();
  #waiting: { readonly deadlineMs: number; readonly isQuiet: () => boolean; readonly work: () => void }[] =
    [];

  constructor(clock: EpochClock) {
    this.#clock = clock;
  }

  add(attempt: string, agent: string): void {
    this.#attempts.set(attempt, agent);
  }

  /** It runs no more. */
  gone(attempt: string): void {
    if (this.#attempts.delete(attempt)) this.look();
  }

  /** The agent runs these attempts of the job, and no others. */
  runs(agent: string, running: ReadonlySet<string>): void {
    if (this.#attempts.size === 0) return;
    for (const [attempt, where] of this.#attempts)
      if (where === agent && !running.has(attempt)) this.#attempts.delete(attempt);
    this.look();
  }

  /** Does the work when none is left, and `isQuiet`; or at the deadline (EpochClock). */
  whenOver(deadlineMs: number, isQuiet: () => boolean, work: () => void): void {
    this.#waiting.push({ deadlineMs, isQuiet, work });
    this.look();
  }

  /** An attempt has ended, or time has passed. */
  look(): void {
    const nowMs = this.#clock.nowMs();
    const due = this.#waiting.filter(
      ({ deadlineMs, isQuiet }) => (this.#attempts.size === 0 && isQuiet()) || nowMs >= deadlineMs,
    );
    this.#waiting = this.#waiting.filter((one) => !due.includes(one));
    for (const { work } of due) work();
  }
}
