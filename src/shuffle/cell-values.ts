import { decodeKey } from "../codec/key-codec.ts";
import { ValueDecoder, ValueEncoder } from "../codec/value-codec.ts";
import type { CombineFunction } from "../job/job.ts";
import type { Key } from "../job/key.ts";
import { CELL_HEADER, CELL_KEY_LEN, CELL_VAL_LEN, ENTRY_BYTES, ENTRY_CELL } from "../kernel/layout.ts";
import type { BlockOutput } from "./block-output.ts";
import type { TaskMemory } from "./memory.ts";
import type { RunWriter } from "./run-writer.ts";
import type { RewriteCells } from "./spill.ts";

/** Where sorted entries point to, read from JavaScript. */
class SortedCells {
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

/**
 * Calls the user's combiner for each group of equal keys and writes what it returns under the group's key.
 * `refused` makes of the codec's error for a returned value what is to be thrown.
 */
export function combineCells(
  memory: TaskMemory,
  output: BlockOutput,
  writer: () => RunWriter,
  combine: CombineFunction<Key, unknown>,
  refused: (key: Key, error: unknown) => unknown = (_key, error) => error,
): RewriteCells {
  const encoder = new ValueEncoder();
  return (sorted, from, to) => {
    const cells = new SortedCells(memory, sorted);
    for (let i = from; i < to;) {
      const first = cells.cell(i);
      const keyAt = cells.keyAt(first);
      const keyLength = cells.keyLength(first);
      const values = cellValues(memory, cells, i, to);
      const key = decodeKey(memory.bytes, keyAt, keyAt + keyLength);
      for (const value of resultValues(combine(key, values))) {
        try {
          encoder.encode(value);
        } catch (error) {
          throw refused(key, error);
        }
        output.append(writer(), keyAt, keyLength, encoder.bytes, encoder.length);
      }
      // A combiner need not read all its values: the group ends where the key changes.
      do i++;
      while (i < to && cells.sameKey(first, cells.cell(i)));
    }
  };
}

function* cellValues(memory: TaskMemory, cells: SortedCells, from: number, to: number): Generator<unknown> {
  const decoder = new ValueDecoder();
  const first = cells.cell(from);
  for (let i = from; i < to; i++) {
    const cell = cells.cell(i);
    if (i > from && !cells.sameKey(first, cell)) return;
    yield decoder.decodeAt(memory.bytes, cell + CELL_HEADER, cells.valueLength(cell));
  }
}

/**
 * What a combine or reduce returned, as values: nothing, one, or those of a generator. Arrays, strings and
 * other iterables are values themselves; only iterators (objects with next()) are unrolled.
 */
export function* resultValues(result: unknown): Generator<unknown> {
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
