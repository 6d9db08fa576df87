import { crc32c } from "@node-rs/crc32";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { outputFiles } from "#src/format/output-file.js";
import { text } from "#src/format/text.js";
import { planInput } from "#src/plan/plan-input.js";
import { directory, file, pieces, read } from "./support.ts";

/** 3,000 lines, none like another. */
const LINES = Array.from({ length: 3000 }, (_, i) => `line ${i} ${(i * 7919) % 1000003} é`);
const CONTENT = Buffer.from(LINES.map((line) => `${line}\n`).join(""));

/** Made by bzip2 1.0.8 and zstd 1.5 from "hello\n", from CONTENT, and from long runs. */
function fixture(name: string): Buffer {
  return readFileSync(new URL(`../../../test/fixtures/format/${name}`, import.meta.url));
}

async function readCompressed(path: string): Promise<string[]> {
  return (await read(text(), await pieces(path, text(), 500_000))).records;
}

const gzip = (content: Uint8Array): Buffer => gzipSync(content);

test("gzip is recognised by content, and all members are read", async (t) => {
  const path = file(
    t,
    Buffer.concat([gzip(CONTENT.subarray(0, 5001)), gzip(Buffer.alloc(0)), gzip(CONTENT.subarray(5001))]),
  );
  const found = await pieces(path, text(), 1000);
  assert.equal(found.length, 1, "a compressed file is one piece");
  assert.equal(found[0]!.compression, "gzip");
  assert.deepEqual(await readCompressed(path), LINES);
});

test("zeros that pad a gzip file are no damage", async (t) => {
  assert.deepEqual(await readCompressed(file(t, Buffer.concat([gzip(CONTENT), Buffer.alloc(600)]))), LINES);
});

const corrupt = async (path: string): Promise<void> => {
  await assert.rejects(readCompressed(path), (error: Error & { code?: string }) => {
    assert.equal(error.code, "INPUT_CORRUPT", error.stack);
    assert.ok(error.message.includes(path), error.message);
    return true;
  });
};

test("gzip that is cut, wrong, or followed by something else is INPUT_CORRUPT", async (t) => {
  const good = gzip(CONTENT);
  for (const cut of [11, 200, good.length - 8, good.length - 4, good.length - 1]) {
    await corrupt(file(t, good.subarray(0, cut)));
  }
  const wrongCrc = Buffer.from(good);
  wrongCrc[good.length - 8]! ^= 1;
  await corrupt(file(t, wrongCrc));
  const wrongData = Buffer.from(good);
  wrongData[1000]! ^= 0x10;
  await corrupt(file(t, wrongData));
  await corrupt(file(t, Buffer.concat([good, Buffer.from("garbage")])));
  await corrupt(file(t, Buffer.concat([good, Buffer.from("\0\0garbage")])));
  await corrupt(file(t, Buffer.concat([good, good.subarray(0, 100)])));
});

test("garbage behind a gzip member is found at any place in the reads", async (t) => {
  // Stored, not compressed, so that the member ends at or near the end of the first read of 256 KiB.
  for (const over of [-20, -1, 0, 1, 20]) {
    const noise = Buffer.from(
      Array.from({ length: 400 * 1024 }, (_, i) => 33 + ((Math.imul(i, 2654435761) >>> 25) % 90)),
    );
    let size = 256 * 1024 - 100;
    let member = gzipSync(noise.subarray(0, size), { level: 0 });
    size += 256 * 1024 + over - member.length;
    member = gzipSync(noise.subarray(0, size), { level: 0 });
    assert.equal(member.length, 256 * 1024 + over);
    await corrupt(file(t, Buffer.concat([member, Buffer.from("garbage")])));
    assert.equal((await readCompressed(file(t, member))).join("\n").length > 0, true);
  }
});

test("a name that promises gzip and content that is not is an error at planning", async (t) => {
  for (const content of ["plain text\n", ""]) {
    const path = file(t, content, "input.gz");
    await assert.rejects(planInput([{ input: text(), paths: [path] }], { workers: 1 }), {
      code: "INPUT_CORRUPT",
    });
    const asIs = await planInput([{ input: text({ compression: "none" }), paths: [path] }], { workers: 1 });
    assert.equal(asIs.totalBytes, content.length);
  }
});

test("a gzip bomb without a newline trips the record limit in bounded memory", async (t) => {
  const path = file(t, gzip(Buffer.alloc(64 * 1024 * 1024, "x")));
  const reader = text({ recordBytesMax: 1024 * 1024 });
  await assert.rejects(read(reader, await pieces(path, reader, 1000)), { code: "RECORD_TOO_LARGE" });
});

test("bzip2: streams joined, blocks and checksums", async (t) => {
  const hello = fixture("hello.bz2");
  const lines = fixture("lines.bz2");
  const runs = fixture("runs.bz2");
  assert.deepEqual(await readCompressed(file(t, hello)), ["hello"]);
  assert.deepEqual(await readCompressed(file(t, Buffer.concat([hello, hello]))), ["hello", "hello"]);
  assert.deepEqual(await readCompressed(file(t, Buffer.concat([hello, lines]))), ["hello", ...LINES]);
  assert.deepEqual(await readCompressed(file(t, runs)), ["a".repeat(2_000_000), "", "ab".repeat(300_000)]);
  for (const cut of [8, 20, lines.length - 3]) await corrupt(file(t, lines.subarray(0, cut)));
  await corrupt(file(t, Buffer.concat([hello, Buffer.from("garbage")])));
  for (const place of [500, lines.length - 2]) {
    const wrong = Buffer.from(lines);
    wrong[place]! ^= 4;
    await corrupt(file(t, wrong));
  }
});

test("zstd: frames joined, checksums, damage", async (t) => {
  const lines = fixture("lines.zst");
  assert.deepEqual(await readCompressed(file(t, lines)), LINES);
  assert.deepEqual(await readCompressed(file(t, Buffer.concat([lines, lines]))), [...LINES, ...LINES]);
  for (const cut of [8, 20, lines.length - 3]) await corrupt(file(t, lines.subarray(0, cut)));
  await corrupt(file(t, Buffer.concat([lines, Buffer.from("garbage garbage")])));
  for (const place of [500, lines.length - 2]) {
    const wrong = Buffer.from(lines);
    wrong[place]! ^= 4;
    await corrupt(file(t, wrong));
  }
});

for (const compression of [undefined, "gzip", "zstd"] as const) {
  test(`an output file (${compression ?? "plain"}) holds what was written`, async (t) => {
    const big = Buffer.concat(Array.from({ length: 30 }, () => CONTENT));
    const write = async (name: string, step: number): Promise<Buffer> => {
      const path = join(directory(t), name);
      const output = (await outputFiles(compression === undefined ? {} : { compression }))(path);
      for (let at = 0; at < big.length; at += step) output.write(big.subarray(at, at + step));
      const summary = await output.finish();
      const bytes = readFileSync(path);
      assert.deepEqual(summary, { bytes: bytes.length, crc32c: crc32c(bytes) });
      return bytes;
    };
    const once = await write("once", big.length);
    assert.deepEqual(await write("steps", 10_007), once);
    const path = file(t, once);
    assert.deepEqual((await readCompressed(path)).length, 30 * LINES.length);
    if (compression === "gzip") assert.deepEqual(gunzipSync(once), big);
  });
}

test("an empty output file is a valid compressed file", async (t) => {
  for (const compression of ["gzip", "zstd"] as const) {
    const path = join(directory(t), "empty");
    const output = (await outputFiles({ compression }))(path);
    await output.finish();
    assert.deepEqual(await readCompressed(path), []);
  }
});
