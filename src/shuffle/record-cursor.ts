import type { TaskMemory } from "./memory.ts";
import type { MergeStream } from "./merge-stream.ts";

/**
 * Steps through the records of a merge, one at a time. After advance(), key and value lie in `memory.bytes`
 * at [keyAt, keyAt + keyLength) and [valueAt, valueAt + valueLength), until the next advance().
 */
export class RecordCursor {
  readonly #memory: TaskMemory;
  readonly #stream: MergeStream;
  keyAt = 0;
  keyLength = 0;
  valueAt = 0;
  valueLength = 0;
  /** Called each time a new window has been merged. */
  readonly #onWindow: () => void;
  #end = 0;
  #next = 0;

  constructor(memory: TaskMemory, stream: MergeStream, onWindow: () => void) {
    this.#memory = memory;
    this.#stream = stream;
    this.#onWindow = onWindow;
  }

  /** Moves to the next record; false at the end. */
  advance(): boolean {
    if (this.#next === this.#end) {
      const window = this.#stream.next();
      if (window === null) return false;
      this.#next = window.start;
      this.#end = window.end;
      this.#onWindow();
    }
    const { bytes } = this.#memory;
    let at = this.#next;
    let byte = bytes[at++]!;
    let length = byte & 0x7f;
    for (let shift = 7; byte >= 0x80; shift += 7) {
      byte = bytes[at++]!;
      length |= (byte & 0x7f) << shift;
    }
    this.keyLength = length;
    byte = bytes[at++]!;
    length = byte & 0x7f;
    for (let shift = 7; byte >= 0x80; shift += 7) {
      byte = bytes[at++]!;
      length |= (byte & 0x7f) << shift;
    }
    this.valueLength = length;
    this.keyAt = at;
    this.valueAt = at + this.keyLength;
    this.#next = this.valueAt + length;
    return true;
  }
}
