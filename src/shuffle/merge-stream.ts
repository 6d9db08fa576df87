import { SheafError } from "../base/errors.ts";
import type { NumericOp } from "../job/aggregator.ts";
import * as layout from "../kernel/layout.ts";
import type { TaskMemory } from "./memory.ts";
import type { RunSource } from "./run-source.ts";
import { opCodes, slotCount } from "./table-collector.ts";

/** A stretch of merged records in linear memory. Valid until the next call of next(). */
export interface MergedWindow {
  readonly start: number;
  readonly end: number;
  readonly records: number;
}

/** Windows that grow take more than they need now: nothing is given back before the merge ends. */
const WINDOW_GROWTH = 1.5;

interface InputWindow {
  ptr: number;
  size: number;
}

/**
 * Merges sorted sources into one sorted stream, window by window. Equal keys keep the order of the sources;
 * with numeric ops, records of equal keys become one.
 */
export class MergeStream {
  readonly #memory: TaskMemory;
  readonly #sources: readonly RunSource[];
  readonly #merge: number;
  readonly #streams: number;
  readonly #windows: InputWindow[];
  #out: number;
  #outSize: number;
  #done = false;
  #records = 0;
  /** Bytes of records read from the sources so far. */
  bytesIn = 0;

  /** Takes its windows from `memory`: one of `windowBytes` a source and one for the result. */
  constructor(
    memory: TaskMemory,
    sources: readonly RunSource[],
    windowBytes: number,
    ops: readonly NumericOp[] | undefined,
  ) {
    this.#memory = memory;
    this.#sources = sources;
    const k = Math.max(sources.length, 1);
    const codes = ops === undefined ? [] : opCodes(ops);
    this.#merge = memory.take(layout.MERGE_BYTES);
    this.#streams = memory.take(k * layout.STREAM_BYTES);
    const tree = memory.take(k * 4);
    const opsPtr = memory.take(Math.max(codes.length, 1));
    this.#windows = sources.map(() => ({ ptr: memory.take(windowBytes), size: windowBytes }));
    this.#outSize = windowBytes;
    this.#out = memory.take(windowBytes);
    const { u8, u32, kernels } = memory.heap;
    u8.fill(0, this.#merge, this.#merge + layout.MERGE_BYTES);
    u8.fill(0, this.#streams, this.#streams + k * layout.STREAM_BYTES);
    u8.set(codes, opsPtr);
    const set = (field: number, value: number): void => {
      u32[(this.#merge + field) >>> 2] = value;
    };
    set(layout.MERGE_K, k);
    set(layout.MERGE_MODE, ops === undefined ? layout.MERGE_COPY : layout.MERGE_COMBINE);
    set(layout.MERGE_OPS, opsPtr);
    set(layout.MERGE_OPS_COUNT, codes.length);
    set(layout.MERGE_SLOTS, ops === undefined ? 0 : slotCount(ops));
    set(layout.MERGE_STREAMS, this.#streams);
    set(layout.MERGE_TREE, tree);
    set(layout.MERGE_KEY_SKIP, 0);
    set(layout.MERGE_OUT_POSITION, this.#out);
    for (let i = 0; i < k; i++) {
      this.#setStream(i, layout.STREAM_STATE, i < sources.length ? layout.STREAM_EMPTY : layout.STREAM_ENDED);
    }
    kernels.mergeStart(this.#merge);
  }

  /** The next stretch of merged records, or null at the end. */
  next(): MergedWindow | null {
    if (this.#done) return null;
    for (;;) {
      const { kernels } = this.#memory.heap;
      const status = kernels.mergeRun(this.#merge, this.#out, this.#out + this.#outSize);
      const { u32 } = this.#memory.heap;
      const detail = u32[(this.#merge + layout.MERGE_DETAIL) >>> 2]!;
      if (status === layout.STATUS_NEED) {
        this.#refill(detail);
        continue;
      }
      if (status === layout.STATUS_TOO_BIG) {
        this.#outSize = Math.ceil(detail * WINDOW_GROWTH);
        this.#out = this.#memory.take(this.#outSize);
        this.#memory.heap.u32[(this.#merge + layout.MERGE_OUT_POSITION) >>> 2] = this.#out;
        continue;
      }
      if (status !== layout.STATUS_DONE && status !== layout.STATUS_OUT_FULL) {
        throw new SheafError("INTERNAL", `merge answered status ${status}`);
      }
      const end = u32[(this.#merge + layout.MERGE_OUT_POSITION) >>> 2]!;
      const records = u32[(this.#merge + layout.MERGE_RECORDS) >>> 2]!;
      const window = { start: this.#out, end, records: records - this.#records };
      this.#records = records;
      u32[(this.#merge + layout.MERGE_OUT_POSITION) >>> 2] = this.#out;
      if (status === layout.STATUS_DONE) {
        this.#done = true;
        if (end === this.#out) return null;
      }
      return window;
    }
  }

  close(): void {
    for (const source of this.#sources) source.close();
  }

  #setStream(stream: number, field: number, value: number): void {
    this.#memory.heap.u32[(this.#streams + stream * layout.STREAM_BYTES + field) >>> 2] = value;
  }

  #refill(stream: number): void {
    const block = this.#sources[stream]!.next();
    if (block === null) {
      this.#setStream(stream, layout.STREAM_STATE, layout.STREAM_ENDED);
      return;
    }
    const window = this.#windows[stream]!;
    if (block.length > window.size) {
      window.size = Math.ceil(block.length * WINDOW_GROWTH);
      window.ptr = this.#memory.take(window.size);
    }
    this.#memory.heap.u8.set(block, window.ptr);
    this.bytesIn += block.length;
    this.#setStream(stream, layout.STREAM_CUR, window.ptr);
    this.#setStream(stream, layout.STREAM_END, window.ptr + block.length);
  }
}
