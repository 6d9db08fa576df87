import { readFileSync } from "node:fs";
import { getHeapStatistics } from "node:v8";
import { MiB, formatSize } from "../base/size.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import { taskFailure } from "../worker/failure.ts";
import { parseResidentBytes } from "./utility.ts";

/** What a process needs apart from the job's data: the runtime, code, buffers of files and pipes. */
const processBytes = 384 * MiB;

/** What a worker may have, and what that is made of. */
export interface MemoryCap {
  readonly bytes: number;
  readonly says: string;
}

/**
 * @param memoryBytes the job's memory for data
 * @param heapBytes of its workers; null: Node's own limit
 * @param given what the agent allows whatever the job says, null for nothing
 */
export function memoryCap(memoryBytes: number, heapBytes: number | null, given: number | null): MemoryCap {
  if (given !== null) return { bytes: given, says: "what the agent gives each worker (--worker-memory)" };
  const heap = heapBytes ?? getHeapStatistics().heap_size_limit;
  const parts = [`--memory ${formatSize(memoryBytes)}`, `--heap ${formatSize(heap)}`];
  const says = `${parts.join(" and ")} and ${formatSize(processBytes)} for the process`;
  return { bytes: memoryBytes + heap + processBytes, says };
}

/** Memory the process has in use, bytes; null when it is gone or the system does not tell. */
export function residentBytes(pid: number): number | null {
  try {
    return parseResidentBytes(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return null;
  }
}

/** How an attempt ends whose worker has more than the cap. */
export function overCap(bytes: number, cap: MemoryCap, phase: string, log: readonly string[]): TaskFailure {
  const [has, may] = [formatSize(bytes), formatSize(cap.bytes)];
  const message = `the worker's memory grew to ${has}, above ${may}: ${cap.says}`;
  return taskFailure("OUT_OF_MEMORY", message, {
    phase,
    log,
    hint:
      "User code keeps too much, in large buffers perhaps: let values stream instead of collecting them, or " +
      "raise --memory, --heap or the agent's --worker-memory.",
  });
}
