import type { TaskStats, TaskSuccess } from "../task/task-spec.ts";

/**
 * Sums over tasks; `elapsedMs` is given, since tasks overlap. Output is what was written, not what was
 * shuffled.
 */
export function sumStats(
  map: readonly Pick<TaskSuccess, "stats" | "parts">[],
  reduce: readonly Pick<TaskSuccess, "stats" | "parts">[],
  elapsedMs: number,
): TaskStats {
  const sum: TaskStats = {
    recordsIn: 0,
    bytesIn: 0,
    recordsOut: 0,
    bytesOut: 0,
    emitted: 0,
    shuffleBytes: 0,
    spills: 0,
    badRecords: 0,
    groups: 0,
    elapsedMs,
    cpuMs: 0,
  };
  for (const [results, isMap] of [
    [map, true],
    [reduce, false],
  ] as const) {
    for (const { stats, parts } of results) {
      if (isMap) {
        sum.recordsIn += stats.recordsIn;
        sum.bytesIn += stats.bytesIn;
        sum.emitted += stats.emitted;
        sum.shuffleBytes += stats.shuffleBytes;
      }
      sum.spills += stats.spills;
      sum.badRecords += stats.badRecords;
      sum.groups += stats.groups;
      sum.cpuMs += stats.cpuMs;
      for (const part of parts) {
        if (part.kind !== "output") continue;
        sum.recordsOut += part.records;
        sum.bytesOut += part.bytes;
      }
    }
    if (!isMap && results.every(({ parts }) => parts.every((part) => part.kind !== "output"))) {
      for (const { stats } of results) sum.recordsOut += stats.recordsOut;
    }
  }
  return sum;
}

/** What the last event says of `--sample`: nothing when all records were read. */
export function sampledBy(share: number): { readonly sample?: number } {
  return share < 1 ? { sample: share } : {};
}
