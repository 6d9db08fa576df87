import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isSheafError } from "#src/base/errors.js";
import { seededRandom } from "#src/base/random.js";
import type { RunIdentity } from "#src/shuffle/run-format.js";
import { BLOCK_HEADER_BYTES, FILE_HEADER_BYTES } from "#src/shuffle/run-format.js";
import { readRunIndex } from "#src/shuffle/run-index.js";
import { SegmentSource } from "#src/shuffle/run-reader.js";
import { RunWriter } from "#src/shuffle/run-writer.js";
import { identity, keyBytes, readSegment, recordBytes, tempDir, valueBytes } from "./support.js";

type Raw = [key: Buffer, value: Buffer];
type Written = {
  readonly collection: number;
  readonly partition: number;
  readonly run: number;
  readonly blocks: readonly (readonly Raw[])[];
};

function writeFile(path: string, parts: readonly Written[], who: RunIdentity = identity): void {
  const writer = new RunWriter(path, who);
  for (const { collection, partition, run, blocks } of parts) {
    writer.begin(collection, partition, run);
    for (const block of blocks) writer.block(recordBytes(block), block.length);
  }
  writer.finish();
}

function readFile(path: string, who: RunIdentity = identity): Written[] {
  return readRunIndex(path, { identity: who }).segments.map((segment) => ({
    collection: segment.collection,
    partition: segment.partition,
    run: segment.run,
    blocks: [readSegment(path, segment, who)],
  }));
}

const flat = (parts: readonly Written[]): unknown[] =>
  parts.map((part) => ({ ...part, blocks: [part.blocks.flat()] }));

function pairs(prefix: string, count: number, width = 0): Raw[] {
  return Array.from({ length: count }, (_, i): Raw => [
    keyBytes(`${prefix}${String(i).padStart(3, "0")}`),
    valueBytes("v".repeat(width)),
  ]);
}

/** Two partitions, two runs, a block that is compressed and one that is not. */
const small: Written[] = [
  { collection: 0, partition: 0, run: 0, blocks: [pairs("a", 3), pairs("b", 1)] },
  { collection: 0, partition: 1, run: 0, blocks: [pairs("c", 40, 30)] },
  { collection: 0, partition: 0, run: 1, blocks: [pairs("a", 2)] },
];
const smallInOrder = [small[0]!, small[2]!, small[1]!];

test("what was written is read, in the order of collection, partition and run", (t) => {
  const path = join(tempDir(t), "x.run");
  writeFile(path, small);
  assert.deepEqual(readFile(path), flat(smallInOrder));
});

test("segments without blocks leave no trace, and a file may have none at all", (t) => {
  const directory = tempDir(t);
  writeFile(join(directory, "none.run"), []);
  assert.deepEqual(readFile(join(directory, "none.run")), []);
  writeFile(join(directory, "empty.run"), [{ collection: 0, partition: 0, run: 0, blocks: [] }, small[1]!]);
  assert.deepEqual(readFile(join(directory, "empty.run")), flat([small[1]!]));
});

test("blocks larger than every buffer, compressible or not, come back", (t) => {
  const path = join(tempDir(t), "x.run");
  const random = seededRandom("noise");
  const noise = Buffer.from(Array.from({ length: 700_000 }, () => random.below(256)));
  const parts: Written[] = [
    {
      collection: 2,
      partition: 7,
      run: 0,
      blocks: [[[keyBytes("k"), noise]], [[keyBytes("l"), Buffer.alloc(3_000_000, 1)]], pairs("m", 1000)],
    },
    ...Array.from({ length: 40 }, (_, i): Written => ({
      collection: 3,
      partition: i,
      run: 0,
      blocks: [[[keyBytes(i), noise.subarray(i, 60_000)]]],
    })),
  ];
  writeFile(path, parts);
  assert.deepEqual(readFile(path), flat(parts));
});

