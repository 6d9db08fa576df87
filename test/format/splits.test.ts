import fc from "fast-check";
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { csv } from "#src/format/csv.js";
import { delimited } from "#src/format/delimited.js";
import { fixedLength } from "#src/format/fixed-length.js";
import { jsonl } from "#src/format/jsonl.js";
import { text } from "#src/format/text.js";
import { tsv } from "#src/format/tsv.js";
import { words } from "#src/format/words.js";
import type { Reader } from "#src/job/reader.js";
import { file, pieces, read, whole } from "./support.ts";

const SIZES = [1, 2, 3, 7, 64, 4096];

/** Letters that make line ends, quotes, marks and code points of every length likely. */
const content = (letters: readonly string[]): fc.Arbitrary<string> =>
  fc.array(fc.constantFrom(...letters), { maxLength: 60 }).map((parts) => parts.join(""));

interface Case {
  readonly name: string;
  readonly reader: Reader<unknown>;
  readonly content: fc.Arbitrary<string>;
  /** What the records of the content must be, worked out in another way. */
  expected?(content: string): unknown[];
}

const LINE_LETTERS = ["a", "bc", "\n", "\n", "\r\n", "\r", "é", "😀", "\ufeff", "日本"];

const lines = (content: string): string[] => {
  const all = content.replace(/^\ufeff/, "").split("\n");
  if (all.at(-1) === "") all.pop();
  const ended = content.endsWith("\n");
  return all.map((line, i) => (i < all.length - 1 || ended ? line.replace(/\r$/, "") : line));
};

function untilDelimiter(content: string, delimiter: string): string[] {
  const all = content.replace(/^\ufeff/, "").split(delimiter);
  if (all.at(-1) === "") all.pop();
  return all;
}

const CASES: readonly Case[] = [
  { name: "text", reader: text({ lineEnd: "\n" }), content: content(LINE_LETTERS), expected: lines },
  {
    name: "text as bytes",
    reader: text({ invalid: "bytes" }),
    content: content(LINE_LETTERS),
    expected: (input) => lines(input).map((line) => new Uint8Array(Buffer.from(line))),
  },
  {
    name: "words",
    reader: words({ lowerCase: true }),
    content: content([...LINE_LETTERS, "Σ", "B", " ", "."]),
    expected: (input) => (input.match(/\p{L}+/gu) ?? []).map((word) => word.toLowerCase()),
  },
  {
    name: "delimited by one character of several bytes",
    reader: delimited("😀"),
    content: content(["a", "😀", "😀", "\n", "é"]),
    expected: (input) => untilDelimiter(input, "😀"),
  },
  {
    name: "delimited by a text that can overlap itself",
    reader: delimited("\n\n"),
    content: content(["a", "\n", "\n", "é"]),
    expected: (input) => untilDelimiter(input, "\n\n"),
  },
  {
    name: "delimited by aba",
    reader: delimited("aba"),
    content: content(["a", "b", "ab", "c"]),
    expected: (input) => untilDelimiter(input, "aba"),
  },
  {
    name: "csv",
    reader: csv({ header: false }),
    content: content(["a", ",", '"', '""', '"x\ny"', "\n", "\r\n", "é", "😀", "\ufeff"]),
  },
  {
    name: "csv without quoting",
    reader: csv({ header: false, quote: null }),
    content: content(["a", ",", '"', '""', "\n", "\r\n", "é", "😀", "\ufeff"]),
  },
  {
    name: "csv with a header",
    reader: csv({ header: ["k", "v"] }),
    content: content(["a", ",", ',"x\ny"\n', "\n", "é", "a,b\n"]),
  },
  {
    name: "tsv with a header",
    reader: tsv({ header: true }),
    content: content(["a\tb\n", "\t", "é", "\n", "x\ty\r\n"]),
  },
  {
    name: "jsonl",
    reader: jsonl(),
    content: content(["1\n", '{"a":"é"}\n', "\n", "wrong", '"x"']),
  },
];

for (const { name, reader, content: contents, expected } of CASES) {
  test(`${name}: any split size and batch size gives each record exactly once, at its offset`, async (t) => {
    const path = file(t, "");
    const property = fc.asyncProperty(
      contents,
      fc.integer({ min: 1, max: 40 }),
      async (input, batchBytes) => {
        writeFileSync(path, input);
        const attempt = async (splitBytes: number | null, batch: number): Promise<unknown> => {
          try {
            const from = splitBytes === null ? [await whole(path)] : await pieces(path, reader, splitBytes);
            return await read(reader, input === "" ? [] : from, { batchBytes: batch });
          } catch (error) {
            return error instanceof Error ? error.message : error;
          }
        };
        const once = await attempt(null, 1024 * 1024);
        const size = Buffer.byteLength(input);
        for (const splitBytes of [...SIZES, size, size + 1]) {
          if (splitBytes > 0)
            assert.deepEqual(await attempt(splitBytes, batchBytes), once, `split size ${splitBytes}`);
        }
        if (expected === undefined || typeof once === "string") return;
        assert.deepEqual((once as { records: unknown[] }).records, expected(input));
      },
    );
    await fc.assert(property, { numRuns: 25 });
  });
}

test("fixed length: any split size gives each record exactly once", async (t) => {
  const content = Buffer.from(Array.from({ length: 70 }, (_, i) => i));
  const path = file(t, content);
  const reader = fixedLength(7);
  for (const size of [...SIZES, 70, 71]) {
    const { records, offsets } = await read(reader, await pieces(path, reader, size), { batchBytes: 9 });
    assert.deepEqual(offsets, [0, 7, 14, 21, 28, 35, 42, 49, 56, 63]);
    assert.deepEqual(Buffer.concat(records), content);
  }
});

test("offsets are the places of the records' first bytes", async (t) => {
  const input = "\ufeffé,1\n\n日本\r\nlast";
  const path = file(t, input);
  const { records, offsets } = await read(text(), [await whole(path)]);
  assert.deepEqual(records, ["é,1", "", "日本", "last"]);
  assert.deepEqual(offsets, [3, 8, 9, 17]);
  const found = await read(words(), [await whole(path)]);
  assert.deepEqual(found.records, ["é", "日本", "last"]);
  assert.deepEqual(found.offsets, [3, 9, 17]);
});
