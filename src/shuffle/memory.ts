import type { HeapOptions } from "../kernel/heap.ts";
import { createHeap } from "../kernel/heap.ts";
import type { Heap } from "../kernel/kernels.ts";
import { EmitCache } from "./emit-cache.ts";

/**
 * The linear memory of one worker, given out by a bump pointer: take() what a task needs, reset() before the
 * next one. Addresses are byte offsets into the heap, multiples of 8.
 */
export class TaskMemory {
  readonly heap: Heap;
  /** The budget in bytes; only records that do not fit into it make the memory larger. */
  readonly budget: number;
  /** The whole memory as a Buffer. Replaced when the memory grows. */
  bytes: Buffer;
  #top: number;
  /** End of the budget: where the memory ended before a record made it larger. */
  readonly #planned: number;
  #watchers: (() => void)[] = [];
  readonly #caches: (EmitCache | undefined)[] = [];

  constructor(budget: number, options?: HeapOptions) {
    this.budget = budget;
    this.heap = createHeap(budget, options);
    this.bytes = Buffer.from(this.heap.memory.buffer);
    this.#top = this.heap.start;
    this.#planned = this.heap.end;
  }

  /**
   * Bytes left in the budget. What an earlier task made the memory grow by does not count: where collectors
   * are full, and so what they write, must not depend on what else the worker has done.
   */
  get free(): number {
    return Math.max(this.#planned - this.#top, 0);
  }

  /** Address of `size` fresh bytes (contents undefined). Grows the memory when it is used up. */
  take(size: number): number {
    // Not by a mask: sizes from 2^31 on are no 32-bit integers.
    const rounded = Math.ceil(size / 8) * 8;
    const room = this.heap.end - this.#top;
    if (rounded > room) {
      this.heap.grow(rounded - room);
      this.bytes = Buffer.from(this.heap.memory.buffer);
      for (const watcher of this.#watchers) watcher();
    }
    const at = this.#top;
    this.#top += rounded;
    return at;
  }

  /** Calls back whenever the memory has grown: views and buffers over it must be fetched again. */
  onGrow(watcher: () => void): void {
    this.#watchers.push(watcher);
  }

  /**
   * The cache before the table of one collection, the same for all tasks of the worker: so V8 compiles its
   * emit once, with all it refers to as constants (5 ns a pair).
   */
  emitCache(collection: number, bits: number): EmitCache {
    const kept = this.#caches[collection];
    if (kept?.bits === bits) return kept;
    const made = new EmitCache(bits);
    this.#caches[collection] = made;
    return made;
  }

  /** Everything taken is given back. */
  reset(): void {
    this.#top = this.heap.start;
    this.#watchers = [];
  }

  /** Position to give back to by release(): what was taken after it is free again. */
  mark(): number {
    return this.#top;
  }

  release(mark: number): void {
    this.#top = mark;
  }
}
