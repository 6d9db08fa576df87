import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import { csv } from "#src/format/csv.js";
import { jsonArray } from "#src/format/json-array.js";
import { jsonl } from "#src/format/jsonl.js";
import { text } from "#src/format/text.js";
import { tsv } from "#src/format/tsv.js";
import { words } from "#src/format/words.js";
import type { Reader } from "#src/job/reader.js";
import { planInput } from "#src/plan/plan-input.js";
import { badOf, directory, read } from "./support.ts";

/** Plans and reads a file with this content. */
async function planned<R>(t: TestContext, reader: Reader<R>, content: string | Uint8Array, splitBytes = 1e6) {
  const path = join(directory(t), "in.txt");
  writeFileSync(path, content);
  const plan = await planInput([{ input: reader, paths: [path] }], { workers: 1, splitBytes });
  const pieces = plan.splits.flatMap((split) => split.pieces).filter((piece) => piece.kind === "file");
  return read(reader, pieces, { batchBytes: 50 });
}

const utf16 = (value: string, big = false): Buffer => {
  const bytes = Buffer.from(value, "utf16le");
  return big ? bytes.swap16() : bytes;
};

test("lines that \\r alone ends are read where the reader is told, else refused with what was seen", async (t) => {
  const content = "k\tv\r1\tx\r2\ty\r";
  for (const reader of [text(), csv(), tsv({ header: true }), jsonl()]) {
    for (const bytes of [content, gzipSync(content)]) {
      await assert.rejects(planned(t, reader, bytes), (error: Error & { hint: string }) => {
        assert.match(error.message, /"\\r" alone ends its lines: there are 3 of them and no "\\n"/);
        assert.match(error.hint, /lineEnd: "\\r"/);
        return true;
      });
    }
  }
  const far = `${"x".repeat(5000)}\r${"y".repeat(5000)}`;
  await assert.rejects(planned(t, text(), far), { code: "INPUT_UNREADABLE" });
  await assert.rejects(planned(t, text(), gzipSync(far)), { code: "INPUT_UNREADABLE" });
  for (const size of [1, 3, 7, 1e6]) {
    const rows = await planned(t, tsv({ header: true, lineEnd: "\r" }), content, size);
    assert.deepEqual(rows.records, [
      { k: "1", v: "x" },
      { k: "2", v: "y" },
    ]);
    assert.deepEqual((await planned(t, text({ lineEnd: "\r" }), "é\r\ra\nb", size)).records, [
      "é",
      "",
      "a\nb",
    ]);
    const quoted = csv({ lineEnd: "\r", columns: { a: "string", b: "string" } });
    const { records } = await planned(t, quoted, 'a,b\r"x\ry",é\r1,2', size);
    assert.deepEqual(records, [
      { a: "x\ry", b: "é" },
      { a: "1", b: "2" },
    ]);
  }
  assert.deepEqual((await planned(t, text({ lineEnd: "\n" }), "a\rb\r")).records, ["a\rb\r"]);
  // Of a last line the "\n" may be missing; words do not care; a mix is lines by "\n".
  assert.deepEqual((await planned(t, text(), "a\r")).records, ["a\r"]);
  assert.deepEqual((await planned(t, words(), "a\rb\rc")).records, ["a", "b", "c"]);
  assert.deepEqual((await planned(t, text(), "a\rb\nc\r\nd")).records, ["a\rb", "c", "d"]);
  await assert.rejects(planned(t, csv(), "id,v\r1,x\r2,y\n3,z\n"), {
    code: "RECORD_INVALID",
    message: /the header has "\\r" inside/,
  });
  assert.throws(() => text({ lineEnd: "\r\n" as "\n" }), { code: "JOB_INVALID" });
});

