import { decodeKey, keyPrefixLength } from "../codec/key-codec.ts";
import { ValueDecoder } from "../codec/value-codec.ts";
import type { Key } from "../job/key.ts";
import { StreamedValues, valuesOver } from "../job/streamed-values.ts";
import type { TaskMemory } from "./memory.ts";
import type { RecordCursor } from "./record-cursor.ts";

/**
 * Groups a sorted stream of records by key, or by the first elements of array keys. A group's values stream:
 * the group may be larger than memory.
 */
export class GroupReader {
  readonly #memory: TaskMemory;
  readonly #cursor: RecordCursor;
  readonly #groupBy: number | undefined;
  readonly #decoder = new ValueDecoder();
  #groupKey = Buffer.alloc(256);
  #groupLength = 0;
  /** Whether the cursor stands on a record that has not been handed out. */
  #pending: boolean;
  #inGroup = false;
  #handle = 0;
  /** The key of the current group. */
  key: Key = null;

  constructor(memory: TaskMemory, cursor: RecordCursor, groupBy?: number) {
    this.#memory = memory;
    this.#cursor = cursor;
    this.#groupBy = groupBy;
    this.#pending = cursor.advance();
  }

  /** Moves to the next group, over values of this one that nobody read; false at the end. */
  nextGroup(): boolean {
    while (this.#inGroup) this.#step();
    if (!this.#pending) return false;
    const { bytes } = this.#memory;
    const { keyAt, keyLength } = this.#cursor;
    const length =
      this.#groupBy === undefined
        ? keyLength
        : keyPrefixLength(bytes, keyAt, keyAt + keyLength, this.#groupBy);
    if (length > this.#groupKey.length) this.#groupKey = Buffer.allocUnsafe(length * 2);
    bytes.copy(this.#groupKey, 0, keyAt, keyAt + length);
    this.#groupLength = length;
    this.key = decodeKey(this.#groupKey, 0, length);
    this.#inGroup = true;
    this.#handle++;
    return true;
  }

  /** The values of the current group; can be iterated once, and only until the next group. */
  values(): StreamedValues<unknown> {
    const handle = this.#handle;
    let ended = false;
    return new StreamedValues("reduce", () => {
      if (ended) return { done: true, value: undefined };
      if (handle !== this.#handle) throw valuesOver("reduce");
      if (!this.#inGroup) {
        ended = true;
        return { done: true, value: undefined };
      }
      const value = this.#value();
      this.#step();
      return { done: false, value };
    });
  }

  #value(): unknown {
    return this.#decoder.decodeAt(this.#memory.bytes, this.#cursor.valueAt, this.#cursor.valueLength);
  }

  /** Goes on to the next record and sees whether it still belongs to the group. */
  #step(): void {
    this.#pending = this.#cursor.advance();
    this.#inGroup = this.#pending && this.#sameGroup();
  }

  #sameGroup(): boolean {
    const length = this.#groupLength;
    const { keyAt, keyLength } = this.#cursor;
    if (this.#groupBy === undefined ? keyLength !== length : keyLength < length) return false;
    const { bytes } = this.#memory;
    const group = this.#groupKey;
    // From the end: sorted neighbours differ there first.
    for (let i = length - 1; i >= 0; i--) if (bytes[keyAt + i] !== group[i]) return false;
    // Elements tell their own ends: with groupBy, equal bytes are equal elements, whatever follows.
    return true;
  }
}
