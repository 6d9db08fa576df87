import assert from "node:assert/strict";
import { appendFileSync, truncateSync, utimesSync } from "node:fs";
import { test } from "node:test";
import { csv } from "#src/format/csv.js";
import { delimited } from "#src/format/delimited.js";
import { fixedLength } from "#src/format/fixed-length.js";
import { generate } from "#src/format/generate.js";
import { jsonArray } from "#src/format/json-array.js";
import { jsonl } from "#src/format/jsonl.js";
import { keyValue } from "#src/format/key-value.js";
import { readPiece, readSource } from "#src/format/read-split.js";
import { text } from "#src/format/text.js";
import { tsv } from "#src/format/tsv.js";
import { wholeFile } from "#src/format/whole-file.js";
import { words } from "#src/format/words.js";
import { file, pieces, read, readContent, whole } from "./support.ts";

const bytes = (...parts: (string | number)[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === "number" ? Buffer.of(part) : Buffer.from(part))));

test("text: line ends, last lines and empty files", async (t) => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ["", []],
    ["\n", [""]],
    ["a\n", ["a"]],
    ["a", ["a"]],
    ["a\r\nb\rc\r\n", ["a", "b\rc"]],
    ["a\r", ["a\r"]],
    ["\ufeff", []],
    ["\ufeff\n", [""]],
    ["\ufeffa\n\ufeffb", ["a", "\ufeffb"]],
    ["a\0b\n", ["a\0b"]],
  ];
  for (const [content, expected] of cases) {
    assert.deepEqual((await readContent(t, text(), content)).records, expected, JSON.stringify(content));
  }
});

test("invalid UTF-8: bad record, replaced, or bytes", async (t) => {
  const content = bytes("ok\n", 0xc3, 0x28, "\né\n", 0xff, "\nlast");
  const failed = await readContent(t, text(), content);
  assert.deepEqual(failed.records, ["ok", "é", "last"]);
  assert.deepEqual(failed.bad, ["3 RECORD_INVALID", "9 RECORD_INVALID"]);
  assert.deepEqual(failed.offsets, [0, 6, 11]);
  const replaced = await readContent(t, text({ invalid: "replace" }), content);
  assert.deepEqual(replaced.records, ["ok", "\ufffd(", "é", "\ufffd", "last"]);
  assert.deepEqual(replaced.offsets, [0, 3, 6, 9, 11]);
  const raw = await readContent(t, text({ invalid: "bytes" }), content);
  assert.deepEqual(raw.records[1], Uint8Array.of(0xc3, 0x28));
  const found = await readContent(t, words({ invalid: "replace" }), content);
  assert.deepEqual(found.records, ["ok", "é", "last"]);
  for (const reader of [jsonl(), tsv(), csv({ header: false })]) {
    const { bad } = await readContent(t, reader, bytes("1\n", 0xff, "\n2\n"));
    assert.deepEqual(bad, ["2 RECORD_INVALID"], reader.kind);
  }
});

test("a bad record's message names the file, the offset, the byte and the way out", async (t) => {
  const path = file(t, bytes("fine\nab", 0xe9, "cd\n"));
  const batches = await readPiece(text(), await whole(path));
  const batch = await batches.next();
  const [bad] = batch!.bad;
  assert.match(bad!.error.message, /input:5: byte 2 of the record \(0xe9\) is not valid UTF-8/);
  assert.match((bad!.error as Error & { hint: string }).hint, /invalid: "replace"/);
  assert.deepEqual(bad!.raw, new Uint8Array(bytes("ab", 0xe9, "cd")));
  await batches.close();
});

test("records of 4 MB pass; over the limit they are an error with offset, or set aside", async (t) => {
  const long = "x".repeat(4_000_000);
  assert.deepEqual((await readContent(t, text(), `a\n${long}\nb\n`)).records, ["a", long, "b"]);
  const small = text({ recordBytesMax: 10 });
  const content = `0123456789\n${"y".repeat(11)}\nb\n${long}\nc`;
  await assert.rejects(readContent(t, small, content), {
    code: "RECORD_TOO_LARGE",
    message: /:11: the record is longer than 10 B/,
  });
  for (const batchBytes of [100_000, 1_000_000]) {
    const kept = await readContent(t, small, content, { keepBad: true, batchBytes });
    assert.deepEqual(kept.records, ["0123456789", "b", "c"]);
    assert.deepEqual(kept.bad, ["11 RECORD_TOO_LARGE", "25 RECORD_TOO_LARGE"]);
  }
});

