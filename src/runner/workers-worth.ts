import { statSync } from "node:fs";
import { MiB } from "../base/size.ts";

/** Input for which another worker is started before the plan is made. */
const WORKER_BYTES = 16 * MiB;
/** Looking at more files could take longer than it saves. */
const FILES_MAX = 64;

/**
 * How many workers there will surely be work for, by a look at the inputs that are named as files: patterns,
 * directories and what cannot be seen count for nothing.
 */
export function workersWorth(inputs: readonly string[]): number {
  let bytes = 0;
  for (const input of inputs.slice(0, FILES_MAX)) {
    try {
      const stat = statSync(input, { throwIfNoEntry: false });
      if (stat?.isFile() === true) bytes += stat.size;
    } catch {
      // The plan will tell.
    }
  }
  return Math.floor(bytes / WORKER_BYTES);
}