function refusesCorrupt(path: string, what: string): void {
  assert.throws(
    () => readFile(path),
    (error) => {
      assert.ok(isSheafError(error) && error.code === "BLOCK_CORRUPT", `${what}: ${String(error)}`);
      assert.ok(error.message.includes(path), what);
      assert.equal(error.details["path"], path, what);
      assert.equal(error.retryable, true, what);
      return true;
    },
    what,
  );
}

test("a flip of any bit of any byte is noticed", (t) => {
  const path = join(tempDir(t), "x.run");
  writeFile(path, small);
  const good = readFileSync(path);
  for (let at = 0; at < good.length; at++) {
    for (const flip of [1 << (at % 8), 0xff]) {
      const bad = Buffer.from(good);
      bad[at]! ^= flip;
      writeFileSync(path, bad);
      refusesCorrupt(path, `byte ${at} of ${good.length} flipped by ${flip}`);
    }
  }
});

test("a file cut at any length is noticed, and so is one with bytes behind its end", (t) => {
  const path = join(tempDir(t), "x.run");
  writeFile(path, small);
  const good = readFileSync(path);
  for (let length = 0; length < good.length; length++) {
    writeFileSync(path, good.subarray(0, length));
    refusesCorrupt(path, `cut to ${length} of ${good.length} bytes`);
  }
  for (const more of [Buffer.alloc(1), Buffer.alloc(40), good]) {
    writeFileSync(path, Buffer.concat([good, more]));
    refusesCorrupt(path, `${more.length} bytes more`);
  }
});

test("a file that was never finished is no run file", (t) => {
  const path = join(tempDir(t), "x.run");
  const writer = new RunWriter(path, identity);
  writer.begin(0, 0, 0);
  const noise = Buffer.from(Array.from({ length: 900_000 }, (_, i) => (i * 7919) % 251));
  writer.block(recordBytes([[keyBytes("k"), noise]]), 1);
  writer.abandon();
  refusesCorrupt(path, "abandoned");
});

test("a missing file is BLOCK_CORRUPT: its map task has to run again", (t) => {
  const directory = tempDir(t);
  refusesCorrupt(join(directory, "gone.run"), "missing from the start");
  const path = join(directory, "x.run");
  writeFile(path, small);
  const index = readRunIndex(path, { identity });
  rmSync(path);
  assert.throws(() => new SegmentSource(index, index.segments[0]!).next(), { code: "BLOCK_CORRUPT" });
});

test("a directory or another kind of file in its place is BLOCK_CORRUPT", (t) => {
  const directory = tempDir(t);
  assert.throws(() => readFile(directory), { code: "BLOCK_CORRUPT" });
  const path = join(directory, "text");
  writeFileSync(path, "The quick brown fox jumps over the lazy dog, again and again and again.\n");
  refusesCorrupt(path, "text");
  writeFileSync(path, "");
  refusesCorrupt(path, "empty");
});

test("a damaged block is named by its offset", (t) => {
  const path = join(tempDir(t), "x.run");
  writeFile(path, small);
  const [first] = readRunIndex(path, { identity }).segments;
  const bad = readFileSync(path);
  bad[first!.offset + BLOCK_HEADER_BYTES + 5]! ^= 1;
  writeFileSync(path, bad);
  assert.throws(
    () => readFile(path),
    (error) => isSheafError(error) && error.details["offset"] === FILE_HEADER_BYTES,
  );
});

for (const [what, other] of [
  ["job", { ...identity, jobId: "job-2" }],
  ["task", { ...identity, task: 4 }],
  ["attempt", { ...identity, attempt: 1 }],
] as const) {
  test(`the run file of another ${what} is refused as a whole`, (t) => {
    const path = join(tempDir(t), "x.run");
    writeFile(path, small, other);
    refusesCorrupt(path, `another ${what}`);
  });

  test(`a block of another ${what}, in place of one just as long, is refused`, (t) => {
    const path = join(tempDir(t), "x.run");
    writeFile(path, small, other);
    const theirs = readFileSync(path);
    rmSync(path);
    writeFile(path, small);
    const ours = readFileSync(path);
    for (const { offset, length } of readRunIndex(path, { identity }).segments) {
      const mixed = Buffer.from(ours);
      theirs.copy(mixed, offset, offset, offset + length);
      writeFileSync(path, mixed);
      refusesCorrupt(path, `a block of another ${what} at ${offset}`);
    }
  });
}

