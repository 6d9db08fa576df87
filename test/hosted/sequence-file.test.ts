import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { unpackPart } from "#src/hosted/hadoop/sequence-file.js";
import { splitLines } from "#src/hosted/stage.js";
import { hadoopText } from "./fake-engine.ts";

const bytesClass = "org.apache.hadoop.io.BytesWritable";
const sync = Buffer.from(Array.from({ length: 16 }, (_, at) => at * 17));

function int(value: number): Buffer {
  const four = Buffer.alloc(4);
  four.writeInt32BE(value);
  return four;
}

function header(more: { readonly value?: string; readonly compressed?: number } = {}): Buffer {
  const { value = bytesClass, compressed = 0 } = more;
  const pairs = [int(1), hadoopText("name"), hadoopText("v".repeat(300))];
  const flags = Buffer.from([compressed, 0]);
  return Buffer.concat([
    Buffer.from("SEQ\x06"),
    hadoopText(bytesClass),
    hadoopText(value),
    flags,
    ...pairs,
    sync,
  ]);
}

function record(name: string, bytes: Buffer): Buffer {
  const [key, value] = [Buffer.from(name), bytes].map((one) => Buffer.concat([int(one.length), one]));
  return Buffer.concat([int(key!.length + value!.length), int(key!.length), key!, value!]);
}

function unpacked(t: TestContext, ...parts: Buffer[]): Record<string, string> {
  const root = mkdtempSync(join(tmpdir(), "sheaf-sequence-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const path = join(root, "part-00000");
  writeFileSync(path, Buffer.concat(parts));
  const made = join(root, "made");
  unpackPart(path, made);
  const names = readdirSync(made, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = names.map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(paths.map((one) => [one.slice(made.length + 1), readFileSync(one, "latin1")]));
}

test("files come out as their chunks went in, marks between them or not", (t) => {
  const large = Buffer.alloc(700_000, "xyz\n");
  const found = unpacked(
    t,
    header(),
    record("files/map-00000/a", Buffer.from("one")),
    int(-1),
    sync,
    record("files/map-00000/a", large),
    record("files/map-00000/empty", Buffer.alloc(0)),
    int(-1),
    sync,
    int(-1),
    sync,
    record("files/map-00000/ü.tsv", Buffer.from([0, 255, 13, 10])),
  );
  assert.deepEqual(found, {
    "files/map-00000/a": `one${large.toString()}`,
    "files/map-00000/empty": "",
    "files/map-00000/ü.tsv": "\0\xff\r\n",
  });
});

test("what is cut, compressed, of other classes, or leads elsewhere is refused", (t) => {
  const one = record("files/a", Buffer.from("one"));
  const cases: readonly (readonly [parts: Buffer[], why: RegExp])[] = [
    [[Buffer.from("SEQ\x05")], /does not begin/],
    [[header({ value: "org.apache.hadoop.io.Text" })], /has .*Text/],
    [[header({ compressed: 1 })], /compressed/],
    [[header().subarray(0, 40)], /it is cut/],
    [[header(), one.subarray(0, -1)], /it is cut/],
    [[header(), one.subarray(0, 3)], /it is cut/],
    [[header(), one, int(-1), sync.subarray(1)], /it is cut/],
    [[header(), int(5), int(9), Buffer.alloc(5)], /length is wrong/],
    [[header(), int(2 ** 31 - 1), int(9)], /length is wrong/],
    [[header(), record("../a", Buffer.from("x"))], /no name/],
    [[header(), record("/a", Buffer.from("x"))], /no name/],
    [[header(), record("files//a", Buffer.from("x"))], /no name/],
    [[header(), one, record("files/b", Buffer.alloc(1)), one], /more bytes of files\/a/],
  ];
  for (const [parts, message] of cases)
    assert.throws(() => unpacked(t, ...parts), { code: "BLOCK_CORRUPT", message });
});

test("lines of many map tasks are told of, equally long but for the first", () => {
  const splits = Array.from({ length: 300_000 }, (_, index) => ({ index, pieces: [], bytes: 0 }));
  const lines = splitLines(splits, "lines").trimEnd().split("\n");
  assert.equal(lines.length, 300_000);
  const lengths = new Set(lines.slice(1, -1).map((line) => line.length));
  assert.deepEqual([...lengths], [lines[0]!.length - 1]);
});