test("too large records are set aside alike for any split size", async (t) => {
  const reader = text({ recordBytesMax: 5 });
  const path = file(t, "a\nbbbbbbbbbbbb\nccccc\ndddddd\nee\nfffffffffff");
  const once = await read(reader, [await whole(path)], { keepBad: true });
  assert.deepEqual(once.records, ["a", "ccccc", "ee"]);
  for (const size of [1, 2, 3, 7, 20]) {
    assert.deepEqual(
      await read(reader, await pieces(path, reader, size), { keepBad: true, batchBytes: 3 }),
      once,
    );
  }
});

test("an input that changes is INPUT_CHANGED, never a short read", async (t) => {
  const content = "line\n".repeat(100_000);
  const changes: readonly ((path: string) => void)[] = [
    (path) => truncateSync(path, 300_000),
    (path) => appendFileSync(path, "more\n"),
    (path) => utimesSync(path, 1, 1),
  ];
  for (const change of changes) {
    const planned = await whole(file(t, content));
    change(planned.path);
    await assert.rejects(read(text(), [planned]), { code: "INPUT_CHANGED" });
    const running = await whole(file(t, content));
    const batches = await readPiece(text(), running, { batchBytes: 1000 });
    await batches.next();
    change(running.path);
    const drain = async (): Promise<void> => {
      while ((await batches.next()) !== null);
    };
    await assert.rejects(drain(), { code: "INPUT_CHANGED" });
  }
});

test("csv: quotes, types, headers", async (t) => {
  const content = 'city,age,note\r\n"Köln, am Rhein",007,"she said ""hi""\nand left"\r\nBonn,,\r\n\r\n';
  const plain = await readContent(t, csv(), content);
  assert.deepEqual(plain.records, [
    { city: "Köln, am Rhein", age: "007", note: 'she said "hi"\nand left' },
    { city: "Bonn", age: "", note: "" },
  ]);
  assert.deepEqual(plain.offsets, [15, 65]);
  const typed = await readContent(t, csv({ columns: { age: "integer?", city: "string" } }), content);
  assert.deepEqual(typed.records, [
    { age: 7, city: "Köln, am Rhein" },
    { age: null, city: "Bonn" },
  ]);
  const strict = await readContent(t, csv({ columns: { age: "number" } }), content);
  assert.deepEqual(strict.bad, ["65 RECORD_INVALID"]);
  const rows = await readContent(t, csv({ header: false, delimiter: ";" }), "a;b\n;\n");
  assert.deepEqual(rows.records, [
    ["a", "b"],
    ["", ""],
  ]);
  const renamed = await readContent(t, csv({ header: ["x"] }), "a\n1\n\n");
  assert.deepEqual(renamed.records, [{ x: "1" }, { x: "" }]);
});

test("csv without quoting takes quotes as they are, and every line for a row", async (t) => {
  const reader = csv({ header: false, quote: null });
  const { records, bad } = await readContent(t, reader, 'a"b,"c\n""\r\n"\nö,"\n');
  assert.deepEqual(records, [['a"b', '"c'], ['""'], ['"'], ["ö", '"']]);
  assert.deepEqual(bad, []);
  assert.equal(reader.framing.kind, "delimiter");
  const named = csv({ quote: null, columns: { k: "string", n: "number" } });
  assert.deepEqual((await readContent(t, named, 'k,n\n"x",1\n')).records, [{ k: '"x"', n: 1 }]);
});

test("csv: what is no csv is a bad record, a wrong header an error with a suggestion", async (t) => {
  const wrong = await readContent(t, csv(), 'a,b\n1\n1,2,3\nx"y",2\n"x"y,2\n3,4\n');
  assert.deepEqual(wrong.bad, [
    "4 RECORD_INVALID",
    "6 RECORD_INVALID",
    "12 RECORD_INVALID",
    "19 RECORD_INVALID",
  ]);
  assert.deepEqual(wrong.records, [{ a: "3", b: "4" }]);
  const reader = csv({ columns: { citty: "string" } });
  await assert.rejects(readContent(t, reader, "city,age\n"), {
    code: "RECORD_INVALID",
    hint: 'Did you mean "city"?',
  });
  await assert.rejects(readContent(t, csv(), "a,a\n1,2\n"), { code: "RECORD_INVALID" });
  assert.throws(() => csv({ columns: { a: "int" as "integer" } }), { code: "JOB_INVALID" });
});

test("a column may be called __proto__", async (t) => {
  const { records } = await readContent(t, csv(), "__proto__,b\n1,2\n");
  assert.deepEqual(Object.entries(records[0]!), [
    ["__proto__", "1"],
    ["b", "2"],
  ]);
});

