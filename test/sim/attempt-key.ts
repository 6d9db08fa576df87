import { type AttemptRef, formatAttempt } from "#src/scheduler/ids.js";

/** "j0/map-00017.2": one text per attempt in a world, for maps and messages. */
export function keyOf(attempt: AttemptRef): string {
  return `${attempt.job}/${formatAttempt(attempt)}`;
}
