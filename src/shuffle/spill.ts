import { CELL_HEADER, CTL_BYTES, ENTRY_BYTES } from "../kernel/layout.ts";
import * as layout from "../kernel/layout.ts";
import type { BlockOutput } from "./block-output.ts";
import type { RewriteCells } from "./cell-values.ts";
import type { HotKeys } from "./hot-keys.ts";
import type { TaskMemory } from "./memory.ts";
import type { Partitioning } from "./partitioning.ts";
import type { RunWriter } from "./run-writer.ts";

/** Cells to be written as one sorted run. */
export interface CellRange {
  readonly start: number;
  readonly top: number;
  readonly count: number;
  /** Room for 2 x count entries of 16 bytes. */
  readonly entries: number;
  /**
   * True when all keys begin with the same tag byte: the sort's prefix then holds one more byte of the key.
   */
  readonly sharedTag: boolean;
}

/** Where in a run file a run goes, and how. */
interface RunTarget {
  readonly collection: number;
  readonly run: number;
  readonly rewrite: RewriteCells | undefined;
}

/** Sorts the cells of collectors and writes them as runs of one run file. */
export class Spiller {
  readonly #memory: TaskMemory;
  readonly #writer: () => RunWriter;
  readonly #output: BlockOutput;
  readonly #control: number;
  readonly #hot: HotKeys | undefined;

  /** `writer` is asked for at the first spill, so that a task that emits nothing leaves no file. */
  constructor(memory: TaskMemory, writer: () => RunWriter, output: BlockOutput, hot?: HotKeys) {
    this.#memory = memory;
    this.#writer = writer;
    this.#output = output;
    this.#hot = hot;
    this.#control = memory.take(CTL_BYTES);
  }

  /** Writes the cells as run number `run` of a collection, partition by partition. */
  spill(
    cells: CellRange,
    collection: number,
    run: number,
    partitioning: Partitioning,
    rewrite?: RewriteCells,
  ): void {
    if (cells.count === 0) return;
    const { kernels } = this.#memory.heap;
    const byCell =
      partitioning.kind === "each" ? 0 : partitioning.kind === "hash" ? partitioning.partitions : 1;
    const skip = cells.sharedTag ? 1 : 0;
    const n = kernels.makeEntries(cells.start, cells.top, cells.entries, skip, byCell);
    const sorted = kernels.sortEntries(cells.entries, cells.entries + n * ENTRY_BYTES, n, skip);
    if (rewrite === undefined) this.#hot?.look(sorted, n, collection);
    const target = { collection, run, rewrite };
    if (partitioning.kind === "range") {
      let from = 0;
      for (let partition = 0; partition < partitioning.partitions && from < n; partition++) {
        const bound = partitioning.bounds[partition];
        const to = bound === undefined ? n : this.#lowerBound(sorted, from, n, bound);
        if (to > from) this.#write(sorted, from, to, partition, target);
        from = to;
      }
      return;
    }
    for (let from = 0; from < n;) {
      const partition = this.#partitionAt(sorted, from);
      const to = this.#endOfPartition(sorted, from, n, partition);
      this.#write(sorted, from, to, partition, target);
      from = to;
    }
  }

  #partitionAt(sorted: number, entry: number): number {
    return this.#memory.heap.u32[(sorted + entry * ENTRY_BYTES + layout.ENTRY_PARTITION) >>> 2]!;
  }

  /** By bisection: there can be many cells and few partitions, or the other way round. */
  #endOfPartition(sorted: number, from: number, n: number, partition: number): number {
    if (this.#partitionAt(sorted, n - 1) === partition) return n;
    let low = from + 1;
    let high = n - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#partitionAt(sorted, middle) === partition) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** First entry of [from, to) whose key is not below `bound`. */
  #lowerBound(sorted: number, from: number, to: number, bound: Buffer): number {
    const { u32 } = this.#memory.heap;
    const { bytes } = this.#memory;
    let low = from;
    let high = to;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const cell = u32[(sorted + middle * ENTRY_BYTES + layout.ENTRY_CELL) >>> 2]!;
      const key = cell + CELL_HEADER + u32[(cell + layout.CELL_VAL_LEN) >>> 2]!;
      const length = u32[(cell + layout.CELL_KEY_LEN) >>> 2]!;
      if (bytes.compare(bound, 0, bound.length, key, key + length) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #write(sorted: number, from: number, to: number, partition: number, target: RunTarget): void {
    const { rewrite } = target;
    const writer = this.#writer();
    writer.begin(target.collection, partition, target.run);
    if (rewrite === undefined) this.#gather(writer, sorted, from, to);
    else rewrite(sorted, from, to);
    this.#output.flush(writer);
  }

  #gather(writer: RunWriter, sorted: number, from: number, to: number): void {
    const output = this.#output;
    for (let at = from; at < to;) {
      const { kernels, u32 } = this.#memory.heap;
      const next = kernels.gather(sorted, at, to, output.position, output.end, this.#control);
      output.advance(u32[(this.#control + layout.CTL_OUT_POSITION) >>> 2]!, next - at);
      if (next < to) {
        const needed = next === at ? u32[(this.#control + layout.CTL_DETAIL) >>> 2]! : 0;
        output.flush(writer);
        if (needed > 0) output.grow(needed);
      }
      at = next;
    }
  }
}
