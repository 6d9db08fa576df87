import { statSync } from "node:fs";
import { limits } from "../base/limits.ts";
import { decodeKey } from "../codec/key-codec.ts";
import { ValueDecoder } from "../codec/value-codec.ts";
import type { Key } from "../job/key.ts";
import type { RunIdentity } from "../shuffle/run-format.ts";
import { readRunIndex } from "../shuffle/run-index.ts";
import { SegmentSource } from "../shuffle/run-reader.ts";
import { RunWriter } from "../shuffle/run-writer.ts";
import { readVarint, varintSize, writeVarint } from "../shuffle/varint.ts";

/** Writes results losslessly: a run file of one segment, in the order written. */
export class CollectedWriter {
  readonly #writer: RunWriter;
  #block: Buffer = Buffer.allocUnsafe(limits.blockBytes);
  #length = 0;
  #records = 0;

  constructor(path: string, identity: RunIdentity, collection: number) {
    this.#writer = new RunWriter(path, identity);
    this.#writer.begin(collection, identity.task, 0);
  }

  add(key: Buffer, value: Buffer): void {
    const size = varintSize(key.length) + varintSize(value.length) + key.length + value.length;
    if (this.#length + size > this.#block.length) {
      this.#flush();
      if (size > this.#block.length) this.#block = Buffer.allocUnsafe(size);
    }
    let at = writeVarint(this.#block, this.#length, key.length);
    at = writeVarint(this.#block, at, value.length);
    at += key.copy(this.#block, at);
    at += value.copy(this.#block, at);
    this.#length = at;
    this.#records++;
  }

  finish(): { readonly path: string; readonly bytes: number; readonly crc32c: number } {
    this.#flush();
    this.#writer.finish();
    // Its blocks carry their own checksums.
    return { path: this.#writer.path, bytes: statSync(this.#writer.path).size, crc32c: 0 };
  }

  abandon(): void {
    this.#writer.abandon();
  }

  #flush(): void {
    if (this.#length > 0) this.#writer.block(this.#block.subarray(0, this.#length), this.#records);
    this.#length = 0;
    this.#records = 0;
  }
}

/**
 * The results in a "collected" part, in the order they were written.
 * @throws SheafError BLOCK_CORRUPT when the file is damaged
 */
export function* readCollected(path: string): Generator<[Key, unknown]> {
  const index = readRunIndex(path);
  const decoder = new ValueDecoder();
  for (const segment of index.segments) {
    const source = new SegmentSource(index, segment);
    try {
      for (let block = source.next(); block !== null; block = source.next()) {
        for (let at = 0; at < block.length;) {
          const [keyLength, afterKey] = readVarint(block, at);
          const [valueLength, keyAt] = readVarint(block, afterKey);
          const valueAt = keyAt + keyLength;
          at = valueAt + valueLength;
          yield [decodeKey(block, keyAt, valueAt), decoder.decodeAt(block, valueAt, valueLength)];
        }
      }
    } finally {
      source.close();
    }
  }
}
