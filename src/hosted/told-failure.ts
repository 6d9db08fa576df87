import { Check } from "typebox/value";
import { FailureSchema, knownFailure } from "../protocol/task-result.ts";
import type { TaskFailure } from "../task/task-spec.ts";

/** What a task of an engine has said of its failure. */
export interface ToldFailure {
  /** "map-00007"; null: it could not know. */
  readonly task: string | null;
  readonly failure: TaskFailure;
}

/**
 * Reads what a task has written behind "sheaf-error: " on its standard error.
 * @returns null for what is no failure: a line that was cut, or that user code has written
 */
export function readTold(json: string): ToldFailure | null {
  let told: unknown;
  try {
    told = JSON.parse(json);
  } catch {
    return null;
  }
  if (typeof told !== "object" || told === null || !("task" in told)) return null;
  const { task, ...failure } = told;
  if (typeof task !== "string" || !Check(FailureSchema, failure)) return null;
  return { task: task === "" ? null : task, failure: knownFailure(failure) };
}
