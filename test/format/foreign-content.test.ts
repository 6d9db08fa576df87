import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { csv } from "#src/format/csv.js";
import { fixedLength } from "#src/format/fixed-length.js";
import { checkText } from "#src/format/foreign-content.js";
import { jsonl } from "#src/format/jsonl.js";
import { text } from "#src/format/text.js";
import { wholeFile } from "#src/format/whole-file.js";
import { planInput } from "#src/plan/plan-input.js";
import { directory, file, pieces, read } from "./support.ts";

const latin = (content: string): Buffer => Buffer.from(content, "latin1");

/** [what it is named, content, a part of the hint]; contents are as the tools named write them. */
const FOREIGN: readonly (readonly [name: string, content: Buffer, hint: string])[] = [
  ["xz data", latin("\xfd7zXZ\0\0\x04\xe6\xd6\xb4F"), "xz -d < "],
  ["lzma data", latin("\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0\x36"), "--format=lzma < "],
  ["lz4 data", latin("\x04\x22\x4d\x18\x64\x40\xa7"), "lz4 -d < "],
  ["snappy data", latin("\xff\x06\0\0sNaPpY\x01\x05\0\0"), "snappy -d < "],
  ["compress data (.Z)", latin("\x1f\x9d\x90a\x14"), "gzip -d < "],
  ["zstd data of a version before 0.8", latin("\x27\xb5\x2f\xfd\0"), "Turn it into text"],
  ["a zip archive", latin("PK\x03\x04\x14\0\0\0\x08\0"), "unzip -p "],
  ["a 7z archive", latin("7z\xbc\xaf\x27\x1c\0\x04"), "7z x -so "],
  ["a rar archive", latin("Rar!\x1a\x07\x01\0"), "unrar p"],
  ["a parquet file", latin("PAR1\x15\x04\x15\x10rest of it\x2a\0\0\0PAR1"), "duckdb"],
  ["an ORC file", latin("ORC\x0a\x03\0\0data\x82\xf4\x03\x03ORC\x17"), "orc-contents"],
  ["an avro file", latin("Obj\x01\x04\x14avro.codec"), "avro cat"],
  ["a Hadoop sequence file", latin("SEQ\x06\x19org.apache"), "hadoop fs -text"],
  ["an SQLite database", latin("SQLite format 3\0\x10\0\x01\x01"), "sqlite3"],
  ["a PDF document", latin("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"), "pdftotext"],
  ["a Git LFS pointer", latin("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "git lfs pull"],
];

test("content that is no text is named before any task begins, with what to do", async (t) => {
  for (const [name, content, hint] of FOREIGN) {
    for (const reader of [text(), text({ invalid: "replace" }), csv(), jsonl()]) {
      const path = file(t, content);
      await assert.rejects(
        planInput([{ input: reader, paths: [path] }], { workers: 1 }),
        (error: Error & { code?: string; hint?: string }) => {
          assert.equal(error.code, "INPUT_UNREADABLE");
          assert.ok(error.message.startsWith(`${path} is ${name}`), error.message);
          assert.ok(error.hint?.includes(hint), `${name}: ${error.hint}`);
          return true;
        },
      );
    }
  }
});

test("readers of bytes read it all the same", async (t) => {
  for (const [name, content] of FOREIGN) {
    const path = file(t, content);
    for (const reader of [wholeFile({ invalid: "bytes" }), text({ invalid: "bytes" }), fixedLength(1)]) {
      const { records } = await read(reader, await pieces(path, reader, 1_000_000));
      const bytes = records.reduce((sum, record) => sum + record.length, 0);
      assert.ok(bytes > content.length / 2, name);
    }
  }
});

test("text that begins like one of them is text", async (t) => {
  const alike = [
    "PAR1,PAR2\n1,2\n",
    "ORCHID,1\nORC",
    "ORC\n",
    "PKzip\n",
    "%PDF-like\n",
    "Rar!\n",
    "SEQUENCE\n",
    "LZIP\n",
    "]\n",
    "BZh91\n",
    "version https://example.org\n",
    "7z\n",
    `${"a".repeat(256)}ustar  \0${"a".repeat(300)}\n`,
    "",
  ];
  for (const content of alike) {
    const plan = await planInput([{ input: text(), paths: [file(t, content)] }], { workers: 1 });
    assert.equal(plan.totalBytes, content.length);
  }
});

test("a tar archive, plain and inside gzip, and what was compressed twice", async (t) => {
  const here = directory(t);
  writeFileSync(join(here, "rows.csv"), "a,b\n1,2\n");
  // In four formats; not the ones of files with long names, which begin with headers of their own.
  for (const format of ["ustar", "gnu", "v7", "pax"]) {
    const name = `${format}.tar`;
    execFileSync("tar", [`--format=${format}`, "-cf", name, "rows.csv"], { cwd: here });
    const tar = readFileSync(join(here, name));
    await assert.rejects(
      planInput([{ input: text(), paths: [join(here, name)] }], { workers: 1 }),
      /is a tar archive, which/,
    );
    const packed = file(t, gzipSync(tar), "packed.tgz");
    await assert.rejects(
      async () => read(text(), await pieces(packed, text(), 1000)),
      /is a tar archive inside gzip, which/,
    );
  }
  const twice = file(t, gzipSync(gzipSync("text\n")), "twice.gz");
  await assert.rejects(async () => read(text(), await pieces(twice, text(), 1000)), {
    code: "INPUT_UNREADABLE",
    hint: `Turn it into text first: gzip -dc ${twice} | gzip -dc | sheaf run job.ts -`,
  });
  const bytes = wholeFile({ invalid: "bytes" });
  assert.deepEqual((await read(bytes, await pieces(twice, bytes, 1000))).records, [
    new Uint8Array(gzipSync("text\n")),
  ]);
});

test("brotli has no magic number: its name and bytes that are no text tell it", () => {
  assert.throws(
    () => checkText("a.br", { head: latin("\x0b\x02\x80text\n\x03") }),
    /brotli data, by its name/,
  );
  checkText("a.br", { head: latin("letters\n") });
  checkText("a.txt", { head: latin("\x0b\x02\x80text\n\x03") });
});

test("a web page that a server sends in place of a file is told by the file's name", () => {
  const pages = ["<!DOCTYPE html>\n<html>", "\xef\xbb\xbf\n  <!doctype HTML PUBLIC", '<html lang="en">'];
  const named = ["a.csv", "b/c.JSONL", "s3://b/c.tsv", "https://h/a.txt?raw=1", "http://h/l/a.log#x"];
  for (const page of pages) {
    const sample = { head: latin(page) };
    for (const path of named) assert.throws(() => checkText(path, sample), /is a web page/, path);
    for (const path of ["a.html", "crawl/page", "a.txt", "https://h/a", "https://h/a.csv/index.html"])
      checkText(path, sample);
  }
  for (const text of ["html,x\n", "<htmlx>", "<xml>", "a,<html>\n"])
    for (const path of named) checkText(path, { head: latin(text) });
});

test("a name that needs quotes is quoted in the command", () => {
  const head = latin("\xfd7zXZ\0\0");
  assert.throws(() => checkText("it's a.xz", { head }), { hint: /xz -d < 'it'\\''s a\.xz' \|/ });
});
