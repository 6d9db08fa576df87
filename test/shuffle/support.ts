import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { Random } from "#src/base/random.js";
import { seededRandom } from "#src/base/random.js";
import { decodeKey, encodeKey, keySizeMax } from "#src/codec/key-codec.js";
import { ValueDecoder, ValueEncoder } from "#src/codec/value-codec.js";
import { compareKeys } from "#src/job/key-order.js";
import type { Key } from "#src/job/key.js";
import { partitionOf, hashBytes } from "#src/kernel/typescript/hash.js";
import { BlockOutput } from "#src/shuffle/block-output.js";
import type { CollectorPlace } from "#src/shuffle/collector.js";
import { TaskMemory } from "#src/shuffle/memory.js";
import type { Partitioning } from "#src/shuffle/partitioning.js";
import type { RunIdentity, Segment } from "#src/shuffle/run-format.js";
import { readRunIndex } from "#src/shuffle/run-index.js";
import { SegmentSource } from "#src/shuffle/run-reader.js";
import { RunWriter } from "#src/shuffle/run-writer.js";
import { Spiller } from "#src/shuffle/spill.js";
import { varintSize, writeVarint } from "#src/shuffle/varint.js";

export type Pair = readonly [key: Key, value: unknown];

export const identity: RunIdentity = { jobId: "job-1", task: 3, attempt: 2 };

