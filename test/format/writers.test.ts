import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { BufferSink } from "#src/format/byte-sink.js";
import { csv } from "#src/format/csv.js";
import { jsonl } from "#src/format/jsonl.js";
import { none } from "#src/format/none.js";
import { raw } from "#src/format/raw.js";
import { text } from "#src/format/text.js";
import { tsv } from "#src/format/tsv.js";
import { encode, readContent } from "./support.ts";

test("tsv: keys and values spread over columns", () => {
  const cases: readonly (readonly [Parameters<typeof encode>[1][number], string])[] = [
    [["a", 1], "a\t1"],
    [["a", undefined], "a"],
    [["a", null], "a\t"],
    [["a", ""], "a\t"],
    [["a", []], "a"],
    [[["a", 2, true], { x: 1.5, y: "z" }], "a\t2\ttrue\t1.5\tz"],
    [[null, [null, 7n, new Date(0)]], "\t\t7\t1970-01-01T00:00:00.000Z"],
    [["t\tn\nr\rb\\", Uint8Array.of(1, 2, 255)], "t\\tn\\nr\\rb\\\\\tAQL/"],
    [["k", [{ a: [1n, "\n"] }, -0, 1e21]], 'k\t{"a":[1,"\\\\n"]}\t0\t1e+21'],
    [["k", [new Set([1]), new Map([["a", 1]])]], 'k\t[1]\t[["a",1]]'],
  ];
  for (const [result, line] of cases) assert.equal(encode(tsv().encoder(), [result]), `${line}\n`);
});

test("what a text format cannot hold is VALUE_INVALID, and leaves no half line", () => {
  const cycle: { self?: unknown } = {};
  cycle.self = cycle;
  for (const value of [
    Number.NaN,
    Number.POSITIVE_INFINITY,
    () => 1,
    Symbol("s"),
    new Date(Number.NaN),
    cycle,
    [[Number.NaN]],
  ]) {
    for (const format of [tsv(), csv(), jsonl(), text()]) {
      const parts: string[] = [];
      const put = (part: unknown): void => void parts.push(String(part));
      assert.throws(() => format.encoder().write("key", value, { text: put, bytes: put, byte: put }), {
        code: "VALUE_INVALID",
      });
      assert.deepEqual(parts, []);
    }
  }
});

test("half of a surrogate pair, which would come out as U+FFFD, leaves no half line; jsonl() escapes it", () => {
  for (const format of [tsv(), tsv({ escape: false }), csv(), text(), text({ escape: true }), raw()]) {
    for (const value of ["\ud83d", "😀".slice(1), `${"x".repeat(100)}\udc00é`]) {
      const parts: string[] = [];
      const put = (part: unknown): void => void parts.push(String(part));
      const sink = { text: put, bytes: put, byte: put };
      assert.throws(() => format.encoder().write("key", value, sink), {
        code: "VALUE_INVALID",
        message: /half of a surrogate pair/,
      });
      assert.deepEqual(parts, [], format.kind);
    }
    assert.match(encode(format.encoder(), [["key", "😀"]]), /😀/);
  }
  for (const format of [csv(), tsv({ header: true })]) {
    for (const value of [["a", "\ud83d"], { "\ud83d": 1 }])
      assert.throws(() => encode(format.encoder(), [["key", value]]), { code: "VALUE_INVALID" });
  }
  assert.equal(encode(jsonl().encoder(), [["k", "\ud83d"]]), '{"key":"k","value":"\\ud83d"}\n');
});

test("csv: a byte order mark at the start of a field is part of it, in a file's first field, too", async (t) => {
  for (const header of [false, ["\ufeffa", "b"]]) {
    const format = csv({ header });
    const written = encode(format.encoder(), [["\ufeffx", 1]]);
    const [first] = (await readContent<unknown>(t, csv({ header: false }), written)).records;
    assert.deepEqual(first, header === false ? ["\ufeffx", "1"] : header);
  }
});

