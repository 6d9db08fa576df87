/**
 * A fault to inject into attempts, for tests: `{ phase: "map", task: 3, untilAttempt: 2, how: "kill" }` kills
 * the
 * first two attempts of map task 3. Happens at the attempt's start, or at its end with `when: "end"`.
 */
export interface InjectedFault {
  readonly phase: "sample" | "map" | "reduce";
  /** Task index; left out: every task. */
  readonly task?: number;
  /** The last attempt that is hit. Default: all are. */
  readonly untilAttempt?: number;
  /** "end": after the task has done its work, before its result is reported. Default "start". */
  readonly when?: "start" | "end";
  /**
   * throw: an error of user code; exit: process.exit(0); kill: SIGKILL to the own process (a thread ends
   * itself);
   * hang: an endless loop; stall: a promise that never settles; disk-full: what a full disk gives.
   */
  readonly how: "throw" | "exit" | "kill" | "hang" | "stall" | "disk-full";
}

export function faultFor(
  faults: readonly InjectedFault[],
  attempt: { readonly kind: string; readonly index: number; readonly attempt: number },
  when: "start" | "end",
): InjectedFault | undefined {
  return faults.find(
    (fault) =>
      fault.phase === attempt.kind &&
      (fault.task === undefined || fault.task === attempt.index) &&
      attempt.attempt <= (fault.untilAttempt ?? Number.POSITIVE_INFINITY) &&
      (fault.when ?? "start") === when,
  );
}
