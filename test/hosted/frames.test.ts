import assert from "node:assert/strict";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { seededRandom } from "#src/base/random.js";
import {
  BlockWriter,
  blockBounds,
  partitionOfBlock,
  partitionsMax,
  readBlock,
  writePrefix,
} from "#src/hosted/blocks.js";
import { FrameReader, FrameWriter } from "#src/hosted/frames.js";
import { Spool } from "#src/hosted/spool.js";
import { bytesOf, type Frame, framesOf, javaPartition } from "./fake-engine.js";

const directory = mkdtempSync(join(tmpdir(), "sheaf-frames-"));
after(() => rmSync(directory, { recursive: true, force: true }));
let files = 0;

function written(write: (frames: FrameWriter) => void): Buffer {
  const path = join(directory, `w${files++}`);
  const fd = openSync(path, "w");
  const frames = new FrameWriter(fd);
  write(frames);
  frames.flush();
  closeSync(fd);
  return readFileSync(path);
}

function readAll(bytes: Buffer, bounds = blockBounds): [string, string][] {
  const path = join(directory, `r${files++}`);
  writeFileSync(path, bytes);
  const fd = openSync(path, "r");
  try {
    const frames = new FrameReader(fd, bounds);
    const all: [string, string][] = [];
    while (frames.next()) all.push([frames.key.toString("latin1"), frames.value.toString("latin1")]);
    return all;
  } finally {
    closeSync(fd);
  }
}

test("frames are what Hadoop Streaming's rawbytes are, to the byte", () => {
  const bytes = written((frames) => {
    frames.write(Buffer.from("key"), [Buffer.from("va"), Buffer.from("lue")]);
    frames.write(Buffer.alloc(0), []);
  });
  assert.equal(bytes.toString("hex"), "000000036b65790000000576616c7565" + "0000000000000000");
  assert.deepEqual(readAll(bytes), [
    ["key", "value"],
    ["", ""],
  ]);
});

test("frames of all sizes around the buffers' come back as they were", () => {
  const random = seededRandom("frames");
  const sizes = [0, 1, 4, 262_143, 262_144, 262_145, 524_288, 1_048_576, 3, 600_000, 7];
  const given = sizes.map((size, at): Frame => {
    const value = Buffer.alloc(size, random.below(256));
    return { key: Buffer.from(`k${at}`), value };
  });
  const bytes = written((frames) => {
    for (const { key, value } of given)
      frames.write(key, [value.subarray(0, value.length >> 1), value.subarray(value.length >> 1)]);
  });
  assert.deepEqual(bytes, bytesOf(given));
  assert.deepEqual(
    readAll(bytes),
    given.map(({ key, value }) => [key.toString("latin1"), value.toString("latin1")]),
  );
});

test("a stream that ends anywhere but behind a frame is refused", () => {
  const bytes = bytesOf([
    { key: Buffer.from("key"), value: Buffer.from("value") },
    { key: Buffer.from("second"), value: Buffer.from("x") },
  ]);
  const ends = [0, 16, bytes.length];
  for (let length = 0; length <= bytes.length; length++) {
    const part = bytes.subarray(0, length);
    if (ends.includes(length)) assert.equal(readAll(part).length, ends.indexOf(length));
    else
      assert.throws(() => readAll(part), {
        code: "MESSAGE_INVALID",
        message: /they end inside a (length|key|value)/,
      });
  }
});

test("lengths below zero and beyond the bounds are refused, naming the offset", () => {
  const one = bytesOf([{ key: Buffer.from("k"), value: Buffer.from("v") }]);
  const negative = Buffer.concat([one, Buffer.from("ffffffff", "hex"), Buffer.alloc(20)]);
  assert.throws(() => readAll(negative), { message: /a key of -1 bytes at offset 10/ });
  const large = Buffer.from("00000001" + "6b" + "7fffffff", "hex");
  assert.throws(() => readAll(large), { message: /a value of 2147483647 bytes at offset 5/ });
  assert.throws(() => readAll(one, { keyMax: 0, valueMax: 9 }), {
    message: /a key of 1 bytes at offset 0, 0 at most/,
  });
});

test("the prefix of every partition leads to it, for every number of partitions", () => {
  const key = Buffer.alloc(12);
  const check = (partition: number, partitions: number): void => {
    writePrefix(key, partition, partitions);
    assert.ok(key.subarray(0, 4).every((digit) => digit < 31));
    if (partitionOfBlock(key, partitions) !== partition) assert.fail(`${partition} of ${partitions}`);
  };
  for (let partitions = 1; partitions <= 3_000; partitions += partitions < 300 ? 1 : 37)
    for (let partition = 0; partition < partitions; partition++) check(partition, partitions);
  for (const partitions of [10_000, 99_991, partitionsMax - 1, partitionsMax])
    for (let partition = 0; partition < partitions; partition += partitions < 20_000 ? 1 : 977)
      check(partition, partitions);
});

