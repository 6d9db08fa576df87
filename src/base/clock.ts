/** Time comes in by argument, so that a simulator or a test can own it. */
export interface Clock {
  /** Monotonic milliseconds: for leases, timeouts and durations. */
  nowMs(): number;
  /** Milliseconds since the epoch: for people and file names only, never for decisions. */
  wallMs(): number;
}

// User code may replace the clocks, or what they answer.
const { performance, Date } = globalThis;

export const systemClock: Clock = {
  nowMs: performance.now.bind(performance),
  wallMs: Date.now,
};