test("UTF-16 and UTF-32 are named, with the option or the command that reads them", async (t) => {
  const content = "id,name\n1,Zoë\n2,日本\n";
  const cases: readonly (readonly [Buffer, RegExp, RegExp])[] = [
    [utf16(`\ufeff${content}`), /UTF-16 \(little-endian\)/, /encoding: "utf-16le"/],
    [utf16(`\ufeff${content}`, true), /UTF-16 \(big-endian\)/, /encoding: "utf-16be"/],
    [utf16(content), /UTF-16 \(little-endian, by its zeros\)/, /encoding: "utf-16le"/],
    [utf16(content, true), /UTF-16 \(big-endian, by its zeros\)/, /encoding: "utf-16be"/],
    [Buffer.from("\xff\xfe\0\0a\0\0\0", "latin1"), /UTF-32 \(little-endian\)/, /iconv -f UTF-32LE/],
  ];
  for (const [bytes, message, hint] of cases) {
    for (const stored of [bytes, gzipSync(bytes)]) {
      for (const reader of [csv(), text({ invalid: "replace" })] as Reader<unknown>[]) {
        await assert.rejects(planned(t, reader, stored), { code: "INPUT_UNREADABLE", message, hint });
      }
    }
  }
  assert.equal((await planned(t, text({ invalid: "bytes" }), cases[0]![0])).records.length, 4);
  assert.deepEqual((await planned(t, text(), "a\0b\0\0\n")).records, ["a\0b\0\0"]);
});

test("other encodings are read as text, by one task a file", async (t) => {
  const content = "id,name\n1,Zoë 😀\n2,日本\n";
  const rows = [
    { id: "1", name: "Zoë 😀" },
    { id: "2", name: "日本" },
  ];
  for (const [encoding, bytes] of [
    ["utf-16le", utf16(content)],
    ["utf-16le", utf16(`\ufeff${content}`)],
    ["utf-16be", utf16(`\ufeff${content}`, true)],
  ] as const) {
    for (const stored of [bytes, gzipSync(bytes)]) {
      assert.deepEqual((await planned(t, csv({ encoding }), stored, 5)).records, rows);
    }
  }
  // Longer than a read, with code points over its ends.
  const long = Array.from({ length: 9000 }, (_, i) => `${"x".repeat(i % 13)}😀é`);
  const read = await planned(t, text({ encoding: "utf-16be" }), utf16(`${long.join("\r\n")}\r\n`, true));
  assert.deepEqual(read.records, long);
  const narrow = Buffer.from("caf\xe9 \x80 \x92\n", "latin1");
  assert.deepEqual((await planned(t, text({ encoding: "windows-1252" }), narrow)).records, ["café € ’"]);
  assert.deepEqual((await planned(t, text({ encoding: "latin1" }), narrow)).records, ["café \x80 \x92"]);
  const array = jsonArray({ encoding: "utf-16le" });
  assert.deepEqual((await planned(t, array, utf16('\ufeff["é"]'))).records, ["é"]);
  const half = Buffer.concat([utf16("a\n"), Buffer.of(0x00, 0xd8), utf16("b\n")]);
  await assert.rejects(planned(t, text({ encoding: "utf-16le" }), half), { code: "RECORD_INVALID" });
  const replaced = await planned(t, text({ encoding: "utf-16le", invalid: "replace" }), half);
  assert.deepEqual(replaced.records, ["a", "\ufffdb"]);
  await assert.rejects(planned(t, text({ encoding: "latin1" }), "\ufeffa\n"), { message: /mark of UTF-8/ });
  assert.throws(() => text({ encoding: "ebcdic" as "latin1" }), { code: "JOB_INVALID" });
  assert.throws(() => text({ encoding: "latin1", invalid: "bytes" }), { code: "JOB_INVALID" });
});

test("marks, headers alone, blank lines, control characters", async (t) => {
  assert.deepEqual((await planned(t, csv(), "\ufeffid\n1\n")).records, [{ id: "1" }]);
  assert.deepEqual((await planned(t, csv(), '\ufeff"i\nd",b\n1,2\n', 1)).records, [{ "i\nd": "1", b: "2" }]);
  await assert.rejects(planned(t, csv(), "\nid,name\n1,x\n"), { message: /the first line names no column/ });
  for (const reader of [csv({ delimiter: ";" }), csv(), csv({ header: ["a", "b"] })])
    await assert.rejects(planned(t, reader, "sep=;\r\na;b\r\n1;2\r\n"), {
      message: /"sep=;", a setting of Excel's/,
    });
  assert.deepEqual((await planned(t, jsonl(), "\n  \n1\n\r\n")).records, [1]);
  assert.deepEqual((await planned(t, csv({ header: false }), "a,b\r\n\r\nc,d\r\n")).records, [
    ["a", "b"],
    ["c", "d"],
  ]);
  assert.equal((await planned(t, csv(), "a,b\n1,2\n\x1a")).bad.length, 1);
  assert.deepEqual((await planned(t, csv(), "a,b\n\0,2\n")).records, [{ a: "\0", b: "2" }]);
});

