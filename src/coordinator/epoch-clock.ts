import type { Clock } from "../base/clock.ts";

/**
 * Milliseconds since the epoch that never jump: the wall clock is looked at once, the monotonic one from then
 * on. What is durable carries these times, so that they go on where an earlier life has left off.
 */
export class EpochClock implements Clock {
  readonly #clock: Clock;
  readonly #baseMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#baseMs = clock.wallMs() - clock.nowMs();
  }

  nowMs(): number {
    return this.#baseMs + this.#clock.nowMs();
  }

  wallMs(): number {
    return this.#clock.wallMs();
  }

  /** For people: ISO 8601 UTC. */
  text(ms: number): string {
    return new Date(ms).toISOString();
  }
}
