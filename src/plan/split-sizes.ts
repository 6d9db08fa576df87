import { MiB } from "../base/size.ts";

/** How large splits are that nobody has given a size. */
export interface SplitBounds {
  readonly min: number;
  readonly max: number;
}

/** Of tasks that a worker runs one after the other. */
export const workerSplits: SplitBounds = { min: 4 * MiB, max: 64 * MiB };
/** Of tasks that are a program each, which has to start and to warm up. */
export const programSplits: SplitBounds = { min: 32 * MiB, max: 128 * MiB };
/** A split is a share of what is left: so many for each worker. */
const SHARES_PER_WORKER = 1.5;

/** How large the splits of an input are. */
export interface SplitSizes {
  /** Bytes that a split takes at most, when so many of the input come before it. */
  limit(before: number): number;
  /** Where the pieces of a file begin that has so many bytes of the input before it. */
  starts(fileBytes: number, before: number): number[];
}

/** Splits of a size that was asked for: pieces of nearly equal size, none larger. */
export function evenSizes(splitBytes: number): SplitSizes {
  return {
    limit: () => splitBytes,
    starts: (fileBytes) => {
      const count = Math.ceil(fileBytes / splitBytes);
      return Array.from({ length: count }, (_, i) => Math.floor((fileBytes * i) / count));
    },
  };
}

/**
 * Splits that get smaller towards the end of the input: what a task costs besides its bytes is paid few
 * times, and the workers end together all the same, whichever of them began late or is slow.
 */
export function taperedSizes(
  totalBytes: number,
  workers: number,
  { min, max }: SplitBounds = workerSplits,
): SplitSizes {
  const shares = Math.max(1, workers) * SHARES_PER_WORKER;
  const limit = (before: number): number => {
    const share = Math.ceil((totalBytes - before) / shares);
    return Math.min(max, Math.max(min, share));
  };
  return {
    limit,
    starts: (fileBytes, before) => {
      const starts: number[] = [];
      for (let at = 0; at < fileBytes; at += limit(before + at)) {
        // What would make a piece of less than half the least size goes to the last one.
        if (at === 0 || fileBytes - at >= min / 2) starts.push(at);
      }
      return starts;
    },
  };
}
