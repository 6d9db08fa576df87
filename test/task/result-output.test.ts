import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { count } from "#src/aggregate/count.js";
import { stats } from "#src/aggregate/stats.js";
import { sum } from "#src/aggregate/sum.js";
import { topK } from "#src/aggregate/top-k.js";
import { seededRandom } from "#src/base/random.js";
import { MiB } from "#src/base/size.js";
import { csv } from "#src/format/csv.js";
import { delimited } from "#src/format/delimited.js";
import { jsonl } from "#src/format/jsonl.js";
import { none } from "#src/format/none.js";
import { text } from "#src/format/text.js";
import { tsv } from "#src/format/tsv.js";
import { words } from "#src/format/words.js";
import type { Aggregator } from "#src/job/aggregator.js";
import { job } from "#src/job/define.js";
import type { Job } from "#src/job/job-plan.js";
import type { Key } from "#src/job/key.js";
import type { Writer } from "#src/job/writer.js";
import { PAIR_LINES, pairs, Stage } from "./support.js";

/** The writer without its native form. */
function plainly(writer: Writer<Key, unknown>): Writer<Key, unknown> {
  const plain = { ...writer };
  delete (plain as { nativeOutput?: unknown }).nativeOutput;
  return plain;
}

const randomWords = (seed: string, length: number): string => {
  const random = seededRandom(seed);
  const parts = ["a", "b", "é", "日本", "x".repeat(30), "\\", "word", "\t"];
  return (
    Array.from({ length }, () =>
      Array.from({ length: 1 + random.below(3) }, () => parts[random.below(parts.length)]!).join(""),
    ).join("\n") + "\n"
  );
};

const twins: [
  name: string,
  input: string,
  make: (writer: (output: Writer<Key, unknown>) => Writer<Key, unknown>) => Job,
][] = [
  [
    "counted words",
    randomWords("words", 3000),
    (as) => job({ input: words(), reduce: count(), output: as(tsv()) }),
  ],
  [
    "counted lines with tabs and backslashes",
    randomWords("lines", 2000),
    (as) => job({ input: text(), reduce: count(), output: as(tsv()) }),
  ],
  [
    "sums, some of fractions and negative",
    randomWords("sums", 3000),
    (as) =>
      job({
        input: text(),
        map: (line, emit: (key: string, value: number) => void) =>
          emit(line, line.length % 3 === 0 ? -0.5 : -line.length),
        reduce: sum(),
        output: as(tsv()),
      }),
  ],
  [
    "sums of keys of many kinds",
    randomWords("kinds", 2000),
    (as) =>
      job({
        input: text(),
        map: (line, emit: (key: Key, value: number) => void) =>
          emit(line.length % 2 === 0 ? line : [line, 1], 1),
        reduce: sum(),
        output: as(tsv()),
      }),
  ],
  [
    "sorted lines as text",
    randomWords("sorted", 3000),
    (as) => job({ input: text(), order: "total", output: as(text()) }),
  ],
  [
    "sorted lines as tsv",
    randomWords("sorted", 1000),
    (as) => job({ input: text(), order: "total", output: as(tsv()) }),
  ],
  [
    "sorted records that hold newlines, as escaped text",
    randomWords("newlines", 1000).replaceAll("a\n", "a\nb;"),
    (as) => job({ input: delimited(";"), order: "total", output: as(text({ escape: true })) }),
  ],
  [
    "sorted json texts that hold newlines",
    Array.from({ length: 300 }, (_, i) => JSON.stringify(`l\n${i}\nm`)).join("\n"),
    (as) => job({ input: jsonl<string>(), order: "total", output: as(tsv()) }),
  ],
  [
    "stats of one count",
    randomWords("nested", 500),
    (as) =>
      job({
        input: text(),
        map: (line, emit: (key: string, value: object) => void) => emit(line, { deep: { n: 1 } }),
        reduce: stats({ deep: stats({ n: count() }) }) as never,
        output: as(tsv()),
      }),
  ],
  [
    "stats of one sum",
    randomWords("nested", 500),
    (as) =>
      job({
        input: text(),
        map: (line, emit: (key: string, value: object) => void) => emit(line, { deep: { n: 1 } }),
        reduce: stats({ deep: stats({ n: sum() }) }) as never,
        output: as(tsv()),
      }),
  ],
];

for (const [name, input, make] of twins) {
  test(`kernels write the same bytes and roll at the same places: ${name}`, async (t) => {
    const stage = new Stage(t).file("in.txt", input);
    for (const partBytes of [64 * MiB, 1, 50, 999, 20_000]) {
      const settings = { partBytes };
      const native = await stage.ok(
        make((writer) => writer),
        { settings },
      );
      const plain = await stage.ok(make(plainly), { settings });
      assert.deepEqual(native.files(), plain.files(), `parts of ${partBytes} bytes`);
      assert.deepEqual(
        native.parts.map(({ records, crc32c }) => [records, crc32c]),
        plain.parts.map(({ records, crc32c }) => [records, crc32c]),
      );
      for (const file of plain.files().slice(0, -1)) assert.ok(Buffer.byteLength(file) >= partBytes);
      assert.equal(native.reduces[0]!.stats.recordsOut, plain.reduces[0]!.stats.recordsOut);
    }
  });
}

