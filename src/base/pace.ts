import { systemClock } from "./clock.ts";

const STEP_MAX = 64;

/**
 * Ends stretches of a loop after a time without a look at the clock in every round: after rounds 1, 2, 4, 8,
 * 16, 32, and then each 64th. So slow rounds are noticed one by one, and quick ones pay for a comparison.
 */
export class Pace {
  /** The round after which `isOver` is to be asked. */
  next = 1;
  readonly #stretchMs: number;
  readonly #nowMs: () => number;
  #start = 0;
  #dueMs: number;

  constructor(stretchMs: number, nowMs: () => number = systemClock.nowMs) {
    this.#stretchMs = stretchMs;
    this.#nowMs = nowMs;
    this.#dueMs = nowMs() + stretchMs;
  }

  /** Whether the stretch has lasted long enough when `round` is done; says in `next` when to ask again. */
  isOver(round: number): boolean {
    this.next = round + Math.min(STEP_MAX, Math.max(1, round - this.#start));
    return this.#nowMs() >= this.#dueMs;
  }

  /** Begins a stretch in which `round` rounds have been before. */
  begin(round: number): void {
    this.#dueMs = this.#nowMs() + this.#stretchMs;
    this.#start = round;
    this.next = round + 1;
  }

  /** Counts rounds anew, from 0, in the same stretch. */
  countAnew(): void {
    this.#start = 0;
    this.next = 1;
  }
}
