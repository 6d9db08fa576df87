import type { TaskMemory } from "./memory.ts";
import type { RunWriter } from "./run-writer.ts";
import { varintSize, writeVarint } from "./varint.ts";

/**
 * The window in linear memory in which the records of a block are put together before they go to the run
 * file: filled by the gather and merge kernels, or record by record from JavaScript.
 */
export class BlockOutput {
  readonly #memory: TaskMemory;
  #start: number;
  #end: number;
  #at: number;
  #records = 0;
  /** Raw bytes handed to run files so far. */
  rawBytes = 0;

  /** `blockBytes` is the raw size at which a block is closed. */
  constructor(memory: TaskMemory, blockBytes: number) {
    this.#memory = memory;
    this.#start = memory.take(blockBytes);
    this.#end = this.#start + blockBytes;
    this.#at = this.#start;
  }

  get start(): number {
    return this.#start;
  }

  get end(): number {
    return this.#end;
  }

  get position(): number {
    return this.#at;
  }

  get empty(): boolean {
    return this.#at === this.#start;
  }

  /** Tells that a kernel has written `records` records up to `position`. */
  advance(position: number, records: number): void {
    this.#at = position;
    this.#records += records;
  }

  /** Closes the block: its records go to the segment begun last. */
  flush(writer: RunWriter): void {
    if (this.empty) return;
    writer.block(this.#memory.bytes.subarray(this.#start, this.#at), this.#records);
    this.rawBytes += this.#at - this.#start;
    this.#at = this.#start;
    this.#records = 0;
  }

  /** Makes the window at least `size` bytes. REQUIRES that it is empty. */
  grow(size: number): void {
    if (this.#end - this.#start >= size) return;
    // Half as much again: what is taken is not given back before the task ends.
    const larger = Math.ceil(size * 1.5);
    this.#start = this.#memory.take(larger);
    this.#end = this.#start + larger;
    this.#at = this.#start;
  }

  /** What lies from `mark` on was given back: takes its window anew if that is there. REQUIRES it empty. */
  retake(mark: number): void {
    if (this.#start < mark) return;
    const size = this.#end - this.#start;
    this.#start = this.#memory.take(size);
    this.#end = this.#start + size;
    this.#at = this.#start;
  }

  /** Appends one record; its key lies in linear memory, its value in `value[0, valueLength)`. */
  append(writer: RunWriter, keyPtr: number, keyLength: number, value: Uint8Array, valueLength: number): void {
    const size = varintSize(keyLength) + varintSize(valueLength) + keyLength + valueLength;
    if (this.#at + size > this.#end) {
      this.flush(writer);
      this.grow(size);
    }
    const { bytes } = this.#memory;
    let at = writeVarint(bytes, this.#at, keyLength);
    at = writeVarint(bytes, at, valueLength);
    bytes.copyWithin(at, keyPtr, keyPtr + keyLength);
    at += keyLength;
    if (valueLength < 32) for (let i = 0; i < valueLength; i++) bytes[at + i] = value[i]!;
    else bytes.set(value.subarray(0, valueLength), at);
    this.#at = at + valueLength;
    this.#records++;
  }
}
