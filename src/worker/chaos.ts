import { limits } from "../base/limits.ts";
import { seededRandom } from "../base/random.ts";
import type { TaskSpec } from "../task/task-spec.ts";

/** Faults that are injected into attempts at random, to show that results do not depend on them. */
export interface Chaos {
  /** Share of the attempts whose worker is ended in their middle, 0 to 1. */
  readonly kill: number;
  /** Share of the attempts that begin late. Both together are 1 at most. */
  readonly slow: number;
  /** Which attempts these are follows from it alone. */
  readonly seed: number;
}

/** What becomes of an attempt: its worker is ended so long after it began, or it begins so late. */
export interface Fate {
  readonly how: "kill" | "slow";
  readonly afterMs: number;
}

/**
 * What becomes of an attempt; null: nothing. The same wherever and whenever it runs. Only the first attempts
 * of a task are hit, so that every job ends.
 */
export function fateOf(
  { kill, slow, seed }: Chaos,
  { kind, index, attempt }: Pick<TaskSpec, "kind" | "index" | "attempt">,
): Fate | null {
  if (attempt > limits.chaosAttemptsMax) return null;
  const random = seededRandom(`${seed}/${kind}/${index}/${attempt}`);
  const drawn = random.next();
  const afterMs = random.below(limits.chaosDelayMsMax);
  if (drawn < kill) return { how: "kill", afterMs };
  return drawn < kill + slow ? { how: "slow", afterMs } : null;
}

/** As --chaos takes it: "kill=5%,slow=2%,seed=7". */
export function chaosText({ kill, slow, seed }: Chaos): string {
  const percent = (share: number): string => `${Number((share * 100).toPrecision(12))}%`;
  return `kill=${percent(kill)},slow=${percent(slow)},seed=${seed}`;
}

/** What is said of it, so that the same can be had again. */
export function chaosWarning(chaos: Chaos): string {
  return `chaos: attempts are ended or delayed on purpose; again with --chaos ${chaosText(chaos)}`;
}
