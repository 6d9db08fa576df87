import { encodeKey, keySizeMax } from "../codec/key-codec.ts";
import type { Key } from "../job/key.ts";
import type { TaskMemory } from "./memory.ts";

const SCRATCH_BYTES = 4096;

/** A place in linear memory where a key is encoded before a kernel looks it up. */
export class KeyScratch {
  readonly #memory: TaskMemory;
  #size = SCRATCH_BYTES;
  ptr: number;
  /** Bit (tag >> 4) for every first byte seen: one bit means that all keys are of one kind. */
  tags = 0;

  constructor(memory: TaskMemory) {
    this.#memory = memory;
    this.ptr = memory.take(SCRATCH_BYTES);
  }

  /** Encodes the key at `ptr` and returns its length. Throws KEY_INVALID. */
  encode(key: Key): number {
    const size = keySizeMax(key);
    if (size > this.#size) {
      // Twice the size: what is taken is not given back before the task ends.
      this.#size = size * 2;
      this.ptr = this.#memory.take(this.#size);
    }
    const { bytes } = this.#memory;
    const end = encodeKey(bytes, this.ptr, key);
    this.tags |= 1 << (bytes[this.ptr]! >>> 4);
    return end - this.ptr;
  }
}

/** True when at most one bit is set. */
export function oneTag(tags: number): boolean {
  return (tags & (tags - 1)) === 0;
}
