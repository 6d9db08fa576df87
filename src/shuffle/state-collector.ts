import { SheafError } from "../base/errors.ts";
import type { Aggregator } from "../job/aggregator.ts";
import type { Key } from "../job/key.ts";
import type { BlockOutput } from "./block-output.ts";
import { writeObjects } from "./cell-values.ts";
import type { Collector, CollectorPlace, HeldStates } from "./collector.ts";
import type { RunWriter } from "./run-writer.ts";
import { TableCollector } from "./table-collector.ts";

/** What a state costs besides what its aggregator says of it. */
const STATE_BYTES = 16;

/**
 * Aggregates values whose states are JavaScript objects (topK, distinct, collect ...) while they are emitted.
 * The keys are in the table of linear memory, each with the number of its state; both count against the
 * budget.
 */
export class StateCollector implements Collector {
  readonly #keys: TableCollector;
  readonly #aggregator: Aggregator<unknown, unknown>;
  readonly #budget: number;
  readonly #states: unknown[] = [];
  #stateBytes = 0;
  #current: unknown;

  constructor(
    place: CollectorPlace,
    aggregator: Aggregator<unknown, unknown>,
    output: BlockOutput,
    writer: () => RunWriter,
  ) {
    this.#aggregator = aggregator;
    this.#budget = place.regionBytes / 2;
    // A table of one slot a key: the number of its state plus one, zero while it has none.
    const numeric = {
      ops: ["count"] as const,
      add: (row: Float64Array, at: number): void => this.#fold(row, at),
      result: (): unknown => {
        throw new SheafError("INTERNAL", "a state number has no result");
      },
    };
    this.#keys = new TableCollector({ ...place, regionBytes: this.#budget }, numeric, {
      rewrite: writeObjects(place.memory, output, writer, (number) =>
        aggregator.pack(this.#states[number - 1]),
      ),
      spilled: () => {
        this.#states.length = 0;
        this.#stateBytes = 0;
      },
    });
  }

  /** Nothing is known of how much lies behind a state. */
  get held(): HeldStates {
    const keys = this.#keys;
    return {
      keys: keys.keys,
      each: (visit) => keys.each(visit),
      weight: () => 0,
      state: (place) => this.#states[keys.state(place)[0]! - 1],
    };
  }

  get emitted(): number {
    return this.#keys.emitted;
  }

  get runs(): number {
    return this.#keys.runs;
  }

  emit(key: Key, value: unknown): void {
    this.#current = value;
    this.#keys.emit(key, value);
    if (this.#stateBytes > this.#budget) this.#keys.spill();
  }

  check(key: Key, value: unknown): void {
    this.#keys.checkKey(key);
    this.#aggregator.add(this.#aggregator.empty(), value);
  }

  finish(): void {
    this.#keys.finish();
  }

  #fold(row: Float64Array, at: number): void {
    const aggregator = this.#aggregator;
    const number = row[at]!;
    if (number === 0) {
      const state = aggregator.add(aggregator.empty(), this.#current);
      this.#states.push(state);
      row[at] = this.#states.length;
      this.#stateBytes += STATE_BYTES + aggregator.sizeOf(state);
      return;
    }
    const state = this.#states[number - 1];
    const before = aggregator.sizeOf(state);
    const after = aggregator.add(state, this.#current);
    this.#states[number - 1] = after;
    this.#stateBytes += aggregator.sizeOf(after) - before;
  }
}
