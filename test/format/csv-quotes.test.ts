import fc from "fast-check";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { csv } from "#src/format/csv.js";
import { QuotedRows } from "#src/format/quoted-rows.js";
import { recordStarts } from "#src/plan/record-starts.js";
import { naiveRows } from "./csv-rows.ts";
import { file, pieces, pythonOf, read, readContent, whole } from "./support.ts";

const text = (letters: readonly string[], maxLength: number): fc.Arbitrary<string> =>
  fc.array(fc.constantFrom(...letters), { maxLength }).map((parts) => parts.join(""));
/** What makes every kind of stray and closing quote likely. */
const QUOTED_LETTERS = ["a", "bc", ",", ',"', '",', '"', '"', '""', '"\n', "\n", "\r\n", "\r", "x"];

test("the last record that surely ends in some bytes is where going from record to record leads", () => {
  const letters = [...QUOTED_LETTERS, '"ab","c"\n', '"ab"\r\n', ',"a",'];
  const few = text(letters, 60);
  const many = fc.tuple(text(letters, 8), fc.integer({ min: 1, max: 900 }), text(letters, 8), few);
  const content = fc.oneof(
    few,
    many.map(([one, times, other, rest]) => one.repeat(times) + other + rest),
  );
  const property = fc.property(
    content,
    fc.boolean(),
    fc.constantFrom(5, 40, 1_000_000),
    fc.nat(3),
    (written, lenient, bytesMax, cut) => {
      const bytes = Buffer.from(written);
      const length = Math.max(0, bytes.length - cut);
      const rows = new QuotedRows({ kind: "quoted", quote: 34, lenient }, bytesMax);
      let end = 0;
      for (let next = 0; next !== -1 && end < length; next = rows.end(bytes, end, length, false)) end = next;
      assert.equal(rows.lastEnd(bytes, 0, length), end);
    },
  );
  fc.assert(property, { numRuns: 1_000 });
});

for (const quotes of ["strict", "lenient"] as const) {
  test(`csv with ${quotes} quotes: the naive reader's records, for any split and batch size`, async (t) => {
    const path = file(t, "");
    const property = fc.asyncProperty(
      text(QUOTED_LETTERS, 60),
      fc.constantFrom(4, 9, 20, 1000),
      fc.integer({ min: 1, max: 30 }),
      async (content, recordBytesMax, batchBytes) => {
        writeFileSync(path, content);
        const reader = csv({ header: false, quotes, recordBytesMax, lineEnd: "\n" });
        const rows = naiveRows(content, quotes === "lenient", recordBytesMax);
        const fits = rows.filter((row) => row.bytes <= recordBytesMax && row.text !== "");
        const good = fits.filter((row) => quotes === "lenient" || !row.stray);
        const once = await read(reader, content === "" ? [] : [await whole(path)], { keepBad: true });
        assert.deepEqual(
          once.records,
          good.map((row) => row.fields),
        );
        assert.deepEqual(
          once.offsets,
          good.map((row) => row.offset),
        );
        const bad = rows.filter((row) => row.text !== "" && !good.includes(row));
        // Every line of a bad record by itself; one that is too large is passed over as a whole.
        const places = bad.flatMap((row) => {
          if (!fits.includes(row)) return [`${row.offset} RECORD_TOO_LARGE`];
          let at = row.offset;
          return row.text.split("\n").map((line) => {
            const place = `${at} RECORD_INVALID`;
            at += line.length + 1;
            return place;
          });
        });
        assert.deepEqual(sorted(once.bad), sorted(places));
        for (const size of [1, 2, 5, 17, content.length + 1]) {
          if (content === "") continue;
          const split = await read(reader, await pieces(path, reader, size), { keepBad: true, batchBytes });
          assert.deepEqual(
            { ...split, bad: sorted(split.bad) },
            { ...once, bad: sorted(once.bad) },
            `${size}`,
          );
        }
      },
    );
    await fc.assert(property, { numRuns: 100 });
  });
}

const sorted = (bad: readonly string[]): string[] =>
  bad.toSorted((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));

test("a stray quote costs its own line only, however far the next one is", async (t) => {
  const lines = Array.from({ length: 3000 }, (_, i) => `${i},name ${i}`);
  lines[500] = '500,6" pipe';
  lines[1200] = '1200,"7 inch pipe';
  lines[2900] = '2900,8" pipe';
  const path = file(t, `id,name\r\n${lines.join("\r\n")}\r\n`);
  for (const size of [1000, 1 << 20]) {
    const found = await read(csv(), await pieces(path, csv(), size), { keepBad: true, batchBytes: 500 });
    assert.equal(found.records.length, 2997);
    assert.equal(found.bad.length, 3);
    const lenient = csv({ quotes: "lenient" });
    const all = await read(lenient, await pieces(path, lenient, size), { keepBad: true, batchBytes: 500 });
    assert.deepEqual(all.bad, []);
    assert.deepEqual(
      [all.records[500], all.records[1200], all.records[2900]].map((row) => row!["name"]),
      ['6" pipe', '"7 inch pipe', '8" pipe'],
    );
  }
});