test("partitions are those of Java's hash of the bytes, negative ones and overflows too", () => {
  const random = seededRandom("java");
  for (let round = 0; round < 5_000; round++) {
    const key = Buffer.from([random.below(256), random.below(256), random.below(256), random.below(256), 1]);
    const partitions = 1 + random.below(1_000);
    assert.equal(
      partitionOfBlock(key, partitions),
      javaPartition(key, partitions),
      `${key.toString("hex")} ${partitions}`,
    );
  }
});

/** Blocks of one slice and two files, as a map sends them. */
function blocks(): Frame[] {
  const large = Buffer.alloc(2_500_000, "abcdefg");
  const path = join(directory, "made.tsv");
  writeFileSync(path, "a\t1\n");
  return framesOf(
    written((frames) => {
      const writer = new BlockWriter(frames, 7, 3);
      writer.slice(2, large.length, (target, offset) => large.copy(target, 0, offset));
      writer.file(1, { name: "files/map-00007/é.tsv", path });
      writer.text(1, "reports/map-00007.jsonl", "");
    }),
  );
}

test("blocks are what they are documented to be, to the byte", () => {
  const [first, , , file, empty] = blocks();
  assert.equal(first!.key.toString("hex"), "00000001" + "00000007" + "00000000");
  assert.equal(first!.value.length, 1 + 4 + 16 + 1_048_576);
  assert.equal(
    first!.value.toString("hex", 0, 23),
    "02" + "6527af1f" + "00000000002625a0" + "0000000000000000" + "6162",
  );
  assert.equal(file!.key.toString("hex"), "00000000" + "00000007" + "00000003");
  assert.equal(
    file!.value.toString("hex", 5),
    "0016" +
      Buffer.from("files/map-00007/é.tsv").toString("hex") +
      "0000000000000004" +
      "0000000000000000" +
      "6109310a",
  );
  const block = readBlock(empty!.value);
  assert.deepEqual(block, {
    kind: "file",
    name: "reports/map-00007.jsonl",
    bytes: 0,
    offset: 0,
    data: Buffer.alloc(0),
  });
});

test("a block that was changed or cut anywhere is refused", () => {
  const [, , last, file] = blocks();
  for (const { value } of [last!, file!]) {
    const at = Array.from({ length: Math.min(60, value.length) }, (_, index) => index).concat(
      value.length - 1,
    );
    for (const index of at) {
      const changed = Buffer.from(value);
      changed[index]! ^= 0x10;
      assert.throws(() => readBlock(changed), { code: "MESSAGE_INVALID" }, `byte ${index}`);
    }
    for (const length of [0, 1, 5, 20, value.length - 1])
      assert.throws(() => readBlock(value.subarray(0, length)), { code: "MESSAGE_INVALID" });
  }
});

test("blocks in any order make the whole; one that is missing, or comes twice, is told", () => {
  const all = blocks().map(({ value }) => readBlock(value));
  const random = seededRandom("spool");
  const spooled = (some: readonly (typeof all)[number][]): Spool => {
    const spool = new Spool(join(directory, `s${files++}`));
    for (const block of some) if (block.kind !== "hello") spool.take(7, block);
    return spool;
  };
  for (let round = 0; round < 20; round++) {
    const shuffled = [...all].sort(() => random.next() - 0.5);
    const spool = spooled(shuffled);
    const text = readFileSync(spool.path);
    const [slice, file, report] = spool.pieces();
    const of = ({ window }: { window: { offset: number; bytes: number } }): Buffer =>
      text.subarray(window.offset, window.offset + window.bytes);
    assert.ok(of(slice!).equals(Buffer.alloc(2_500_000, "abcdefg")));
    assert.deepEqual([file!.name, of(file!).toString()], ["files/map-00007/é.tsv", "a\t1\n"]);
    assert.deepEqual([report!.name, report!.window.bytes], ["reports/map-00007.jsonl", 0]);
    spool.close();
  }
  for (let left = 0; left < 3; left++) {
    const spool = spooled(all.filter((_, at) => at !== left));
    assert.throws(() => spool.pieces(), { message: /a slice of map 7 is not whole: 2 of 3 blocks/ });
    assert.throws(() => spooled([...all, all[left]!]), { message: /the slice of map 7 came twice/ });
  }
  const other = { ...all[0]!, bytes: 2_500_001 } as (typeof all)[number];
  assert.throws(() => spooled([all[1]!, other]), { message: /with 2500000 and with 2500001 bytes/ });
});
