import type { Totals } from "./service.ts";

/** Counts since this coordinator started, for its metrics. */
export type Tallies = { -readonly [Name in keyof Totals]: Totals[Name] };

export function newTallies(): Tallies {
  return {
    jobsSucceeded: 0,
    jobsFailed: 0,
    jobsCancelled: 0,
    attemptsFinished: 0,
    attemptsFailed: 0,
    attemptsLost: 0,
    fetchFailures: 0,
    inputBytes: 0,
    shuffleBytes: 0,
    outputBytes: 0,
  };
}
