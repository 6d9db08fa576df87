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
  /** Called before the states that a collector holds are written as a run, and gone. */
  readonly spilling?: () => void;
}

/**
 * The aggregate states that a collector holds in memory. Places are good until the next emit.
 */
export interface HeldStates {
  /** Keys held. */
  readonly keys: number;
  /** Calls `visit` for each key, in the order in which they came up. */
  each(visit: (place: number, keyAt: number, keyLength: number) => void): void;
  /** How much lies behind a state: values taken, else the size of their sum, else 0. */
  weight(place: number): number;
  /** The state, to be read only, and before the next emit. */
  state(place: number): unknown;
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
  /** Left out: it aggregates nothing. */
  readonly held?: HeldStates;
}
