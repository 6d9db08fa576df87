import { encodeKey, keySizeMax } from "../codec/key-codec.ts";
import { ValueEncoder } from "../codec/value-codec.ts";
import type { Key } from "../job/key.ts";
import { ARENA_BYTES, ENTRY_BYTES } from "../kernel/layout.ts";
import * as layout from "../kernel/layout.ts";
import type { RewriteCells } from "./cell-values.ts";
import type { Collector, CollectorPlace } from "./collector.ts";
import { KeyScratch, oneTag } from "./key-scratch.ts";
import type { TaskMemory } from "./memory.ts";
import type { Partitioning } from "./partitioning.ts";
import type { Spiller } from "./spill.ts";

/** Entries that sort the cells: 16 bytes, and the sort works between two arrays of them. */
const BYTES_PER_CELL = 2 * ENTRY_BYTES;
/**
 * The smallest cell: header, tag byte, padding. A lent arena must leave room for the entries of that many
 * cells.
 */
const CELL_BYTES_MIN = layout.CELL_HEADER + 8;
/** When less than this is left to lend, it is time to spill. */
const LEND_BYTES_MIN = 4096;

/** Keeps every pair, in emit order, and writes them sorted by key; pairs of equal keys keep their order. */
export class SortCollector implements Collector {
  emitted = 0;
  runs = 0;
  /** Arena struct of the cells, for kernels. */
  readonly arena: number;
  readonly #memory: TaskMemory;
  readonly #spiller: Spiller;
  readonly #collection: number;
  readonly #partitioning: Partitioning;
  readonly #rewrite: RewriteCells | undefined;
  readonly #values = new ValueEncoder();
  #scratch: KeyScratch | undefined;
  #start: number;
  #end: number;
  #top: number;
  #count = 0;
  #tags = 0;

  constructor(place: CollectorPlace, rewrite?: RewriteCells) {
    const { memory, regionBytes, spiller, collection, partitioning } = place;
    this.#memory = memory;
    this.#spiller = spiller;
    this.#collection = collection;
    this.#partitioning = partitioning;
    this.#rewrite = rewrite;
    this.arena = memory.take(ARENA_BYTES);
    this.#start = memory.take(regionBytes);
    this.#end = this.#start + regionBytes;
    this.#top = this.#start;
  }

  get partitioning(): Partitioning {
    return this.#partitioning;
  }

