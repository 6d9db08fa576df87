import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { csv } from "#src/format/csv.js";
import { jsonl } from "#src/format/jsonl.js";
import { text } from "#src/format/text.js";
import { tsv } from "#src/format/tsv.js";
import type { Key } from "#src/job/key.js";
import type { Writer } from "#src/job/writer.js";
import { encode, readContent } from "./support.ts";

type Results = readonly (readonly [Key, unknown])[];

const table: readonly [
  name: string,
  writer: Writer<Key, unknown>,
  results: Results,
  text: string | RegExp,
][] = [
  [
    "rows with the same names in another order",
    csv(),
    [
      ["a", { city: "Bern", n: 1, ok: true }],
      ["b", { ok: false, city: "Rome", n: 2 }],
    ],
    "key,city,n,ok\na,Bern,1,true\nb,Rome,2,false\n",
  ],
  [
    "the same in tsv, which has no header",
    tsv(),
    [
      [["a", 1], { x: 1, y: [2] }],
      [["b", 2], { y: null, x: "3" }],
    ],
    "a\t1\t1\t[2]\nb\t2\t3\t\n",
  ],
  [
    "other names",
    csv(),
    [
      ["a", { id: 1, name: 2 }],
      ["b", { id: 1, title: 2 }],
    ],
    /has the fields \["id", "title"\], the columns are \["id", "name"\]/,
  ],
  [
    "other names without a header",
    csv({ header: false }),
    [
      ["a", { id: 1 }],
      ["b", { name: 1 }],
    ],
    /csv: .*\["name"\].*\["id"\]/,
  ],
  [
    "other names in tsv",
    tsv(),
    [
      ["a", { id: 1 }],
      ["b", { id: 1, name: 1 }],
    ],
    /tsv: .*\["id", "name"\].*\["id"\]/,
  ],
  [
    "a field less",
    tsv(),
    [
      ["a", { id: 1, name: 1 }],
      ["b", { id: 1 }],
    ],
    /tsv: .*\["id"\].*\["id", "name"\]/,
  ],
  [
    "a field that is undefined is an empty column, and may be left out where the first has none",
    csv(),
    [
      ["a", { id: 1, name: undefined }],
      ["b", { name: "x", id: undefined, more: undefined }],
    ],
    "key,id,name\na,1,\nb,,x\n",
  ],
  [
    "null after objects",
    tsv(),
    [
      ["a", { id: 1 }],
      ["b", null],
    ],
    /null, the columns are \["id"\]/,
  ],
  [
    "an object after numbers",
    tsv(),
    [
      ["a", 1],
      ["b", { id: 1 }],
    ],
    /an object after others that were none, with the fields \["id"\]/,
  ],
  [
    "as many columns, but others of them the key's",
    csv(),
    [
      [["a", "b"], 1],
      ["a", [1, 2]],
    ],
    /3 columns \(1 of the key, 2 of the value\).*3 columns \(2 of the key, 1 of the value\).*"key1", "key2", "value"/,
  ],
  ["a field called key", csv(), [["a", { key: 1 }]], /two columns would be called "key"/],
  ["a field called key, without its column", csv({ shape: "record" }), [["a", { key: 1 }]], "key\n1\n"],
  [
    "names of one's own, and a field left out",
    csv({ header: ["who", "n", "city"] }),
    [
      ["a", { city: "Bern", n: 1 }],
      ["b", { n: 2 }],
    ],
    "who,n,city\na,1,Bern\nb,2,\n",
  ],
  [
    "names of one's own, and a field that is none of them",
    csv({ header: ["who", "n"] }),
    [["a", { n: 1, m: 2 }]],
    /\["n", "m"\].*\["n"\]/,
  ],
  ["names for places", csv({ header: ["who", "n", "m"] }), [["a", [1, 2]]], "who,n,m\na,1,2\n"],
  ["too few names for places", csv({ header: ["who", "n"] }), [["a", [1, 2]]], /3 columns.*2 columns/],
  [
    "columns by name and order",
    csv({ columns: { n: "number", city: "string" } }),
    [["a", { city: "Bern", n: 1 }]],
    "key,n,city\na,1,Bern\n",
  ],
  [
    "columns are for objects",
    csv({ columns: { n: "number", city: "string" } }),
    [["a", 5]],
    "key,value\na,5\n",
  ],
  [
    "records of columns, with none at all",
    csv({ columns: { n: "number", city: "string" }, shape: "record" }),
    [],
    "n,city\n",
  ],
  ["tsv with a header", tsv({ header: true }), [["a\tb", { "x\ty": "1\n" }]], "key\tx\\ty\na\\tb\t1\\n\n"],
  ["records are their values, or keys", tsv({ shape: "record" }), [[["a", "b"], undefined]], "a\tb\n"],
  [
    "names of Object.prototype",
    csv(),
    [
      ["a", { toString: 1 }],
      ["b", {}],
    ],
    /\[\].*\["toString"\]/,
  ],
  [
    "names of Object.prototype, asked for",
    csv({ columns: { constructor: "string" } }),
    [["a", {}]],
    "key,constructor\na,\n",
  ],
  ["a delimiter that numbers hold", csv({ delimiter: ".", header: false }), [["a", 1.5]], 'a."1.5"\n'],
  ["a field with a carriage return alone", csv({ header: false }), [["a\rb", "\r"]], '"a\rb","\r"\n'],
  ["a plain backslash", tsv({ escape: false }), [["C:\\temp\\new", 1]], "C:\\temp\\new\t1\n"],
  [
    "a tab that may not be escaped",
    tsv({ escape: false }),
    [["a", "x\ty"]],
    /a column cannot hold tabs and line ends: "x\\ty"/,
  ],
  ["a line end in a key that may not be escaped", tsv({ escape: false }), [["a\r", 1]], /tabs and line ends/],
  [
    "text of several lines",
    text(),
    [["k", "one\n"]],
    /a result with a newline would be several lines: "one\\n"/,
  ],
  ["a key of several lines", text(), [["x\r\ny", undefined]], /several lines/],
  ["bytes of several lines", text(), [["k", Uint8Array.of(97, 10)]], /several lines/],
  ["text of several lines, escaped", text({ escape: true }), [["k", "one\ntwo\\"]], "one\\ntwo\\\\\n"],
  ["bytes, escaped", text({ escape: true }), [["k", Buffer.from("é\n")]], "é\\n\n"],
  ["json in a line", text(), [["k", { a: "x\ny" }]], '{"a":"x\\ny"}\n'],
  [
    "records",
    jsonl({ shape: "record" }),
    [
      ["k", { a: 1 }],
      ["only a key", undefined],
      ["k", null],
    ],
    '{"a":1}\n"only a key"\nnull\n',
  ],
];