test("tsv, keyValue, jsonl", async (t) => {
  assert.deepEqual((await readContent(t, tsv(), "a\\tb\tc\\\\n\n\nd\t\n")).records, [
    ["a\tb", "c\\n"],
    ["d", ""],
  ]);
  const typed = tsv({ columns: { k: "string", n: "number" } });
  assert.deepEqual((await readContent(t, typed, "a\t1.5\nb\tx\n")).records, [{ k: "a", n: 1.5 }]);
  assert.deepEqual((await readContent(t, keyValue(), "a\tb\tc\nd\n")).records, [
    ["a", "b\tc"],
    ["d", ""],
  ]);
  assert.deepEqual((await readContent(t, keyValue({ separator: ": " }), "a: b\n")).records, [["a", "b"]]);
  const json = await readContent(t, jsonl<{ a: number }>(), '{"a":1}\n\n{"a":\n2\n');
  assert.deepEqual(json.records, [{ a: 1 }, 2]);
  assert.deepEqual(json.bad, ["9 RECORD_INVALID"]);
});

test("jsonArray: elements one by one, however the file is cut", async (t) => {
  const values = [1, 'a]"\\,é', { b: [1, [2], {}], c: "}" }, [], null, true, { d: "x".repeat(100) }];
  const content = `\ufeff ${JSON.stringify(values, null, 1)} \n`;
  for (const batchBytes of [1, 2, 7, 64, 10_000]) {
    const found = await readContent(t, jsonArray(), content, { batchBytes });
    assert.deepEqual(found.records, values);
    assert.deepEqual(found.offsets[0], Buffer.from(content).indexOf("1"));
  }
  assert.deepEqual((await readContent(t, jsonArray(), "[]")).records, []);
  for (const wrong of ["[1,2", "{}", "[1,]", "[1] 2", "[,1]", '["a']) {
    await assert.rejects(readContent(t, jsonArray(), wrong), { code: "RECORD_INVALID" }, wrong);
  }
  assert.deepEqual((await readContent(t, jsonArray(), "[1,x,3]")).bad, ["3 RECORD_INVALID"]);
  const small = jsonArray({ recordBytesMax: 10 });
  await assert.rejects(readContent(t, small, `["${"x".repeat(20)}"]`), { code: "RECORD_TOO_LARGE" });
});

test("wholeFile, fixedLength, delimited", async (t) => {
  const content = "\ufeffa\nb".repeat(50);
  for (const batchBytes of [7, 400, 1000]) {
    assert.deepEqual((await readContent(t, wholeFile(), content, { batchBytes })).records, [
      content.slice(1),
    ]);
  }
  assert.deepEqual((await readContent(t, wholeFile(), "")).records, []);
  assert.deepEqual((await readContent(t, wholeFile({ invalid: "bytes" }), bytes(0xff))).records, [
    Uint8Array.of(0xff),
  ]);
  await assert.rejects(readContent(t, wholeFile({ recordBytesMax: 3 }), "four"), {
    code: "RECORD_TOO_LARGE",
  });
  assert.deepEqual((await readContent(t, fixedLength(2, { invalid: "fail" }), "abcd")).records, ["ab", "cd"]);
  await assert.rejects(readContent(t, fixedLength(3), "abcd"), { code: "RECORD_INVALID" });
  assert.deepEqual((await readContent(t, delimited("\0"), "a\0\0b")).records, ["a", "", "b"]);
  assert.throws(() => delimited(""), { code: "JOB_INVALID" });
  assert.throws(() => fixedLength(0), { code: "JOB_INVALID" });
});

test("records stay what they are when the next batch is read", async (t) => {
  const path = file(t, Array.from({ length: 500 }, (_, i) => `record ${i}\n`).join(""));
  for (const reader of [text({ invalid: "bytes" }), delimited("\n", { invalid: "bytes" })]) {
    const { records } = await read(reader, [await whole(path)], { batchBytes: 100 });
    assert.deepEqual(
      records.map((record) => Buffer.from(record).toString()),
      Array.from({ length: 500 }, (_, i) => `record ${i}`),
    );
  }
});

test("generate: synchronous and asynchronous records, in batches, with their indices", async () => {
  const context = { index: 1, tasks: 2, random: () => 0, params: {}, signal: new AbortController().signal };
  const sync = generate({
    tasks: 2,
    *records({ index }) {
      for (let i = 0; i < 3000; i++) yield i + index;
    },
  });
  const later = generate({
    async *records() {
      yield* ["a", "b"];
    },
  });
  const batches = readSource(sync, context);
  let sum = 0;
  let count = 0;
  for (let batch = await batches.next(); batch !== null; batch = await batches.next()) {
    assert.equal(batch.offsets[0], count);
    count += batch.records.length;
    for (const record of batch.records) sum += record;
  }
  assert.deepEqual([count, sum], [3000, (3000 * 3001) / 2]);
  assert.deepEqual((await readSource(later, context).next())?.records, ["a", "b"]);
  assert.throws(() => generate({ tasks: 0, records: () => [] }), { code: "JOB_INVALID" });
});
