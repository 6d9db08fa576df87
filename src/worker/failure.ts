import { plainError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";
import type { TaskFailure } from "../task/task-spec.ts";

/** A TaskFailure with everything unknown left empty. */
export function taskFailure(
  code: ErrorCode,
  message: string,
  known: Partial<Omit<TaskFailure, "kind" | "code" | "message">> = {},
): TaskFailure {
  return {
    kind: "failure",
    code,
    message,
    hint: null,
    name: "SheafError",
    stack: null,
    phase: "task",
    blame: "user",
    path: null,
    offset: null,
    record: null,
    key: null,
    log: [],
    ...known,
  };
}

/** The failure made of whatever was thrown in `phase`. Errors that are no SheafErrors get `code`. */
export function failureOfThrown(
  thrown: unknown,
  phase: string,
  code: ErrorCode,
  blame: TaskFailure["blame"] = "user",
): TaskFailure {
  const { message, hint, name, stack, code: known } = plainError(thrown);
  return taskFailure(known ?? code, message, { hint, name, stack, phase, blame });
}

/** What raises the limit of a run for tasks that finish no record. */
export const noProgressSetting = "--no-progress-timeout";

/**
 * What is told of an attempt that was ended from outside because it stood still.
 * @param setting what the limit is raised by
 */
export function endedFailure(
  code: ErrorCode,
  message: string,
  phase: string,
  log: readonly string[],
  setting = noProgressSetting,
): TaskFailure {
  const hint =
    "Look for an endless loop, or an await that never ends; for long records call ctx.progress() or raise " +
    `${setting}.`;
  return taskFailure(code, message, { phase, log: [...log], hint: code === "NO_PROGRESS" ? hint : null });
}
