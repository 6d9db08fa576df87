import type { HeldRange } from "../storage/store.ts";
import type { SplitPiece } from "../task/split.ts";

export type PlannedPiece = Extract<SplitPiece, { kind: "file" }>;

/**
 * The hosts that hold at least half of the bytes of a split, those with the most first; none when the storage
 * does not know.
 * @param held by path of the file, what its storage knows
 */
export function nearHosts(
  pieces: readonly PlannedPiece[],
  held: ReadonlyMap<string, readonly HeldRange[]>,
): readonly string[] {
  if (held.size === 0) return [];
  const bytesOn = new Map<string, number>();
  let bytes = 0;
  for (const { path, start, end } of pieces) {
    bytes += end - start;
    for (const range of held.get(path) ?? []) {
      const common = Math.min(end, range.end) - Math.max(start, range.start);
      if (common <= 0) continue;
      for (const host of new Set(range.hosts)) bytesOn.set(host, (bytesOn.get(host) ?? 0) + common);
    }
  }
  return [...bytesOn]
    .filter(([, common]) => 2 * common >= bytes)
    .sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))
    .map(([host]) => host);
}
