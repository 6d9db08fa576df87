import { SheafError } from "../base/errors.ts";

/**
 * A handle of a job or task, and what --task said, as one handle.
 * @throws SheafError USAGE when the task is given twice, or is none
 */
export function taskHandle(handle: string, task: string | undefined): string {
  if (task === undefined) return handle;
  if (handle.includes(":")) {
    throw new SheafError("USAGE", `the task is given twice: ${handle} and --task ${task}`, {
      hint: "Give it once.",
    });
  }
  if (!/^(?:sample|map|reduce)-\d+$/.test(task)) {
    throw new SheafError("USAGE", `--task: "${task}" is not a task`, {
      hint: 'Write "map-17" or "reduce-3".',
    });
  }
  return `${handle}:${task}`;
}
