import type { Key } from "../job/key.ts";
import type { TaskMemory } from "./memory.ts";
import type { Partitioning } from "./partitioning.ts";
import type { Spiller } from "./spill.ts";

/** What a collector works with: where it keeps its pairs, and how they leave it. */
export interface CollectorPlace {
  readonly memory: TaskMemory;
  /** Linear memory it takes for them, in bytes. */
  readonly regionBytes: number;
  readonly spiller: Spiller;
  readonly collection: number;
  readonly partitioning: Partitioning;
}

/** Takes what map emits for one collection and leaves it as sorted runs in the attempt's run file. */
export interface Collector {
  /**
   * Takes one pair. Encodes it at once: changing the value later changes nothing.
   * @throws SheafError KEY_INVALID, VALUE_INVALID, PARTITION_INVALID
   */
  emit(key: Key, value: unknown): void;
  /** Throws what emit would throw for this pair, and takes nothing. */
  check(key: Key, value: unknown): void;
  /** Writes what is still in memory. Nothing may be emitted afterwards. */
  finish(): void;
  /** Pairs taken so far. */
  readonly emitted: number;
  /** Runs written so far. */
  readonly runs: number;
}
