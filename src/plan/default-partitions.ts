import { MiB } from "../base/size.ts";
import { type Input, isSource } from "../job/reader.ts";

const PARTITION_BYTES = 128 * MiB;
const PARTITIONS_MAX = 1000;
const SOURCE_PARTITIONS_MAX = 8;

/**
 * Reduce partitions of a job that names none: one per 128 MiB of input, above 8 rounded up to one of four
 * numbers in each doubling (10, 12, 14, 16, 20, ...), at most 1,000; for generated input one per task, at
 * most 8. Depends on the input alone, so that a job gives the same files on any machine. Rounded, since an
 * input that grows day by day would else be cut otherwise every day, and what is kept written anew.
 */
export function defaultPartitions(input: Input<unknown>, totalBytes: number): number {
  if (isSource(input)) return Math.min(input.tasks, SOURCE_PARTITIONS_MAX);
  return partitionsOfBytes(totalBytes);
}

/** The same for input that is read. */
export function partitionsOfBytes(totalBytes: number): number {
  const wanted = Math.max(1, Math.ceil(totalBytes / PARTITION_BYTES));
  const step = wanted <= 8 ? 1 : 2 ** (Math.floor(Math.log2(wanted - 1)) - 2);
  return Math.min(PARTITIONS_MAX, Math.ceil(wanted / step) * step);
}