test("blocks that changed places are refused, whether of partitions, runs, collections or one segment", (t) => {
  const path = join(tempDir(t), "x.run");
  const block = pairs("a", 3);
  // Blocks of one size, so that whole blocks can be exchanged.
  writeFile(path, [
    { collection: 0, partition: 0, run: 0, blocks: [block, block] },
    { collection: 0, partition: 1, run: 0, blocks: [block] },
    { collection: 0, partition: 0, run: 1, blocks: [block] },
    { collection: 1, partition: 0, run: 0, blocks: [block] },
  ]);
  const good = readFileSync(path);
  const size = BLOCK_HEADER_BYTES + recordBytes(block).length;
  for (let a = 0; a < 5; a++) {
    for (let b = a + 1; b < 5; b++) {
      const bad = Buffer.from(good);
      const [atA, atB] = [FILE_HEADER_BYTES + a * size, FILE_HEADER_BYTES + b * size];
      good.copy(bad, atA, atB, atB + size);
      good.copy(bad, atB, atA, atA + size);
      writeFileSync(path, bad);
      refusesCorrupt(path, `blocks ${a} and ${b} exchanged`);
    }
  }
});

test("a run file is never written over another file", (t) => {
  const path = join(tempDir(t), "x.run");
  writeFileSync(path, "mine");
  assert.throws(() => new RunWriter(path, identity), isSheafError);
  assert.equal(readFileSync(path, "utf8"), "mine");
});

test("the file format is frozen: these bytes are in files", (t) => {
  const path = join(tempDir(t), "x.run");
  writeFile(path, [{ collection: 1, partition: 2, run: 0, blocks: [[[keyBytes("a"), valueBytes(7)]]] }]);
  assert.equal(
    readFileSync(path).toString("hex"),
    [
      "534845414652554e0200000000000000",
      "5348423102000000026ab639c21df8aa0300000002000000010000000200000000000000000000000600000006000000",
      "01000000ad154377",
      "02025061040e",
      "010000000200000000000000010000001000000000000000",
      "3e00000000000000010000000000000006000000000000000fe15d8a",
      "4e0000000000000001000000aa8aee62026ab639c21df8aa0300000002000000",
      "5348454146454e44",
    ].join(""),
  );
});

test("a partition of an index too large to be read at once is found by bisection, and only there", (t) => {
  const path = join(tempDir(t), "many.run");
  const who = { jobId: "many", task: 1, attempt: 2 };
  const writer = new RunWriter(path, who);
  const raw = Buffer.from([1, 1, 0x50, 0]);
  // Three runs of even partitions of two collections: 3,000 entries.
  for (let run = 0; run < 3; run++) {
    for (let collection = 0; collection < 2; collection++) {
      for (let partition = 0; partition < 1000; partition += 2) {
        writer.begin(collection, partition, run);
        writer.block(raw, 1);
      }
    }
  }
  writer.finish();
  const all = readRunIndex(path, { identity: who }).segments;
  assert.equal(all.length, 3000);
  for (const collection of [0, 1, 2]) {
    for (const partition of [0, 1, 2, 499, 500, 997, 998, 999, 1000]) {
      const wanted = all.filter((s) => s.collection === collection && s.partition === partition);
      assert.equal(wanted.length, collection < 2 && partition % 2 === 0 && partition < 1000 ? 3 : 0);
      const found = readRunIndex(path, { identity: who, place: { collection, partition } }).segments;
      assert.deepEqual(found, wanted, `collection ${collection}, partition ${partition}`);
    }
  }
});