test('a header whose line \\r\\r\\n ends is refused: its last column would be called "name\\r"', async (t) => {
  for (const [reader, header] of [
    [csv(), "id,name"],
    [csv({ header: ["id", "name"] }), "id,name"],
    [csv({ quotes: "lenient" }), '5" nails,name'],
    [tsv({ header: true }), "id\tname"],
  ] as const) {
    await assert.rejects(planned<unknown>(t, reader, `${header}\r\r\n1,x\r\r\n`), {
      code: "RECORD_INVALID",
      message: /the header has "\\r" at its end/,
      hint: /tr -d '\\r'/,
    });
  }
});

test("a header that is not UTF-8 is refused, or read as the reader is told", async (t) => {
  const bytes = (content: string): Buffer => Buffer.from(content, "latin1");
  for (const [reader, content] of [
    [csv(), "id,a\xf1o\n1,2\n"],
    [csv({ columns: { id: "string" } }), "id,a\xf1o\n1,2\n"],
    [tsv({ header: true }), "id\ta\xf1o\n1\t2\n"],
    [tsv({ header: ["id", "year"] }), "id\ta\xf1o\n1\t2\n"],
  ] as const) {
    await assert.rejects(planned<unknown>(t, reader, bytes(content)), {
      code: "RECORD_INVALID",
      message: /byte 4 of the record \(0xf1\) is not valid UTF-8/,
    });
  }
  for (const [reader, content, name] of [
    [csv({ invalid: "replace" }), "id,a\xf1o\n1,2\n", "a\ufffdo"],
    [tsv({ header: true, invalid: "replace" }), "id\ta\xf1o\n1\t2\n", "a\ufffdo"],
    [tsv({ header: true, encoding: "latin1" }), "id\ta\xf1o\n1\t2\n", "año"],
  ] as const) {
    assert.deepEqual((await planned<unknown>(t, reader, bytes(content))).records, [{ id: "1", [name]: "2" }]);
  }
});

test("a column that is missing: the hint says what is near, or which reader the file is for", async (t) => {
  const cases: readonly (readonly [Reader<unknown>, string, RegExp])[] = [
    [csv({ columns: { b: "string" } }), "a, b\n1,2\n", /with blanks around it, as " b"/],
    [csv({ columns: { b: "string" } }), "a,B\n1,2\n", /in other letters, as "B"/],
    [csv({ columns: { id: "string" } }), "at,xy\n1,2\n", /Check the names/],
    [csv({ columns: { price: "number" } }), "id,prise\n1,2\n", /Did you mean "prise"/],
    [csv({ columns: { id: "string" } }), "id;name\n1;x\n", /csv\(\{ delimiter: ";" \}\)/],
    [csv(), "id;name\n1;x\n", /csv\(\{ delimiter: ";" \}\)/],
    [csv(), "id\tname\n1\tx\n", /tsv\(\{ header: true \}\)/],
    [tsv({ header: true, columns: { id: "string" } }), "id,name\n1,x\n", /csv\(\)/],
  ];
  for (const [reader, content, hint] of cases) {
    await assert.rejects(planned(t, reader, content), { code: "RECORD_INVALID", hint }, content);
  }
  assert.deepEqual((await planned(t, csv({ header: ["a;b"] }), "a;b\n1;2\n")).records, [{ "a;b": "1;2" }]);
});

test("JSON for the other reader says so", async (t) => {
  for (const content of ['[\n{"a":1}\n]\n', '[{"a":1},\n{"a":2}]\n']) {
    const [first] = await badOf(t, jsonl(), content);
    assert.match(first!, /JSON array over several lines: jsonArray\(\)/);
  }
  assert.match((await badOf(t, jsonl(), '{\n"a":1\n}\n'))[0]!, /JSON value over several lines/);
  await assert.rejects(planned(t, jsonArray(), '{"a":1}\n{"a":2}\n'), { hint: /use jsonl\(\)/ });
  await assert.rejects(planned(t, jsonArray(), "[1]\n[2]\n"), { hint: /use jsonl\(\)/ });
});
