import { SheafError } from "../base/errors.ts";
import type { NumberFold, NumericOp, NumericState } from "../job/aggregator.ts";
import { NUMERIC_OP_SLOTS } from "../job/aggregator.ts";
import type { Key } from "../job/key.ts";
import * as layout from "../kernel/layout.ts";
import type { RewriteCells } from "./cell-values.ts";
import type { Collector, CollectorPlace, HeldStates } from "./collector.ts";
import type { CachedTable, EmitCache } from "./emit-cache.ts";
import { cacheBits } from "./emit-cache.ts";
import { KeyScratch, oneTag } from "./key-scratch.ts";
import type { TaskMemory } from "./memory.ts";
import type { Partitioning } from "./partitioning.ts";
import type { Spiller } from "./spill.ts";

/** ASCII keys of so many characters are, with their tag byte, three 32-bit words. */
const SHORT_KEY = 11;

/** For tables whose rows stand for objects elsewhere. */
export interface TableHooks {
  readonly rewrite?: RewriteCells;
  /** Called when a run has been written and the table is empty. */
  readonly spilled?: () => void;
}

const OP_CODES = {
  count: layout.OP_COUNT,
  sum: layout.OP_SUM,
  min: layout.OP_MIN,
  max: layout.OP_MAX,
} as const;
const FOLD_CODES = {
  one: layout.FOLD_ONE,
  value: layout.FOLD_VALUE,
  square: layout.FOLD_SQUARE,
  inexact: layout.FOLD_INEXACT,
} as const;

/**
 * Op codes of the kernels for a row. `folds` say what a number puts into each op, for kernels that add
 * numbers themselves; to merge rows they are not needed.
 */
export function opCodes(ops: readonly NumericOp[], folds?: readonly NumberFold[]): number[] {
  return ops.map((op, i) => {
    const fold = folds?.[i];
    return OP_CODES[op] | (fold === undefined ? 0 : FOLD_CODES[fold]);
  });
}

export function slotCount(ops: readonly NumericOp[]): number {
  return ops.reduce((slots, op) => slots + NUMERIC_OP_SLOTS[op], 0);
}

/** What every row begins with. */
function startRow(ops: readonly NumericOp[]): Float64Array {
  const row = new Float64Array(slotCount(ops));
  let slot = 0;
  for (const op of ops) {
    row[slot] = op === "min" ? Infinity : op === "max" ? -Infinity : 0;
    slot += NUMERIC_OP_SLOTS[op];
  }
  return row;
}

/** Of the number that says how much a row stands for, see HeldStates.weight; -1: there is none. */
function weightSlot(ops: readonly NumericOp[]): number {
  const at = ops.includes("count") ? ops.indexOf("count") : ops.indexOf("sum");
  return at === -1 ? -1 : slotCount(ops.slice(0, at));
}

/**
 * Aggregates numbers while they are emitted: a hash table of key bytes to rows of floats, in linear memory,
 * which kernels fill as well (see native scans). Full, it is written as a sorted run and begun anew.
 */
export class TableCollector implements Collector, CachedTable, HeldStates {
  emitted = 0;
  runs = 0;
  readonly table: number;
  readonly #memory: TaskMemory;
  readonly #numeric: NumericState<unknown, unknown>;
  readonly #countsOnly: boolean;
  readonly #spiller: Spiller;
  readonly #collection: number;
  readonly #partitioning: Partitioning;
  readonly #hooks: TableHooks;
  readonly #spilling: (() => void) | undefined;
  readonly #scratch: KeyScratch;
  readonly #slots: number;
  readonly #weightSlot: number;
  readonly #entries: number;
  readonly #startRow: Float64Array;
  readonly #checkRow: Float64Array;
  readonly #cache: EmitCache;
  /** Takes one pair: see Collector. A function of its own, not a method: it runs once for every pair. */
  readonly emit: (key: Key, value: unknown) => void;
  readonly #state: Int32Array;
  /** The row made for the pair in hand, until its value is in it; else -1. */
  #fresh = -1;
  #i32!: Int32Array;
  #f64!: Float64Array;

