import { decodeKey, KEY_TAG, keyPrefixLength } from "../codec/key-codec.ts";
import { ValueDecoder } from "../codec/value-codec.ts";
import type { ExecPlan } from "../job/exec.ts";
import type { TaskMemory } from "../shuffle/memory.ts";
import type { MergedWindow } from "../shuffle/merge-stream.ts";
import { readVarint } from "../shuffle/varint.ts";
import { copyTo } from "./exec-pairs.ts";
import type { ExecFeed } from "./exec-records.ts";

const NEWLINE = 10;

/** Makes lines, or what else the reading program's protocol wants, of merged pairs. */
export class PairFeed {
  readonly #memory: TaskMemory;
  readonly #feed: ExecFeed;
  readonly #elements: number;
  readonly #isOwn: boolean;
  readonly #values = new ValueDecoder();

  /** @param from the program that has written the pairs' lines; undefined where something else made them */
  constructor(memory: TaskMemory, feed: ExecFeed, from: ExecPlan | undefined) {
    this.#memory = memory;
    this.#feed = feed;
    this.#elements = from?.sort?.length ?? 0;
    this.#isOwn = from?.protocol === "lines" && from.values === "text" && feed.plan.inputProtocol === "lines";
  }

  /** `flush` is waited for whenever the feed is full. */
  async window(window: MergedWindow, flush: () => Promise<void>): Promise<void> {
    for (let at = window.start; at < window.end;) {
      at = this.#isOwn ? this.#lines(at, window.end) : this.#pair(at);
      if (this.#feed.full) await flush();
    }
  }

  /** Lines of the records from `at` on, until the feed is full; returns the first that is left. */
  #lines(start: number, end: number): number {
    const { bytes } = this.#memory;
    const feed = this.#feed;
    const separator = feed.plan.inputSeparator;
    let at = start;
    while (at < end && !feed.full) {
      let byte = bytes[at++]!;
      let keyLength = byte & 0x7f;
      for (let shift = 7; byte >= 0x80; shift += 7) {
        byte = bytes[at++]!;
        keyLength |= (byte & 0x7f) << shift;
      }
      byte = bytes[at++]!;
      let valueLength = byte & 0x7f;
      for (let shift = 7; byte >= 0x80; shift += 7) {
        byte = bytes[at++]!;
        valueLength |= (byte & 0x7f) << shift;
      }
      const valueAt = at + keyLength;
      const next = valueAt + valueLength;
      feed.room(keyLength + separator.length + valueLength + 1);
      const out = feed.bytes;
      if (this.#elements === 0) {
        copyTo(out, feed.length, bytes, at + 1, valueAt);
        feed.length += keyLength - 1;
      } else feed.length += lastElement(bytes, at, valueAt, this.#elements).copy(out, feed.length);
      if (valueLength > 0) {
        for (let i = 0; i < separator.length; i++) out[feed.length++] = separator[i]!;
        let content = valueAt + 1;
        while (bytes[content]! >= 0x80) content++;
        copyTo(out, feed.length, bytes, content + 1, next);
        feed.length += next - content - 1;
      }
      out[feed.length++] = NEWLINE;
      at = next;
    }
    return at;
  }

  #pair(at: number): number {
    const { bytes } = this.#memory;
    const [keyLength, afterKey] = readVarint(bytes, at);
    const [valueLength, keyAt] = readVarint(bytes, afterKey);
    const valueAt = keyAt + keyLength;
    const key = decodeKey(bytes, keyAt, valueAt);
    this.#feed.pair(key, this.#values.decodeAt(bytes, valueAt, valueLength));
    return valueAt + valueLength;
  }
}

/** The bytes of a key that such a program has written, out of its encoding; undefined for another key. */
export function writtenKey(bytes: Buffer, from: number, to: number, plan: ExecPlan): Buffer | undefined {
  const tag = bytes[from];
  if (plan.sort !== undefined)
    return tag === KEY_TAG.array ? lastElement(bytes, from, to, plan.sort.length) : undefined;
  return tag === KEY_TAG.string || tag === KEY_TAG.bytes ? bytes.subarray(from + 1, to) : undefined;
}

/** The string behind so many elements of an array key. */
function lastElement(bytes: Buffer, from: number, to: number, elements: number): Buffer {
  const raw = bytes.subarray(from + keyPrefixLength(bytes, from, to, elements) + 1, to - 2);
  if (!raw.includes(0)) return raw;
  const plain = Buffer.allocUnsafe(raw.length);
  let length = 0;
  for (let i = 0; i < raw.length; i++) {
    plain[length++] = raw[i]!;
    if (raw[i] === 0) i++;
  }
  return plain.subarray(0, length);
}