test("every line of a bad record counts and is kept by itself", async (t) => {
  const content = 'a,b\n1,"x\ny\nz",3\n4,5\n';
  const { bad, records } = await readContent(t, csv(), content, { keepBad: true });
  assert.deepEqual(records, [{ a: "4", b: "5" }]);
  assert.deepEqual(bad, ["4 RECORD_INVALID", "9 RECORD_INVALID", "11 RECORD_INVALID"]);
});

test("lenient quotes", async (t) => {
  const cases: readonly (readonly [string, readonly (readonly string[])[]])[] = [
    ['5" nail,"a, b"', [['5" nail', "a, b"]]],
    ['"a "b" c",2', [['a "b" c', "2"]]],
    ['"he said ""hi""",1', [['he said "hi"', "1"]]],
    ['"line one\nline ""two""",1\n', [['line one\nline "two"', "1"]]],
    [
      '"never closed,1\n2,3\n',
      [
        ['"never closed', "1"],
        ["2", "3"],
      ],
    ],
    ['"",""""\n', [["", '"']]],
    ['a"b"c\r\n"d"\r\n', [['a"b"c'], ["d"]]],
  ];
  for (const [content, expected] of cases) {
    const { records, bad } = await readContent(t, csv({ header: false, quotes: "lenient" }), content);
    assert.deepEqual(records, expected, content);
    assert.deepEqual(bad, []);
  }
  assert.throws(() => csv({ quotes: "loose" as "lenient" }), { code: "JOB_INVALID" });
});

test(
  "what Python's csv module writes comes back, in any dialect and split size",
  { skip: pythonOf() === null },
  async (t) => {
    const field = text(["a", "é", "😀", '"', "'", ",", ";", "\t", "\n", "\r\n", " ", "x".repeat(40)], 6);
    const dialects = [
      { delimiter: ",", quote: '"', lineterminator: "\n", all: false },
      { delimiter: ";", quote: "'", lineterminator: "\r\n", all: false },
      { delimiter: "\t", quote: '"', lineterminator: "\r\n", all: true },
      { delimiter: "|", quote: '"', lineterminator: "\n", all: true },
      { delimiter: ",", quote: '"', lineterminator: "\r", all: true },
    ];
    const tables = fc.sample(fc.array(fc.tuple(field, field, field), { minLength: 1, maxLength: 12 }), {
      numRuns: 30,
      seed: 77,
    });
    const script = `
import csv, io, json, sys
tables, dialects = json.load(sys.stdin)
out = []
for i, table in enumerate(tables):
    d = dialects[i % len(dialects)]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=d["delimiter"], quotechar=d["quote"], lineterminator=d["lineterminator"],
               quoting=csv.QUOTE_ALL if d["all"] else csv.QUOTE_MINIMAL).writerows(table)
    out.append(text.getvalue())
print(json.dumps(out))
`;
    const input = JSON.stringify([tables, dialects]);
    const { stdout } = spawnSync(pythonOf()!, ["-c", script], { input, encoding: "utf8" });
    const written = JSON.parse(stdout) as string[];
    const path = file(t, "");
    for (const [i, content] of written.entries()) {
      const { delimiter, quote, lineterminator } = dialects[i % dialects.length]!;
      const lineEnd = lineterminator === "\r" ? "\r" : "\n";
      writeFileSync(path, content);
      for (const quotes of ["strict", "lenient"] as const) {
        const reader = csv({ header: false, delimiter, quote, lineEnd, quotes });
        for (const size of [content.length < 200 ? 1 : 11, 50, 10_000]) {
          const { records, bad } = await read(reader, await pieces(path, reader, size), { batchBytes: 64 });
          assert.deepEqual(bad, []);
          // In lenient mode a quote before a delimiter closes its field, doubled ones do not.
          assert.deepEqual(records, tables[i], JSON.stringify(content));
        }
      }
    }
  },
);

test("record starts are those of the naive reader, over reads of 1 MiB too", async (t) => {
  const path = file(t, "");
  const framing = { kind: "quoted", quote: 0x22 } as const;
  const check = async (content: string, starts: number[], recordBytesMax: number): Promise<void> => {
    writeFileSync(path, content);
    const begins = naiveRows(content, false, recordBytesMax).map((row) => row.offset);
    const expected = starts.map((start) => begins.find((begin) => begin >= start) ?? content.length);
    assert.deepEqual(await recordStarts(await whole(path), framing, starts, { recordBytesMax }), expected);
  };
  const property = fc.asyncProperty(
    text(QUOTED_LETTERS, 50),
    fc.constantFrom(5, 1000),
    async (content, max) => {
      if (content !== "")
        await check(
          content,
          Array.from({ length: content.length }, (_, i) => i),
          max,
        );
    },
  );
  await fc.assert(property, { numRuns: 200 });
  const mib = 1024 * 1024;
  const long = (n: number): string => "x".repeat(n);
  const rows = [`1,"${long(mib + 5)}\n"\n`, `2,"${long(100)}\n`, `3,${long(2 * mib)}\n`, '4,"a\nb"\n', "5\n"];
  const big = rows.join("");
  const edges = [0, 1, 5, mib - 1, mib, mib + 1, mib + 9, mib + 20, 2 * mib, 3 * mib, big.length - 3];
  await check(big, edges, 64 * mib);
  await check(big, edges, mib);
});