  emit(key: Key, value: unknown): void {
    this.emitted++;
    const values = this.#values;
    // A value that is undefined takes no bytes at all: ValueDecoder.decodeAt reads that back.
    if (value === undefined) values.length = 0;
    else values.encode(value);
    const valueLength = values.length;
    const most = layout.CELL_HEADER + valueLength + keySizeMax(key) + 8;
    if (this.#top + most + (this.#count + 1) * BYTES_PER_CELL > this.#end) this.#makeRoom(most);
    const cell = this.#top;
    const { bytes } = this.#memory;
    let at = cell + layout.CELL_HEADER;
    if (valueLength < 24) {
      for (let i = 0; i < valueLength; i++) bytes[at + i] = values.bytes[i]!;
    } else values.bytes.copy(bytes, at, 0, valueLength);
    at += valueLength;
    const end = encodeKey(bytes, at, key);
    const next = ((end + 7) & ~7) >>> 0;
    for (let i = end; i < next; i++) bytes[i] = 0;
    this.#tags |= 1 << (bytes[at]! >>> 4);
    const { u32 } = this.#memory.heap;
    const head = cell >>> 2;
    const partitioning = this.#partitioning;
    u32[head] =
      partitioning.kind === "hash" && partitioning.partitions > 1
        ? this.#memory.heap.kernels.hashKey(at, end - at)
        : 0;
    u32[head + 1] = partitioning.kind === "each" ? partitioning.choose(this.#memory, at, end - at, key) : 0;
    u32[head + 2] = end - at;
    u32[head + 3] = valueLength;
    this.#top = next;
    this.#count++;
  }

  /**
   * Makes room for a pair that is encoded already; returns the address its value goes to, and its key behind
   * that. To be filled, and told by `added`, before anything else comes.
   */
  room(keyLength: number, valueLength: number): number {
    const most = layout.CELL_HEADER + valueLength + keyLength + 8;
    if (this.#top + most + (this.#count + 1) * BYTES_PER_CELL > this.#end) this.#makeRoom(most);
    return this.#top + layout.CELL_HEADER;
  }

  /** @param partition where keys do not find theirs by their bytes, else any */
  added(keyLength: number, valueLength: number, partition: number): void {
    const { bytes, heap } = this.#memory;
    const { u32 } = heap;
    const head = this.#top >>> 2;
    const at = this.#top + layout.CELL_HEADER + valueLength;
    const end = at + keyLength;
    const next = ((end + 7) & ~7) >>> 0;
    for (let i = end; i < next; i++) bytes[i] = 0;
    this.#tags |= 1 << (bytes[at]! >>> 4);
    const { kind, partitions } = this.#partitioning;
    u32[head] = kind === "hash" && partitions > 1 ? heap.kernels.hashKey(at, keyLength) : 0;
    u32[head + 1] = kind === "each" ? partition : 0;
    u32[head + 2] = keyLength;
    u32[head + 3] = valueLength;
    this.#top = next;
    this.#count++;
    this.emitted++;
  }

  check(key: Key, value: unknown): void {
    this.#values.encode(value);
    this.#scratch ??= new KeyScratch(this.#memory);
    const length = this.#scratch.encode(key);
    const partitioning = this.#partitioning;
    if (partitioning.kind === "each") partitioning.choose(this.#memory, this.#scratch.ptr, length, key);
  }

  /**
   * Hands the arena to a kernel that appends cells with string keys: sets up the struct at `arena`. How many
   * cells will come is not known, so each loan is a share of what is left that even the smallest cells cannot
   * overrun; when a kernel finds it full, return it and lend again. Spills when little is left.
   */
  lendArena(): void {
    let free = this.#end - this.#top - this.#count * BYTES_PER_CELL;
    if (free < LEND_BYTES_MIN && !this.empty) {
      this.spill();
      free = this.#end - this.#top;
    }
    const { u32 } = this.#memory.heap;
    const at = this.arena >>> 2;
    u32[at] = this.#start;
    u32[at + 1] = this.#top;
    u32[at + 2] = this.#top + 8 * Math.floor((free * CELL_BYTES_MIN) / (CELL_BYTES_MIN + BYTES_PER_CELL) / 8);
    u32[at + 3] = this.#count;
  }

  /** Takes the arena back from the kernel. */
  returnArena(): void {
    const { u32 } = this.#memory.heap;
    const at = this.arena >>> 2;
    const count = u32[at + 3]!;
    if (count !== this.#count) this.#tags |= 1 << (layout.KEY_TAG_STRING >>> 4);
    this.emitted += count - this.#count;
    this.#top = u32[at + 1]!;
    this.#count = count;
  }

  /** Spills so that a cell of `most` bytes fits, in a bigger region if it has to be. */
  #makeRoom(most: number): void {
    this.spill();
    this.reserve(most);
  }

  /** A bigger region where the empty one cannot hold a cell of `most` bytes. REQUIRES that it is empty. */
  reserve(most: number): void {
    if (this.#start + most + 2 * BYTES_PER_CELL <= this.#end) return;
    const size = most * 2 + 4 * BYTES_PER_CELL;
    this.#start = this.#memory.take(size);
    this.#end = this.#start + size;
    this.#top = this.#start;
  }

  /** What lies from `mark` on was given back: takes its region anew if that is there. REQUIRES it empty. */
  retake(mark: number): void {
    if (this.#start < mark) return;
    const size = this.#end - this.#start;
    this.#start = this.#memory.take(size);
    this.#end = this.#start + size;
    this.#top = this.#start;
  }

  get empty(): boolean {
    return this.#count === 0;
  }

  spill(): void {
    if (this.#count === 0) return;
    const cells = {
      start: this.#start,
      top: this.#top,
      count: this.#count,
      entries: this.#top,
      sharedTag: oneTag(this.#tags),
    };
    this.#spiller.spill(cells, this.#collection, this.runs++, this.#partitioning, this.#rewrite);
    this.#top = this.#start;
    this.#count = 0;
    this.#tags = 0;
  }

  finish(): void {
    this.spill();
  }
}
