import type { HotKey, TaskStats, TaskSuccess } from "../task/task-spec.ts";
import type { RunResult, Skew } from "./options.ts";

const hotKeysMax = 10;

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

/** The keys with most values, over all maps. */
export function mergeHotKeys(
  map: readonly TaskSuccess[],
  collections: readonly string[],
): RunResult["hotKeys"] {
  const merged = new Map<string, HotKey>();
  for (const hot of map.flatMap((result) => result.hotKeys)) {
    const id = `${hot.collection}\0${hot.key}`;
    const values = (merged.get(id)?.values ?? 0) + hot.values;
    merged.set(id, { ...hot, values });
  }
  return [...merged.values()]
    .sort((a, b) => b.values - a.values || (a.key < b.key ? -1 : 1))
    .slice(0, hotKeysMax)
    .map((hot) => ({ ...hot, name: collections[hot.collection] ?? "" }));
}

/** Of every collection with a shuffle over more than one partition. */
export function measureSkew(map: readonly TaskSuccess[], collections: readonly string[]): Skew[] {
  return collections.flatMap((collection, index) => {
    const bytes: number[] = [];
    for (const { partitionBytes } of map) {
      for (const [partition, some] of (partitionBytes[index] ?? []).entries()) {
        bytes[partition] = (bytes[partition] ?? 0) + some;
      }
    }
    const total = bytes.reduce((sum, one) => sum + one, 0);
    if (bytes.length < 2 || total === 0) return [];
    const largestBytes = Math.max(...bytes);
    const ratio = largestBytes / (total / bytes.length);
    return [
      {
        collection,
        partitions: bytes.length,
        largestPartition: bytes.indexOf(largestBytes),
        largestBytes,
        ratio,
      },
    ];
  });
}

/** What the last event says of `--sample`: nothing when all records were read. */
export function sampledBy(share: number): { readonly sample?: number } {
  return share < 1 ? { sample: share } : {};
}
