import type { SheafError } from "../base/errors.ts";
import { RunFailure } from "./options.ts";

/** What a run rejects with when it was no task that failed. */
export function failureOutsideTasks(error: SheafError): RunFailure {
  const report = error.hint === undefined ? error.message : `${error.message}\n\n  ${error.hint}`;
  return new RunFailure(error.code, error.message, {
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    details: error.details,
    cause: error,
    failed: null,
    report,
  });
}