for (const [name, writer, results, wanted] of table) {
  test(`${writer.kind}: ${name}`, () => {
    if (typeof wanted === "string") assert.equal(encode(writer.encoder(), results), wanted);
    else {
      assert.throws(
        () => encode(writer.encoder(), results),
        (error: Error & { code: string; hint?: string }) => {
          assert.equal(error.code, "VALUE_INVALID");
          assert.match(error.message, wanted);
          return error.hint !== undefined;
        },
      );
    }
  });
}

test("a header that names two columns alike is refused when it is written down", () => {
  const header = ["a", "b", "a"];
  for (const make of [() => csv({ header }), () => tsv({ header })]) {
    assert.throws(make, { code: "JOB_INVALID", message: /"a"/ });
  }
});

test("columns without a header whose names are whole numbers are refused: an object has these in another order", async (t) => {
  const years = { name: "string", 2024: "string", 2023: "string" } as const;
  const refused = {
    code: "JOB_INVALID",
    message: /says which each is.*\["2023","2024","name"\]/,
    hint: /"y2024"/,
  };
  assert.throws(() => csv({ header: false, columns: years }), refused);
  assert.throws(() => tsv({ columns: years }), refused);
  assert.throws(() => csv("side.csv", { header: false, columns: years }), refused);
  assert.throws(() => tsv({ columns: { 7: "string", 5: "string" } }), { code: "JOB_INVALID" });
  assert.throws(() => tsv({ columns: { a: "string", 0: "string" } }), { code: "JOB_INVALID" });
  // The place of the column; the only one; what an object leaves in its order; found by their names.
  const cases = [
    [tsv({ columns: { 0: "string", 1: "string" } }), "x\ty\n", { 0: "x", 1: "y" }],
    [tsv({ columns: { 1: "string", 2: "string" } }), "x\ty\n", { 1: "x", 2: "y" }],
    [tsv({ columns: { 2024: "string" } }), "x\n", { 2024: "x" }],
    [
      tsv({ columns: { b: "string", "01": "string", "-1": "string" } }),
      "x\ty\tz\n",
      { b: "x", "01": "y", "-1": "z" },
    ],
    [csv({ columns: years }), "name,2024,2023\nx,y,z\n", { name: "x", 2024: "y", 2023: "z" }],
    [
      csv({ columns: years, header: ["name", "2024", "2023"] }),
      "a,b,c\nx,y,z\n",
      { name: "x", 2024: "y", 2023: "z" },
    ],
  ] as const;
  for (const [reader, content, row] of cases) {
    assert.deepEqual((await readContent<unknown>(t, reader as never, content)).records, [row]);
  }
});

