import { readFileSync } from "node:fs";
import { isMainThread } from "node:worker_threads";

/** Time comes in by argument, so that a simulator or a test can own it. */
export interface Clock {
  /** Monotonic milliseconds: for leases, timeouts and durations. */
  nowMs(): number;
  /** Milliseconds since the epoch: for people and file names only, never for decisions. */
  wallMs(): number;
}

// User code may replace the clocks, or what they answer.
const { performance, Date } = globalThis;
const usedByProcess = process.cpuUsage.bind(process);
// From Node 22.19 on.
const usedByThread = (process as { threadCpuUsage?: typeof usedByProcess }).threadCpuUsage?.bind(process);

export const systemClock: Clock = {
  nowMs: performance.now.bind(performance),
  wallMs: Date.now,
};

/**
 * Processor milliseconds that a task has used, as a difference of two calls: of the whole process where it
 * has one to itself or runs inline, else of this thread alone, for other tasks have theirs beside it. What a
 * thread's helpers use (garbage collector, zlib) is then not in it.
 */
export function processorMs(): number {
  if (!isMainThread && usedByThread === undefined) return threadMsOfKernel();
  const { user, system } = isMainThread ? usedByProcess() : usedByThread!();
  return (user + system) / 1000;
}

/** Nanoseconds on a processor come first there. Without such a file: time that was not spent waiting. */
function threadMsOfKernel(): number {
  try {
    return Number.parseInt(readFileSync("/proc/thread-self/schedstat", "latin1"), 10) / 1e6;
  } catch {
    return performance.eventLoopUtilization().active;
  }
}