  /** The region holds index, cells and the entries that sort them. */
  constructor(place: CollectorPlace, numeric: NumericState<unknown, unknown>, hooks: TableHooks = {}) {
    const { memory, regionBytes, spiller, collection, partitioning } = place;
    this.#memory = memory;
    this.#hooks = hooks;
    this.#spilling = place.spilling;
    this.#numeric = numeric;
    this.#countsOnly = numeric.countsOnly === true;
    this.#spiller = spiller;
    this.#collection = collection;
    this.#partitioning = partitioning;
    this.#slots = slotCount(numeric.ops);
    this.#weightSlot = weightSlot(numeric.ops);
    this.#state = new Int32Array([layout.CELL_HEADER + this.#slots * 8]);
    this.#startRow = startRow(numeric.ops);
    this.#checkRow = new Float64Array(this.#slots);
    this.#scratch = new KeyScratch(memory);
    const codes = opCodes(numeric.ops, numeric.folds);
    this.table = memory.take(layout.TABLE_BYTES);
    const ops = memory.take(codes.length);
    const init = memory.take(this.#slots * 8);
    // An index of I bytes holds at most 3/4 * I/8 cells, whose entries (16 bytes, twice) need 3 I: see
    // docs/formats.md.
    let indexMax = 4096;
    while (indexMax * 2 <= regionBytes / 8) indexMax *= 2;
    const index = memory.take(indexMax);
    this.#entries = memory.take(indexMax * 3);
    const arenaBytes = Math.max(regionBytes - indexMax * 4, 64 * 1024);
    const arena = memory.take(arenaBytes);
    this.#refresh();
    memory.onGrow(() => this.#refresh());
    memory.heap.u8.set(codes, ops);
    memory.heap.f64.set(this.#startRow, init >>> 3);
    const { u32 } = memory.heap;
    const set = (field: number, value: number): void => {
      u32[(this.table + field) >>> 2] = value;
    };
    set(layout.TABLE_INDEX, index);
    set(layout.TABLE_INDEX_MAX, indexMax);
    set(layout.TABLE_MASK, Math.min(indexMax / 8, 8192) - 1);
    set(layout.TABLE_ARENA_START, arena);
    set(layout.TABLE_ARENA_END, arena + arenaBytes);
    set(layout.TABLE_SLOTS, this.#slots);
    set(layout.TABLE_OPS, ops);
    set(layout.TABLE_OPS_COUNT, codes.length);
    set(layout.TABLE_INIT, init);
    memory.heap.kernels.tableReset(this.table);
    const integers = numeric.ops.join() === "sum,max" && numeric.folds?.join() === "value,inexact";
    const kind = this.#countsOnly ? "count" : integers ? "sum" : "other";
    this.#cache = memory.emitCache(collection, cacheBits(regionBytes));
    this.#cache.attach(this, kind);
    this.emit = this.#cache.emit;
  }

  #refresh(): void {
    this.#i32 = this.#memory.heap.i32;
    this.#f64 = this.#memory.heap.f64;
  }

  /** Folds a value into the row at `row` (in 8-byte units). */
  add(row: number, value: unknown): void {
    if (this.#countsOnly) this.#f64[row] = this.#f64[row]! + 1;
    else this.#numeric.add(this.#f64, row, value);
  }

  /** As add, into the row that rowOf gave: one it made is forgotten when the value is refused. */
  addFirst(row: number, value: unknown): void {
    if (row !== this.#fresh) return this.add(row, value);
    this.#fresh = -1;
    try {
      this.add(row, value);
    } catch (error) {
      this.#forget(row);
      throw error;
    }
  }

  /** Takes back the last row made, whose pair was refused: its key must not come out. */
  #forget(row: number): void {
    const i32 = this.#i32;
    const table = this.table >>> 2;
    const cell = (row * 8 - layout.CELL_HEADER) | 0;
    const index = i32[table]! >>> 2;
    const mask = i32[table + 1]!;
    // The last one made ends its chain of probes, so that freeing its entry parts no other from its hash.
    for (let probe = i32[cell >>> 2]! & mask; ; probe = (probe + 1) & mask) {
      const at = index + probe * 2;
      if (i32[at + 1] === 0) return;
      if (i32[at + 1] !== cell) continue;
      i32[at] = 0;
      i32[at + 1] = 0;
      break;
    }
    i32[table + (layout.TABLE_COUNT >>> 2)]! -= 1;
    i32[table + (layout.TABLE_ARENA_TOP >>> 2)] = cell;
  }

  /** Folds into a row what several pairs have added up to: see EmitKind. */
  addWaiting(row: number, total: number): void {
    if (this.#countsOnly) this.#f64[row] = this.#f64[row]! + total;
    else this.#numeric.add(this.#f64, row, total);
  }

  /** Throws what emit would throw for this key. */
  checkKey(key: Key): void {
    const scratch = this.#scratch;
    const length = scratch.encode(key);
    if (this.#partitioning.kind === "each") this.#partitioning.choose(this.#memory, scratch.ptr, length, key);
  }

  check(key: Key, value: unknown): void {
    this.checkKey(key);
    if (this.#countsOnly) return;
    this.#checkRow.set(this.#startRow);
    this.#numeric.add(this.#checkRow, 0, value);
  }

  /**
   * Row of an ASCII key, made when it is new. Those of up to SHORT_KEY characters are looked up without
   * encoding them or calling a kernel.
   */
  rowOfAscii(key: string): number {
    const length = key.length;
    if (length > SHORT_KEY) return this.rowOf(key);
    let w0: number = layout.KEY_TAG_STRING;
    let w1 = 0;
    let w2 = 0;
    for (let i = 0, shift = 8; i < length; i++, shift += 8) {
      const char = key.charCodeAt(i) << shift;
      if (i < 3) w0 |= char;
      else if (i < 7) w1 |= char;
      else w2 |= char;
    }
    const i32 = this.#i32;
    let hash = Math.imul(layout.HASH_SEED ^ w0, layout.HASH_MULTIPLIER);
    hash ^= hash >>> 15;
    hash = Math.imul(hash ^ w1, layout.HASH_MULTIPLIER);
    hash ^= hash >>> 15;
    if (length > 7) {
      hash = Math.imul(hash ^ w2, layout.HASH_MULTIPLIER);
      hash ^= hash >>> 15;
      hash = Math.imul(hash, layout.HASH_MULTIPLIER);
      hash ^= hash >>> 15;
    }
    hash ^= length + 1;
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    hash ^= hash >>> 16;
    const table = this.table >>> 2;
    const index = i32[table]! >>> 2;
    const mask = i32[table + 1]!;
    const rowBytes = this.#state[0]!;
    for (let probe = hash & mask; ; probe = (probe + 1) & mask) {
      const at = index + probe * 2;
      const cell = i32[at + 1]!;
      if (cell === 0) return this.rowOf(key);
      if (i32[at] !== hash) continue;
      const words = (cell + rowBytes) >>> 2;
      if (
        i32[words] === w0 &&
        i32[words + 1] === w1 &&
        i32[(cell >>> 2) + 2] === length + 1 &&
        (length <= 7 || i32[words + 2] === w2)
      ) {
        return (cell + layout.CELL_HEADER) >>> 3;
      }
    }
  }

  /** Row of any key (in 8-byte units), made when it is new. Spills when the table is full. */
  rowOf(key: Key): number {
    const scratch = this.#scratch;
    const length = scratch.encode(key);
    const { kernels } = this.#memory.heap;
    const before = this.#i32[(this.table + layout.TABLE_COUNT) >>> 2]!;
    let cell = kernels.tableUpsert(this.table, scratch.ptr, length);
    if (cell === 0) {
      this.spill();
      cell = this.#memory.heap.kernels.tableUpsert(this.table, scratch.ptr, length);
      if (cell === 0) {
        this.#enlarge(length);
        cell = this.#memory.heap.kernels.tableUpsert(this.table, scratch.ptr, length);
      }
      if (cell === 0) throw new SheafError("INTERNAL", "a key does not fit into an empty table");
      this.#place(cell, length, key);
    } else if (this.#i32[(this.table + layout.TABLE_COUNT) >>> 2] !== before) {
      this.#place(cell, length, key);
    }
    return (cell + layout.CELL_HEADER) >>> 3;
  }

  /** Marks a new cell as such and gives it its partition, where the partitioner decides at emit. */
  #place(cell: number, length: number, key: Key): void {
    const row = (cell + layout.CELL_HEADER) >>> 3;
    if (this.#partitioning.kind === "each") {
      const at = cell + layout.CELL_HEADER + this.#slots * 8;
      try {
        const partition = this.#partitioning.choose(this.#memory, at, length, key);
        this.#i32[(cell + layout.CELL_PARTITION) >>> 2] = partition;
      } catch (error) {
        this.#forget(row);
        throw error;
      }
    }
    this.#fresh = row;
  }

  /** A bigger arena for a key that even the empty one cannot hold. */
  #enlarge(length: number): void {
    // Twice what it takes, since the old one is not given back before the task ends.
    const size = layout.CELL_HEADER + this.#slots * 8 + length * 2 + 64;
    const arena = this.#memory.take(size);
    const { u32, kernels } = this.#memory.heap;
    u32[(this.table + layout.TABLE_ARENA_START) >>> 2] = arena;
    u32[(this.table + layout.TABLE_ARENA_END) >>> 2] = arena + size;
    kernels.tableReset(this.table);
  }

  get empty(): boolean {
    return this.keys === 0;
  }

  /** For aggregators whose state is a row. */
  get held(): HeldStates {
    return this;
  }

  get keys(): number {
    return this.#memory.heap.u32[(this.table + layout.TABLE_COUNT) >>> 2]!;
  }

  /** See HeldStates; `row` is in 8-byte units. */
  each(visit: (row: number, keyAt: number, keyLength: number) => void): void {
    this.#cache.flush();
    const { u32 } = this.#memory.heap;
    const top = u32[(this.table + layout.TABLE_ARENA_TOP) >>> 2]!;
    let cell = u32[(this.table + layout.TABLE_ARENA_START) >>> 2]!;
    while (cell < top) {
      const keyLength = u32[(cell + layout.CELL_KEY_LEN) >>> 2]!;
      const keyAt = cell + layout.CELL_HEADER + u32[(cell + layout.CELL_VAL_LEN) >>> 2]!;
      visit((cell + layout.CELL_HEADER) >>> 3, keyAt, keyLength);
      cell = (keyAt + keyLength + 7) & ~7;
    }
  }

  weight(row: number): number {
    const slot = this.#weightSlot;
    return slot === -1 ? 0 : Math.abs(this.#f64[row + slot]!);
  }

  /** A copy of the row. */
  state(row: number): Float64Array {
    return this.#f64.slice(row, row + this.#slots);
  }

  /** Writes the table as a sorted run and empties it. */
  spill(): void {
    const { u32 } = this.#memory.heap;
    const count = this.keys;
    if (count === 0) return;
    this.#spilling?.();
    this.#cache.flush();
    const cells = {
      start: u32[(this.table + layout.TABLE_ARENA_START) >>> 2]!,
      top: u32[(this.table + layout.TABLE_ARENA_TOP) >>> 2]!,
      count,
      entries: this.#entries,
      sharedTag: oneTag(this.#scratch.tags),
    };
    this.#spiller.spill(cells, this.#collection, this.runs++, this.#partitioning, this.#hooks.rewrite);
    this.#memory.heap.kernels.tableReset(this.table);
    this.#hooks.spilled?.();
  }

  /** Tells that kernels have added string keys, which the tag bookkeeping has not seen. */
  addedByKernel(pairs: number): void {
    this.emitted += pairs;
    this.#scratch.tags |= 1 << (layout.KEY_TAG_STRING >>> 4);
  }

  finish(): void {
    this.spill();
  }
}
