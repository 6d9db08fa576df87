import { createHash } from "node:crypto";
import { decodeKey, keyPrefixLength, printKey } from "../codec/key-codec.ts";
import { SortedCells } from "./cell-values.ts";
import type { TaskMemory } from "./memory.ts";

/** Places looked at in a sorted run: a key that has a 16th of its pairs is at two neighbouring ones. */
const PROBES = 32;
/** Runs with fewer pairs for each place say nothing. */
const STRIDE_MIN = 8;
/** Keys told of by one task. */
const TOLD_MAX = 10;
/** Keys of more bytes are told apart by their checksum. */
const WHOLE_KEY_BYTES_MAX = 120;

/** A key that has a great part of the pairs of a run. */
export interface FoundKey {
  readonly collection: number;
  /** As it is printed; for very long ones the beginning, the size and a checksum. */
  readonly key: string;
  values: number;
}

/**
 * Notices keys that have a great share of the pairs a map task writes, at no cost per pair: in the sorted
 * entries of a run equal keys stand side by side, so a few places of it show them, and bisection finds where
 * each begins and ends. Pairs in runs of which a key has less than a 16th are not counted.
 */
export class HotKeys {
  readonly #memory: TaskMemory;
  readonly #groupBy: readonly (number | undefined)[];
  readonly #found = new Map<string, FoundKey>();

  /** `groupBy` by collection: a group is what the first elements of its keys tell. */
  constructor(memory: TaskMemory, groupBy: readonly (number | undefined)[]) {
    this.#memory = memory;
    this.#groupBy = groupBy;
  }

  /** Looks through `count` sorted entries of a run, which will be written as they are. */
  look(sorted: number, count: number, collection: number): void {
    const stride = Math.floor(count / PROBES);
    if (stride < STRIDE_MIN) return;
    const cells = new SortedCells(this.#memory, sorted);
    const same = (a: number, b: number): boolean => this.#sameGroup(cells, a, b, collection);
    for (let at = stride; at < count; at += stride) {
      if (!same(at - stride, at)) continue;
      const from = bisect(Math.max(-1, at - 2 * stride), at - stride, (entry) => same(entry, at));
      let last = at;
      while (last + stride < count && same(at, last + stride)) last += stride;
      const to = bisect(last, Math.min(last + stride, count), (entry) => !same(at, entry));
      const cell = cells.cell(at);
      this.add(collection, cells.keyAt(cell), cells.keyLength(cell), to - from);
      at = last;
    }
  }

  /** Tells of a key, in linear memory, that so many pairs were written of. */
  add(collection: number, keyAt: number, keyLength: number, values: number): void {
    const { bytes } = this.#memory;
    const length = this.#groupLength(keyAt, keyLength, collection);
    const key = bytes.subarray(keyAt, keyAt + length);
    const id =
      length > WHOLE_KEY_BYTES_MAX ? createHash("sha256").update(key).digest("hex") : key.toString("hex");
    const place = `${collection} ${id}`;
    const known = this.#found.get(place);
    if (known !== undefined) {
      known.values += values;
      return;
    }
    // JSON escapes fewer of the characters that a terminal obeys.
    const text = printKey(decodeKey(bytes, keyAt, keyAt + length)).replace(
      /[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g,
      (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
    );
    const told = length > WHOLE_KEY_BYTES_MAX ? `${text} (${length} bytes, ${id.slice(0, 8)})` : text;
    this.#found.set(place, { collection, key: told, values });
  }

  /** Those with most pairs. */
  get told(): readonly FoundKey[] {
    return [...this.#found.values()].sort((a, b) => b.values - a.values).slice(0, TOLD_MAX);
  }

  #groupLength(keyAt: number, keyLength: number, collection: number): number {
    const groupBy = this.#groupBy[collection];
    return groupBy === undefined
      ? keyLength
      : keyPrefixLength(this.#memory.bytes, keyAt, keyAt + keyLength, groupBy);
  }

  #sameGroup(cells: SortedCells, a: number, b: number, collection: number): boolean {
    const [first, second] = [cells.cell(a), cells.cell(b)];
    if (this.#groupBy[collection] === undefined) return cells.sameKey(first, second);
    const { bytes } = this.#memory;
    const at = cells.keyAt(first);
    const length = this.#groupLength(at, cells.keyLength(first), collection);
    const other = cells.keyAt(second);
    return (
      length <= cells.keyLength(second) && bytes.compare(bytes, other, other + length, at, at + length) === 0
    );
  }
}

/** The first of (low, high] for which `holds`, as it does for all behind the first; `high` is not asked. */
function bisect(low: number, high: number, holds: (entry: number) => boolean): number {
  let [no, yes] = [low, high];
  while (yes - no > 1) {
    const middle = (no + yes) >>> 1;
    if (holds(middle)) yes = middle;
    else no = middle;
  }
  return yes;
}
