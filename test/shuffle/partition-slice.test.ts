import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { isSheafError } from "#src/base/errors.js";
import type { Random } from "#src/base/random.js";
import { seededRandom } from "#src/base/random.js";
import type { PartitionSlice, SlicePiece } from "#src/shuffle/partition-slice.js";
import { slicePartition, slicePieces } from "#src/shuffle/partition-slice.js";
import { runDigest } from "#src/shuffle/run-fingerprint.js";
import type { RunIdentity } from "#src/shuffle/run-format.js";
import { jobFingerprint } from "#src/shuffle/run-format.js";
import type { PartitionPlace } from "#src/shuffle/run-index.js";
import { readRunIndex } from "#src/shuffle/run-index.js";
import { SegmentSource } from "#src/shuffle/run-reader.js";
import { RunWriter } from "#src/shuffle/run-writer.js";
import type { ExpectedSlice } from "#src/shuffle/slice-check.js";
import { SliceCheck } from "#src/shuffle/slice-check.js";
import { identity, tempDir } from "./support.js";

/** What to write: per run, in order, the blocks of each partition of a collection. */
interface WrittenSegment extends PartitionPlace {
  readonly run: number;
  readonly blocks: readonly Buffer[];
}

function randomSegments(random: Random): WrittenSegment[] {
  const segments: WrittenSegment[] = [];
  const collections = 1 + random.below(2);
  const partitions = 1 + random.below(4);
  for (let run = 0; run < random.below(4); run++) {
    for (let collection = 0; collection < collections; collection++) {
      for (let partition = 0; partition < partitions; partition++) {
        const blocks = Array.from({ length: random.below(4) }, () => {
          const bytes = Buffer.alloc(1 + random.below(random.below(3) === 0 ? 5_000 : 40));
          // Some shrink under LZ4, some do not.
          const few = random.below(2) === 0;
          for (let i = 0; i < bytes.length; i++) bytes[i] = few ? i % 3 : random.below(256);
          return bytes;
        });
        segments.push({ collection, partition, run, blocks });
      }
    }
  }
  return segments;
}

function write(path: string, segments: readonly WrittenSegment[], who: RunIdentity = identity): void {
  const writer = new RunWriter(path, who);
  for (const { collection, partition, run, blocks } of segments) {
    writer.begin(collection, partition, run);
    for (const block of blocks) writer.block(block, 1 + (block[0]! % 3));
  }
  writer.finish();
}

const joined = (file: Buffer, pieces: readonly SlicePiece[]): Buffer =>
  Buffer.concat(
    pieces.map((piece) =>
      piece.kind === "made" ? piece.bytes : file.subarray(piece.offset, piece.offset + piece.length),
    ),
  );

function sliceOf(path: string, place: PartitionPlace): { slice: PartitionSlice; bytes: Buffer } {
  const slice = slicePartition(readRunIndex(path, { identity, place }));
  const bytes = joined(readFileSync(path), slice.pieces);
  assert.equal(bytes.length, slice.bytes);
  return { slice, bytes };
}

const expectation = (bytes: number, place: PartitionPlace, who: RunIdentity = identity): ExpectedSlice => ({
  owner: { job: jobFingerprint(who.jobId), task: who.task, attempt: who.attempt },
  place,
  bytes,
  name: "the slice",
});

/** Feeds the bytes in chunks of random sizes; throws what the check throws. */
function check(bytes: Buffer, expected: ExpectedSlice, random?: Random): SliceCheck {
  const checked = new SliceCheck(expected);
  for (let at = 0; at < bytes.length;) {
    const size = random === undefined ? bytes.length : 1 + random.below(random.below(2) === 0 ? 3 : 2_000);
    checked.feed(bytes.subarray(at, at + size));
    at += size;
  }
  return checked;
}

const isDamage = (error: unknown): boolean => isSheafError(error) && error.code === "BLOCK_CORRUPT";

