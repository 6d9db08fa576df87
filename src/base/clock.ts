/** Time comes in by argument, so that a simulator or a test can own it. */
export interface Clock {
  /** Monotonic milliseconds: for leases, timeouts and durations. */
  nowMs(): number;
  /** Milliseconds since the epoch: for people and file names only, never for decisions. */
  wallMs(): number;
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
};
