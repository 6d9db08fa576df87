import { MiB } from "../base/size.ts";
import { type Input, isSource } from "../job/reader.ts";

const PARTITION_BYTES = 128 * MiB;
const PARTITIONS_MAX = 1000;
const SOURCE_PARTITIONS_MAX = 8;

/**
 * Reduce partitions of a job that names none: one per 128 MiB of input, 1 to 1,000; for generated input one
 * per task, at most 8. Depends on the input alone, so that a job gives the same files on any machine.
 */
export function defaultPartitions(input: Input<unknown>, totalBytes: number): number {
  if (isSource(input)) return Math.min(input.tasks, SOURCE_PARTITIONS_MAX);
  return partitionsOfBytes(totalBytes);
}

/** The same for input that is read. */
export function partitionsOfBytes(totalBytes: number): number {
  return Math.min(PARTITIONS_MAX, Math.max(1, Math.ceil(totalBytes / PARTITION_BYTES)));
}