/** All blocks of a run file that lies in a window, with the numbers of their runs. */
function blocksOf(path: string, place: PartitionPlace, window: { offset: number; bytes: number }): unknown[] {
  const index = readRunIndex(path, { identity, window });
  for (const { collection, partition } of index.segments) assert.deepEqual({ collection, partition }, place);
  return index.segments.map((segment) => {
    const source = new SegmentSource(index, segment);
    const blocks: string[] = [];
    for (let block = source.next(); block !== null; block = source.next()) blocks.push(block.toString("hex"));
    return { run: segment.run, blocks };
  });
}

describe("a slice", () => {
  test("is a run file of just that partition, wherever in a file it lies", (t) => {
    const directory = tempDir(t);
    for (let seed = 0; seed < 60; seed++) {
      const random = seededRandom(seed);
      const segments = randomSegments(random);
      const path = join(directory, `${seed}.run`);
      write(path, segments);
      for (let collection = 0; collection < 2; collection++) {
        for (let partition = 0; partition < 4; partition++) {
          const place = { collection, partition };
          const { slice, bytes } = sliceOf(path, place);
          const before = random.below(2) * random.below(1_000);
          const copy = join(directory, "copy.run");
          writeFileSync(copy, Buffer.concat([Buffer.alloc(before, 7), bytes, Buffer.alloc(before, 7)]));
          const expected = segments
            .filter((one) => one.collection === collection && one.partition === partition)
            .filter((one) => one.blocks.length > 0)
            .map((one) => ({ run: one.run, blocks: one.blocks.map((block) => block.toString("hex")) }));
          assert.deepEqual(
            blocksOf(copy, place, { offset: before, bytes: bytes.length }),
            expected,
            `seed ${seed}`,
          );
          const checked = check(bytes, expectation(bytes.length, place), random);
          assert.ok(checked.done, `seed ${seed}`);
          assert.equal(checked.empty, expected.length === 0, `seed ${seed}`);
          const from = random.below(slice.bytes + 1);
          const rest = joined(readFileSync(path), slicePieces(slice, from));
          assert.ok(rest.equals(bytes.subarray(from)), `seed ${seed}: from ${from}`);
        }
      }
    }
  });

  /** Two runs with two blocks each: 500 bytes. */
  function small(t: Parameters<typeof tempDir>[0]): { path: string; slice: PartitionSlice; bytes: Buffer } {
    const path = join(tempDir(t), "small.run");
    const blocks = (text: string): Buffer[] => [Buffer.from(text), Buffer.from(`${text} again`)];
    const both = [0, 1].flatMap((run) =>
      [0, 1].map((partition) => ({ collection: 0, partition, run, blocks: blocks(`${run}/${partition}`) })),
    );
    write(path, both);
    return { path, ...sliceOf(path, place) };
  }
  const place = { collection: 0, partition: 1 };

  test("continues from any of its bytes", (t) => {
    const { path, slice, bytes } = small(t);
    const file = readFileSync(path);
    for (let from = 0; from <= bytes.length; from++) {
      assert.ok(joined(file, slicePieces(slice, from)).equals(bytes.subarray(from)), `from ${from}`);
    }
  });

  test("is refused when any of its bits is wrong", (t) => {
    const { bytes } = small(t);
    const expected = expectation(bytes.length, place);
    assert.ok(check(bytes, expected).done);
    for (let at = 0; at < bytes.length; at++) {
      for (const bit of [1, 16, 128]) {
        const damaged = Buffer.from(bytes);
        damaged[at]! ^= bit;
        assert.throws(() => assert.ok(check(damaged, expected).done), isDamage, `byte ${at}`);
      }
    }
  });

  test("is not done before its last byte, and has none behind it", (t) => {
    const { bytes } = small(t);
    const expected = expectation(bytes.length, place);
    for (let end = 0; end < bytes.length; end++) {
      assert.ok(!check(bytes.subarray(0, end), expected).done, `${end} bytes`);
    }
    assert.throws(() => check(Buffer.concat([bytes, Buffer.alloc(1)]), expected), isDamage);
    for (const size of [0, 55, bytes.length - 1, bytes.length + 1, bytes.length + 52]) {
      const longer = Buffer.concat([bytes, Buffer.alloc(60)]);
      assert.throws(() => check(longer, expectation(size, place)), isDamage, `said to have ${size} bytes`);
    }
  });

  test("of another job, task, attempt, collection or partition is refused", (t) => {
    const { bytes } = small(t);
    const others: [RunIdentity, PartitionPlace][] = [
      [{ ...identity, jobId: "job-2" }, place],
      [{ ...identity, task: 4 }, place],
      [{ ...identity, attempt: 1 }, place],
      [identity, { collection: 1, partition: 1 }],
      [identity, { collection: 0, partition: 0 }],
    ];
    for (const [who, where] of others) {
      assert.throws(() => check(bytes, expectation(bytes.length, where, who)), isDamage);
    }
  });

  test("whose blocks are sound but doubled, left out or moved is refused", (t) => {
    const { path, bytes } = small(t);
    const file = readFileSync(path);
    const [first, second] = readRunIndex(path, { identity, place }).segments;
    const block = file.readUInt32LE(first!.offset + 44) + 56;
    const a = file.subarray(first!.offset, first!.offset + block);
    const b = file.subarray(first!.offset + block, first!.offset + first!.length);
    const other = file.subarray(second!.offset, second!.offset + second!.length);
    const end = bytes.subarray(16 + first!.length + second!.length);
    for (const blocks of [[a, a, other], [a, other], [b, other], [other], [b, a, other], [other, a, b], []]) {
      const made = Buffer.concat([bytes.subarray(0, 16), ...blocks, end]);
      for (const size of [made.length, bytes.length]) {
        assert.throws(() => {
          assert.ok(check(made, expectation(size, place)).done);
        }, isDamage);
      }
    }
  });
});

