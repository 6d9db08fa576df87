import { readFileSync } from "node:fs";
import { Check } from "typebox/value";
import { limits } from "../base/limits.ts";
import { SlicesSchema, sliceFiles } from "../protocol/slices.ts";
import type { ReduceInput } from "../task/task-spec.ts";
import type { ResultFiles } from "./results.ts";

/** What is kept of the inputs of a failed reduce. */
export interface FailedSlices {
  /** In one file of the results directory. */
  readonly inputs: readonly ReduceInput[];
  /** Why none are kept; null: they are all there. */
  readonly missing: string | null;
}

/** What the agent has handed in of the inputs of a reduce attempt ("reduce-00003.2"). Never throws. */
export function failedSlices(results: ResultFiles, attempt: string): FailedSlices {
  const none = (missing: string): FailedSlices => ({ inputs: [], missing });
  try {
    const listBytes = results.bytesOf(attempt, sliceFiles.list);
    if (listBytes === null) return none("the agent that ran it has handed in none of its inputs");
    if (listBytes > limits.submissionBytesMax) return none("it had too many inputs");
    const list: unknown = JSON.parse(readFileSync(results.path(attempt, sliceFiles.list), "utf8"));
    if (!Check(SlicesSchema, list)) return none("the list of its inputs is damaged");
    if (list.missing !== null) return none(list.missing);
    const bytes = results.bytesOf(attempt, sliceFiles.pack) ?? 0;
    const end = list.inputs.reduce((most, one) => Math.max(most, one.offset + one.bytes), 0);
    if (end > bytes) return none("its inputs were handed in cut short");
    const path = results.path(attempt, sliceFiles.pack);
    const inputs = list.inputs.map(({ task, attempt: map, offset, bytes: length }) => ({
      task,
      attempt: map,
      path,
      window: { offset, bytes: length },
    }));
    return { inputs, missing: null };
  } catch {
    return none("the list of its inputs cannot be read");
  }
}