test("tsv: what was written is read back", async (t) => {
  const field = fc.string({ unit: "grapheme", maxLength: 8 }).filter((value) => !value.startsWith("\ufeff"));
  const rows = fc.array(fc.tuple(field, field), { maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(rows, async (results) => {
      const { records } = await readContent(t, tsv(), encode(tsv().encoder(), results));
      assert.deepEqual(records, results);
    }),
    { numRuns: 50 },
  );
});

test("csv: what was written is read back", async (t) => {
  const field = fc.oneof(fc.string({ maxLength: 8 }), fc.constantFrom('"', ",", "\n", "\r\n", "é"));
  const rows = fc.array(fc.tuple(field, field), { maxLength: 5, minLength: 1 });
  await fc.assert(
    fc.asyncProperty(rows, async (results) => {
      const { records } = await readContent(t, csv(), encode(csv().encoder(), results));
      assert.deepEqual(
        records,
        results.map(([key, value]) => ({ key, value })),
      );
    }),
    { numRuns: 50 },
  );
});

test("csv: headers", () => {
  const results = [["a", { n: 1, m: 2 }]] as const;
  assert.equal(encode(csv().encoder(), results), "key,n,m\na,1,2\n");
  assert.equal(encode(csv({ header: false }).encoder(), results), "a,1,2\n");
  assert.equal(encode(csv({ header: ["x", "m", "n"] }).encoder(), results), "x,m,n\na,2,1\n");
  assert.equal(encode(csv({ header: ["x", "y"] }).encoder(), []), "x,y\n");
  assert.equal(
    encode(csv().encoder(), [
      [
        ["a", "b"],
        [1, 2],
      ],
    ]),
    "key1,key2,value1,value2\na,b,1,2\n",
  );
  assert.throws(
    () =>
      encode(csv().encoder(), [
        ["a", 1],
        ["b", [1, 2]],
      ]),
    { code: "VALUE_INVALID" },
  );
});

test("jsonl, text, raw, none", () => {
  assert.equal(
    encode(jsonl().encoder(), [
      ["a", { b: 1n, c: undefined }],
      [1, undefined],
    ]),
    '{"key":"a","value":{"b":1}}\n{"key":1}\n',
  );
  assert.equal(
    encode(text().encoder(), [
      ["a", undefined],
      ["a", "b"],
      ["c", null],
      ["d", { e: 1 }],
    ]),
    'a\nb\nc\n{"e":1}\n',
  );
  assert.equal(
    encode(raw().encoder(), [
      ["a", undefined],
      ["k", Uint8Array.of(98)],
    ]),
    "ab",
  );
  assert.throws(() => encode(raw({ recordBytes: 2 }).encoder(), [["a", "abc"]]), { code: "VALUE_INVALID" });
  assert.throws(() => encode(raw().encoder(), [["a", 7]]), { code: "VALUE_INVALID" });
  assert.equal(none().discards, true);
});

test("a sink's bytes are those of its pieces in order, for any buffer size", () => {
  const piece = fc.oneof(
    fc.string({ unit: "grapheme", maxLength: 100 }),
    fc.string({ maxLength: 400 }),
    fc.uint8Array({ maxLength: 300 }),
    fc.integer({ min: 0, max: 255 }),
  );
  fc.assert(
    fc.property(fc.array(piece), fc.integer({ min: 1, max: 600 }), (parts, bufferBytes) => {
      const handed: Buffer[] = [];
      const sink = new BufferSink((bytes) => handed.push(Buffer.from(bytes)), bufferBytes);
      const expected: Uint8Array[] = [];
      for (const part of parts) {
        if (typeof part === "string") {
          sink.text(part);
          expected.push(Buffer.from(part));
        } else if (typeof part === "number") {
          sink.byte(part);
          expected.push(Uint8Array.of(part));
        } else {
          sink.bytes(part);
          expected.push(part);
        }
      }
      const all = Buffer.concat(expected);
      assert.equal(sink.bytesWritten, all.length);
      sink.flush();
      assert.deepEqual(Buffer.concat(handed), all);
    }),
  );
});