describe("the fingerprint of a run file", () => {
  test("depends on what it holds, not on who wrote it", (t) => {
    const directory = tempDir(t);
    const seen = new Map<string, number>();
    for (let seed = 0; seed < 40; seed++) {
      const segments = randomSegments(seededRandom(seed));
      const paths = [
        [identity, "a"],
        [{ jobId: "another", task: 70_000, attempt: 9 }, "b"],
      ] as const;
      const prints = paths.map(([who, name]) => {
        const path = join(directory, `${seed}-${name}.run`);
        write(path, segments, who);
        return runDigest(path).fingerprint;
      });
      assert.equal(prints[0], prints[1], `seed ${seed}`);
      assert.match(prints[0]!, /^[0-9a-f]{64}$/);
      if (segments.every(({ blocks }) => blocks.length === 0)) continue;
      assert.equal(seen.get(prints[0]!), undefined, `seeds ${seed} and ${seen.get(prints[0]!)}`);
      seen.set(prints[0]!, seed);
    }
    assert.ok(seen.size > 20);
  });

  test("is another one when a bit of a record, its partition, its run or the order is another", (t) => {
    const directory = tempDir(t);
    const base = { collection: 0, partition: 1, run: 0, blocks: [Buffer.from("abc"), Buffer.from("xyz")] };
    const variants: WrittenSegment[] = [
      base,
      { ...base, blocks: [Buffer.from("abb"), Buffer.from("xyz")] },
      { ...base, blocks: [Buffer.from("abc"), Buffer.from("xyzz")] },
      { ...base, blocks: [Buffer.from("xyz"), Buffer.from("abc")] },
      { ...base, blocks: [Buffer.from("abcxyz")] },
      { ...base, partition: 0 },
      { ...base, collection: 1 },
      { ...base, run: 1 },
    ];
    const prints = new Set<string>();
    for (const [i, variant] of variants.entries()) {
      const path = join(directory, `${i}.run`);
      write(path, [variant]);
      prints.add(runDigest(path).fingerprint);
    }
    assert.equal(prints.size, variants.length);
  });
});
