import assert from "node:assert/strict";
import { createCipheriv, createHash } from "node:crypto";
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { seededRandom } from "#src/base/random.js";
import { contentDigests } from "#src/storage/content-digest.js";
import { digestsByThreads } from "#src/storage/digest-threads.js";
import type { PlannedFile } from "#src/storage/read-range.js";
import { tempDir } from "../cli/support.ts";

const CHUNK = 4 * 1024 * 1024;

/** As docs/formats.md has it. */
function naive(bytes: Buffer, end: number, key: Buffer): string {
  const hash = createHash("sha256");
  for (let at = 0; at < end; at += CHUNK) {
    const cipher = createCipheriv("chacha20-poly1305", key, Buffer.alloc(12), { authTagLength: 16 });
    cipher.setAAD(bytes.subarray(at, Math.min(end, at + CHUNK)), { plaintextLength: 0 });
    cipher.final();
    hash.update(cipher.getAuthTag());
  }
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(end));
  return hash.update(length).digest("hex").slice(0, 32);
}

test("digests of files and of their beginnings are the same by one thread and several", async (t) => {
  const directory = tempDir(t);
  const random = seededRandom("digest");
  const key = Buffer.from("0123456789abcdef0123456789abcdef");
  const sizes = [1, 5, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 17 * CHUNK + 3];
  const requests = sizes.map((size, index) => {
    const bytes = Buffer.alloc(size, `${index} some text `);
    for (let i = 0; i < 50; i++) bytes[Math.floor(random.next() * size)] = Math.floor(random.next() * 256);
    const path = join(directory, `${index}`);
    writeFileSync(path, bytes);
    const file: PlannedFile = { path, name: path, fileBytes: size, mtimeMs: statSync(path).mtimeMs };
    const cuts = [1, CHUNK - 1, CHUNK, CHUNK + 1, 16 * CHUNK, 16 * CHUNK + 1].filter((cut) => cut < size);
    const ends = [...cuts, size];
    return { file, ends, expected: ends.map((end) => naive(bytes, end, key)) };
  });
  const expected = requests.map((one) => one.expected);
  assert.deepEqual(await digestsByThreads(requests, key, 3), expected);
  for (const { file, ends, expected: digests } of requests) {
    assert.deepEqual(await contentDigests(file, ends, key), digests);
    for (const [i, end] of ends.entries())
      assert.deepEqual(await contentDigests(file, [end], key), [digests[i]]);
  }
  const other = Buffer.from("f123456789abcdef0123456789abcdef");
  assert.notDeepEqual(await contentDigests(requests[0]!.file, [1], other), [requests[0]!.expected[0]]);
  // One that is gone fails as it does on this thread.
  const gone = { ...requests[0]!.file, path: join(directory, "gone") };
  await assert.rejects(digestsByThreads([{ file: gone, ends: [1] }], key, 2), { code: "INPUT_CHANGED" });
});
