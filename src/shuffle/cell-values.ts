import { decodeKey } from "../codec/key-codec.ts";
import { ValueDecoder, ValueEncoder } from "../codec/value-codec.ts";
import type { CombineFunction } from "../job/job.ts";
import type { Key } from "../job/key.ts";
import { StreamedValues, valuesOver } from "../job/streamed-values.ts";
import { CELL_HEADER, CELL_KEY_LEN, CELL_VAL_LEN, ENTRY_BYTES, ENTRY_CELL } from "../kernel/layout.ts";
import type { BlockOutput } from "./block-output.ts";
import type { TaskMemory } from "./memory.ts";
import type { RunWriter } from "./run-writer.ts";

/** Rewrites the cells [from, to) of one partition, sorted by key, before they are written: combiners. */
export type RewriteCells = (sortedEntries: number, from: number, to: number) => void;

/** Where sorted entries point to, read from JavaScript. */
export class SortedCells {
  readonly #memory: TaskMemory;
  readonly #sorted: number;

  constructor(memory: TaskMemory, sorted: number) {
    this.#memory = memory;
    this.#sorted = sorted;
  }

  cell(entry: number): number {
    return this.#memory.heap.u32[(this.#sorted + entry * ENTRY_BYTES + ENTRY_CELL) >>> 2]!;
  }

  valueLength(cell: number): number {
    return this.#memory.heap.u32[(cell + CELL_VAL_LEN) >>> 2]!;
  }

  keyLength(cell: number): number {
    return this.#memory.heap.u32[(cell + CELL_KEY_LEN) >>> 2]!;
  }

  keyAt(cell: number): number {
    return cell + CELL_HEADER + this.valueLength(cell);
  }

  sameKey(a: number, b: number): boolean {
    const length = this.keyLength(a);
    if (length !== this.keyLength(b)) return false;
    const { bytes } = this.#memory;
    const atA = this.keyAt(a);
    const atB = this.keyAt(b);
    return bytes.compare(bytes, atB, atB + length, atA, atA + length) === 0;
  }
}

/**
 * Writes cells whose value is the number of a JavaScript object (8 bytes, f64) with that object's encoding as
 * value.
 */
export function writeObjects(
  memory: TaskMemory,
  output: BlockOutput,
  writer: () => RunWriter,
  packed: (object: number) => unknown,
): RewriteCells {
  const encoder = new ValueEncoder();
  return (sorted, from, to) => {
    const cells = new SortedCells(memory, sorted);
    for (let i = from; i < to; i++) {
      const cell = cells.cell(i);
      encoder.encode(packed(memory.heap.f64[(cell + CELL_HEADER) >>> 3]!));
      output.append(writer(), cells.keyAt(cell), cells.keyLength(cell), encoder.bytes, encoder.length);
    }
  };
}

/** So many values of one key in one run are worth a word. */
const MANY_VALUES = 256;

/**
 * Calls the user's combiner for each group of equal keys and writes what it returns under the group's key.
 * `refused` makes of the codec's error for a returned value what is to be thrown; `written` hears of keys
 * that the combiner has left many values of.
 */
export function combineCells(
  memory: TaskMemory,
  output: BlockOutput,
  writer: () => RunWriter,
  combine: CombineFunction<Key, unknown>,
  refused: (key: Key, error: unknown) => unknown = (_key, error) => error,
  written?: (keyAt: number, keyLength: number, values: number) => void,
): RewriteCells {
  const encoder = new ValueEncoder();
  return (sorted, from, to) => {
    const cells = new SortedCells(memory, sorted);
    for (let i = from; i < to;) {
      const first = cells.cell(i);
      const keyAt = cells.keyAt(first);
      const keyLength = cells.keyLength(first);
      const cellValues = new CellValues(memory, cells, i, to);
      const values = new StreamedValues("combine", () => cellValues.next());
      const key = decodeKey(memory.bytes, keyAt, keyAt + keyLength);
      let left = 0;
      for (const value of resultValues(combine(key, values))) {
        try {
          encoder.encode(value);
        } catch (error) {
          throw refused(key, error);
        }
        output.append(writer(), keyAt, keyLength, encoder.bytes, encoder.length);
        left++;
      }
      cellValues.end();
      if (left >= MANY_VALUES) written?.(keyAt, keyLength, left);
      // A combiner need not read all its values: the group ends where the key changes.
      do i++;
      while (i < to && cells.sameKey(first, cells.cell(i)));
    }
  };
}

/** The values of the cells from `from` on that have the same key. */
class CellValues {
  readonly #memory: TaskMemory;
  readonly #cells: SortedCells;
  readonly #first: number;
  readonly #to: number;
  readonly #decoder = new ValueDecoder();
  #at: number;
  #isOver = false;

  constructor(memory: TaskMemory, cells: SortedCells, from: number, to: number) {
    this.#memory = memory;
    this.#cells = cells;
    this.#first = cells.cell(from);
    this.#at = from;
    this.#to = to;
  }

  next(): IteratorResult<unknown, undefined> {
    if (this.#at === this.#to) return { done: true, value: undefined };
    if (this.#isOver) throw valuesOver("combine");
    const cell = this.#cells.cell(this.#at);
    if (cell !== this.#first && !this.#cells.sameKey(this.#first, cell)) {
      this.#at = this.#to;
      return { done: true, value: undefined };
    }
    this.#at++;
    const value = this.#decoder.decodeAt(
      this.#memory.bytes,
      cell + CELL_HEADER,
      this.#cells.valueLength(cell),
    );
    return { done: false, value };
  }

  /** The cells are about to go. */
  end(): void {
    this.#isOver = true;
  }
}

/**
 * What a combine or reduce returned, as values: nothing, one, or those of a generator. Arrays, strings and
 * other iterables are values themselves; only iterators (objects with next()) are unrolled.
 */
function* resultValues(result: unknown): Generator<unknown> {
  if (result === undefined) return;
  if (isIterator(result)) yield* result;
  else yield result;
}

export function isIterator(value: unknown): value is IterableIterator<unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    Symbol.iterator in value &&
    typeof (value as { next?: unknown }).next === "function"
  );
}