test("csv and tsv: objects whose fields come in any order are read back as they were", async (t) => {
  const fieldText = fc.oneof(
    fc.string({ maxLength: 6 }),
    fc.constantFrom("\t", "\n", "\r", "\\n", '"', ",", "\r\n", " ", ""),
  );
  const rows = fc.array(fc.record({ a: fieldText, "b c": fieldText, __proto: fieldText }), {
    minLength: 1,
    maxLength: 5,
  });
  await fc.assert(
    fc.asyncProperty(rows, fc.infiniteStream(fc.nat()), async (objects, swaps) => {
      const mixed = objects.map((object) => {
        const entries = Object.entries(object);
        const at = swaps.next().value! % entries.length;
        return Object.fromEntries([...entries.slice(at), ...entries.slice(0, at)]);
      });
      const results = mixed.map((object) => [null, object] as const);
      for (const format of [csv({ shape: "record" }), tsv({ shape: "record", header: true })]) {
        const { records } = await readContent(t, format, encode(format.encoder(), results));
        assert.deepEqual(records, mixed);
      }
    }),
    { numRuns: 60 },
  );
});

test("text and tsv: as many records are read back as were written, escaped or not", async (t) => {
  const result = fc.oneof(
    fc.string({ maxLength: 6 }),
    fc.constantFrom("a\nb", "a\rb", "\r", "a\tb", "\\", "\r\n"),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(result, { minLength: 1, maxLength: 6 }),
      fc.boolean(),
      async (values, escape) => {
        const results = values.map((value) => [null, value] as const);
        for (const format of [text({ escape }), tsv({ escape })] as const) {
          let written: string;
          try {
            written = encode(format.encoder(), results);
          } catch {
            const unwritable = format.kind === "text" ? /\n/ : /[\t\n\r]/;
            assert.ok(!escape && values.some((value) => unwritable.test(value)));
            continue;
          }
          const { records } = await readContent<unknown>(t, format as never, written);
          const wanted = format.kind === "text" ? values : values.map((value) => ["", value]);
          // Without escapes a carriage return at the end is part of the line end.
          const cut = escape
            ? wanted
            : wanted.map((one) => (typeof one === "string" ? one.replace(/\r$/, "") : one));
          assert.deepEqual(
            records,
            cut.map((one) => (typeof one === "string" ? one.replace(/^\ufeff/, "") : one)),
          );
        }
      },
    ),
    { numRuns: 60 },
  );
});
