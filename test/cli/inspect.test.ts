import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { encodeKey } from "#src/codec/key-codec.js";
import { BLOCK_HEADER_BYTES, FILE_HEADER_BYTES } from "#src/shuffle/run-format.js";
import { RunWriter } from "#src/shuffle/run-writer.js";
import { sheafHere, tempDir } from "./support.js";

/** A run file with two partitions; the second has two blocks. */
function runFile(path: string): void {
  const record = (key: string): Buffer => {
    const bytes = Buffer.alloc(64);
    const end = encodeKey(bytes, 2, key);
    bytes[0] = end - 2;
    bytes[1] = 1;
    bytes[end] = 7;
    return bytes.subarray(0, end + 1);
  };
  const writer = new RunWriter(path, { jobId: "a job", task: 3, attempt: 2 });
  writer.begin(0, 0, 0);
  writer.block(Buffer.concat([record("ant"), record("bee")]), 2);
  writer.begin(0, 1, 0);
  writer.block(record("cat"), 1);
  writer.block(record("dog"), 1);
  writer.finish();
}

test("a run file: header, segments, blocks, records", async (t) => {
  const cwd = tempDir(t);
  runFile(join(cwd, "map.run"));
  const { code, stdout, stderr } = await sheafHere(["inspect", "map.run", "-n", "3"], { cwd });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /run file version 2 .* task 3 {2}attempt 2/);
  assert.match(stdout, /"ant" {2}07\n"bee" {2}07\n"cat" {2}07\ntruncated: 3 records of 4\n$/);
  const json = await sheafHere(["inspect", "map.run", "--json"], { cwd });
  const view = JSON.parse(json.stdout) as {
    segments: { blocks: { damage: string | null }[] }[];
    truncated: boolean;
  };
  assert.deepEqual(
    view.segments.map((segment) => segment.blocks.map((block) => block.damage)),
    [[null], [null, null]],
  );
  assert.equal(view.truncated, false);
});

test("a damaged block is named and the command fails", async (t) => {
  const cwd = tempDir(t);
  const path = join(cwd, "map.run");
  runFile(path);
  const bytes = readFileSync(path);
  bytes[FILE_HEADER_BYTES + BLOCK_HEADER_BYTES + 3]! ^= 1;
  writeFileSync(path, bytes);
  const { code, stdout } = await sheafHere(["inspect", "map.run"], { cwd });
  assert.equal(code, 1);
  assert.match(stdout, new RegExp(`^ +${FILE_HEADER_BYTES} .* checksum [0-9a-f]{8}, header says`, "m"));
  writeFileSync(path, bytes.subarray(0, bytes.length - 1));
  const cut = await sheafHere(["inspect", "map.run"], { cwd });
  assert.equal(cut.code, 1);
  assert.match(cut.stderr, /has no end: it was not finished or is cut \[BLOCK_CORRUPT\]/);
});

test("what is nothing of sheaf's is refused", async (t) => {
  const cwd = tempDir(t);
  writeFileSync(join(cwd, "plain.txt"), "text");
  const file = await sheafHere(["inspect", "plain.txt"], { cwd });
  assert.equal(file.code, 1);
  assert.match(file.stderr, /not a run file \[NOT_FOUND\]/);
  const directory = await sheafHere(["inspect", "."], { cwd });
  assert.match(directory.stderr, /neither an output directory nor a job directory/);
  const nothing = await sheafHere(["inspect", "nothing"], { cwd });
  assert.match(nothing.stderr, /there is no such file or directory/);
});