export function tempDir(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "sheaf-shuffle-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** The bytes of a key. */
export function keyBytes(key: Key): Buffer {
  const bytes = Buffer.alloc(keySizeMax(key));
  return bytes.subarray(0, encodeKey(bytes, 0, key));
}

/** The bytes of a value; of undefined none. */
export function valueBytes(value: unknown): Buffer {
  if (value === undefined) return Buffer.alloc(0);
  const encoder = new ValueEncoder();
  encoder.encode(value);
  return Buffer.from(encoder.bytes.subarray(0, encoder.length));
}

/** Records as they lie in blocks. */
export function recordBytes(pairs: Iterable<readonly [key: Buffer, value: Buffer]>): Buffer {
  const pieces: Buffer[] = [];
  for (const [key, value] of pairs) {
    const head = Buffer.alloc(varintSize(key.length) + varintSize(value.length));
    writeVarint(head, writeVarint(head, 0, key.length), value.length);
    pieces.push(head, key, value);
  }
  return Buffer.concat(pieces);
}

/** The raw records in blocks. */
export function* parseRecords(block: Buffer): Generator<[key: Buffer, value: Buffer]> {
  const varint = (at: number): [number, number] => {
    let value = 0;
    let scale = 1;
    for (let end = at; ; scale *= 128) {
      const byte = block[end++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return [value, end];
    }
  };
  for (let at = 0; at < block.length;) {
    const [keyLength, afterKey] = varint(at);
    const [valueLength, keyAt] = varint(afterKey);
    const valueAt = keyAt + keyLength;
    at = valueAt + valueLength;
    assert.ok(at <= block.length, "a record reaches beyond its block");
    yield [Buffer.from(block.subarray(keyAt, valueAt)), Buffer.from(block.subarray(valueAt, at))];
  }
}

/** All raw records of a segment; checks its counts. */
export function readSegment(path: string, segment: Segment, who: RunIdentity = identity): [Buffer, Buffer][] {
  const source = new SegmentSource(readRunIndex(path, { identity: who }), segment);
  const records: [Buffer, Buffer][] = [];
  let rawBytes = 0;
  try {
    for (let block = source.next(); block !== null; block = source.next()) {
      rawBytes += block.length;
      records.push(...parseRecords(block));
    }
  } finally {
    source.close();
  }
  assert.equal(records.length, segment.records);
  assert.equal(rawBytes, segment.rawBytes);
  return records;
}

/** A worker's memory, its block window and a run file, as a map attempt has them. */
export class Shelf {
  readonly memory: TaskMemory;
  readonly output: BlockOutput;
  readonly spiller: Spiller;
  readonly path: string;
  readonly writer: () => RunWriter;
  #writer: RunWriter | undefined;

  constructor(directory: string, budget: number, blockBytes = 4096) {
    this.path = join(directory, "map.run");
    this.memory = new TaskMemory(budget);
    this.output = new BlockOutput(this.memory, blockBytes);
    this.writer = () => (this.#writer ??= new RunWriter(this.path, identity));
    this.spiller = new Spiller(this.memory, this.writer, this.output);
  }

  /**
   * Ends the run file and gives the records of each run of each partition: sorted, as the file has to have
   * them.
   */
  runs(
    collection = 0,
  ): { readonly partition: number; readonly run: number; readonly records: [Buffer, Buffer][] }[] {
    this.#writer?.finish();
    if (this.#writer === undefined) return [];
    const { segments } = readRunIndex(this.path, { identity });
    const runs = segments
      .filter((segment) => segment.collection === collection)
      .map((segment) => ({
        partition: segment.partition,
        run: segment.run,
        records: readSegment(this.path, segment),
      }));
    for (const { records } of runs) {
      for (let i = 1; i < records.length; i++) {
        assert.ok(Buffer.compare(records[i - 1]![0], records[i]![0]) <= 0, "a run is not sorted");
      }
    }
    return runs;
  }
}

export function decoded([key, value]: readonly [Buffer, Buffer]): Pair {
  return [decodeKey(key, 0, key.length), new ValueDecoder().decodeAt(value, 0, value.length)];
}

export function hashPartition(key: Key, partitions: number): number {
  const bytes = keyBytes(key);
  return partitionOf(hashBytes(bytes, 0, bytes.length), partitions);
}

/** A stable sort by key. */
export function sortedPairs(pairs: readonly Pair[]): Pair[] {
  return [...pairs].sort((a, b) => compareKeys(a[0], b[0]));
}

/** Text of a key, unique to it: names for Maps. */
export function nameOf(key: Key): string {
  return keyBytes(key).toString("hex");
}

const LETTERS = ["a", "b", "c", "ab", "A", "é", "ß", "\0", "\u0001", "\x7f", "\u0080", "日", "😀", "\uffff"];

export function randomText(random: Random, lengthMax: number): string {
  let text = "";
  for (let length = random.below(lengthMax + 1); text.length < length;)
    text += LETTERS[random.below(LETTERS.length)]!;
  return text;
}

/** Keys of every kind, of few enough values that many come up again. */
export function randomKey(random: Random): Key {
  switch (random.below(12)) {
    case 0:
      return random.below(20) - 10;
    case 1:
      return (random.below(100) - 50) / 7;
    case 2:
      return [null, true, false][random.below(3)]!;
    case 3:
      return Uint8Array.from({ length: random.below(4) }, () => random.below(3) * 127);
    case 4:
      return [randomText(random, 2), random.below(3)];
    case 5:
      return [[random.below(2), [randomText(random, 1)]], null];
    case 6:
      return randomText(random, 40);
    case 7:
      return "abcdefghijklmnop".slice(0, random.below(14));
    case 8:
      return "a".repeat(random.below(3)) + "\0".repeat(random.below(4));
    default:
      return randomText(random, 4);
  }
}

export const one: Partitioning = { kind: "hash", partitions: 1 };
export const three: Partitioning = { kind: "hash", partitions: 3 };

export function place(shelf: Shelf, regionBytes: number, partitioning: Partitioning = one): CollectorPlace {
  return { memory: shelf.memory, regionBytes, spiller: shelf.spiller, collection: 0, partitioning };
}

export function randomPairs(
  seed: string,
  length: number,
  value: (random: Random) => unknown,
  key: (random: Random) => Key = randomKey,
): Pair[] {
  const random = seededRandom(seed);
  return Array.from({ length }, () => [key(random), value(random)]);
}
