import type { Key } from "../job/key.ts";

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