test("sorted records that hold newlines are refused by text(), by kernels and without them", async (t) => {
  const stage = new Stage(t).file("in.txt", "b;a\nc;d");
  for (const as of [(writer: Writer<Key, unknown>) => writer, plainly]) {
    const failure = await stage.fails(job({ input: delimited(";"), order: "total", output: as(text()) }));
    assert.deepEqual([failure.code, failure.key], ["VALUE_INVALID", '"a\\nc"']);
  }
});

test("an aggregator of one's own with the row of a count prints what its result says", async (t) => {
  const stage = new Stage(t).file("in.txt", "a\nb\na\n");
  const own = count();
  const tripled = {
    ...own,
    kind: "triple",
    numeric: { ...own.numeric!, result: (row: Float64Array, at: number) => row[at]! * 3 },
  } as Aggregator<unknown, number>;
  const renamed = { ...tripled, kind: "count" } as Aggregator<unknown, number>;
  for (const reduce of [tripled, renamed])
    assert.equal(
      (
        await stage.ok(job({ input: text(), map: (line, emit: (key: string) => void) => emit(line), reduce }))
      ).text(),
      "a\t6\nb\t3\n",
    );
});

test("parts roll between records, headers in each, none empty at the end", async (t) => {
  const stage = new Stage(t).file("in.txt", PAIR_LINES);
  for (const partBytes of [1, 8, 20, 1000]) {
    const made = job({
      input: text(),
      map: pairs,
      reduce: (_: string, values: Iterable<number>) => ({ n: [...values].length }),
      output: csv({ header: true } as never) as never,
    });
    const played = await stage.ok(made, { settings: { partBytes } });
    const files = played.files();
    const header = files[0]!.split("\n")[0]!;
    assert.ok(files.every((file) => file.startsWith(`${header}\n`) && file.split("\n").length >= 3));
    assert.equal(files.map((file) => file.slice(header.length + 1)).join(""), "a,1\nb,3\nc,1\n");
    assert.deepEqual(
      played.parts.map(({ roll }) => roll),
      files.map((_, i) => i),
    );
  }
});

test("a generator of many results rolls in the middle of its key", async (t) => {
  const stage = new Stage(t).file("in.txt", "a 1\n");
  const made = job({
    input: text(),
    map: pairs,
    reduce: function* (_key: string, _values: Iterable<number>) {
      for (let i = 0; i < 100; i++) yield i;
    },
  });
  const played = await stage.ok(made, { settings: { partBytes: 40 } });
  assert.ok(played.files().length > 8);
  assert.equal(played.text(), Array.from({ length: 100 }, (_, i) => `a\t${i}\n`).join(""));
});

test("compressed parts hold the same text", async (t) => {
  const stage = new Stage(t).file("in.txt", randomWords("gzip", 2000));
  const plain = await stage.ok(job({ input: words(), reduce: count() }));
  const packed = await stage.ok(job({ input: words(), reduce: count(), output: tsv({ compress: "gzip" }) }));
  assert.equal(packed.parts[0]!.extension, ".tsv.gz");
  assert.equal(gunzipSync(readFileSync(packed.parts[0]!.path)).toString(), plain.text());
});

test("none() writes nothing, and collected results come back exactly", async (t) => {
  const stage = new Stage(t).file("in.txt", PAIR_LINES);
  const made = job({
    input: text(),
    map: pairs,
    reduce: (key: string, values: Iterable<number>) => ({
      key,
      all: new Set(values),
      big: 5n,
      none: undefined,
    }),
    output: none() as never,
  });
  const played = await stage.ok(made, { settings: { collect: true } });
  assert.deepEqual(played.files(), []);
  assert.deepStrictEqual(played.collected(), [
    ["a", { key: "a", all: new Set([2]), big: 5n, none: undefined }],
    ["b", { key: "b", all: new Set([1, 3, 5]), big: 5n, none: undefined }],
    ["c", { key: "c", all: new Set([4]), big: 5n, none: undefined }],
  ]);
});

test("collected beside an output, and without one, of every kind of collection", async (t) => {
  const stage = new Stage(t).file("in.txt", PAIR_LINES);
  const made = job({
    input: text(),
    collections: {
      sums: { reduce: sum() },
      tops: { reduce: topK(2) },
      sorted: { order: "total" },
      straight: {},
    },
    map(line: string, emit: unknown) {
      const all = emit as Record<string, (key: Key, value: unknown) => void>;
      pairs(line, (key, value) => {
        all["sums"]!(key, value);
        all["sorted"]!([value, key], undefined);
        all["straight"]!(value, { key });
      });
    },
  } as never);
  const both = await stage.ok(made, { settings: { collect: true } });
  const only = await stage.ok(made, { settings: { collect: true, output: "none" } });
  assert.ok(only.parts.every(({ kind }) => kind === "collected"));
  for (const played of [both, only]) {
    assert.deepEqual(played.collected(0), [
      ["a", 2],
      ["b", 9],
      ["c", 4],
    ]);
    assert.deepEqual(played.collected(2), [
      [[1, "b"], undefined],
      [[2, "a"], undefined],
      [[3, "b"], undefined],
      [[4, "c"], undefined],
      [[5, "b"], undefined],
    ]);
    assert.deepEqual(played.collected(3), [
      [1, { key: "b" }],
      [2, { key: "a" }],
      [3, { key: "b" }],
      [4, { key: "c" }],
      [5, { key: "b" }],
    ]);
  }
  assert.equal(both.text(0), "a\t2\nb\t9\nc\t4\n");
  assert.equal(both.text(3), "1\tb\n2\ta\n3\tb\n4\tc\n5\tb\n");
});
