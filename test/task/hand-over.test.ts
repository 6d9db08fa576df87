import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import { collect } from "#src/aggregate/collect.js";
import { count } from "#src/aggregate/count.js";
import { systemClock } from "#src/base/clock.js";
import { csv } from "#src/format/csv.js";
import { delimited } from "#src/format/delimited.js";
import { fixedLength } from "#src/format/fixed-length.js";
import { generate } from "#src/format/generate.js";
import { jsonl } from "#src/format/jsonl.js";
import { raw } from "#src/format/raw.js";
import { text } from "#src/format/text.js";
import { wholeFile } from "#src/format/whole-file.js";
import { words } from "#src/format/words.js";
import { job } from "#src/job/define.js";
import type { Input } from "#src/job/reader.js";
import { bytesOf, cutSplit } from "#src/task/cut-split.js";
import type { Split, SplitPiece, SplitPlace } from "#src/task/split.js";
import { Stage } from "./support.js";

/** From now on every look at the clock says that much time has passed. */
function slowClock(t: TestContext): void {
  let nowMs = 0;
  t.mock.method(systemClock, "nowMs", () => (nowMs += 30));
}

const lines = Array.from({ length: 40 }, (_, i) => (i % 7 === 3 ? "" : `line ${i} ${"x".repeat(i % 11)}`));
const rows = Array.from({ length: 30 }, (_, i) => `${i},"a ""b""\nc,${i}"`);

const inputs: readonly (readonly [
  string,
  Input<unknown>,
  Readonly<Record<string, string | Uint8Array>>,
  boolean,
])[] = [
  ["lines", text(), { "a.txt": lines.join("\n") }, true],
  ["lines of one byte each", text(), { "a.txt": "a\nb\nc\nd\ne\n" }, true],
  ["lines that end in CR LF", text(), { "a.txt": lines.join("\r\n") }, true],
  ["rows with quoted line ends and a header", csv(), { "a.csv": `id,text\n${rows.join("\n")}\n` }, true],
  ["json lines", jsonl(), { "a.jsonl": lines.map((line) => JSON.stringify({ line })).join("\n") }, true],
  ["records of four bytes", fixedLength(4), { "a.bin": "0123".repeat(25) }, true],
  ["what stands between marks", delimited("; "), { "a.txt": lines.join("; ") }, true],
  ["marks that overlap themselves", delimited("\n\n"), { "a.txt": "a\n\nb\n\n\nc\n\nd\n\ne" }, false],
  ["words of lines", words(), { "a.txt": "one two three four\nfive six seven\n" }, true],
  ["small files", text(), { "a.txt": "1\n2\n", "b.txt": "3\n", "c.txt": "4\n5\n", "d.txt": "" }, true],
  ["whole files", wholeFile(), { "a.txt": "1\n2", "b.txt": "3", "c.txt": "4" }, false],
  [
    "compressed files",
    text(),
    { "a.gz": gzipSync("1\n2\n3\n"), "b.txt": "4\n5\n", "c.gz": gzipSync("6\n7\n") },
    true,
  ],
  ["generated records", generate({ records: () => [1, 2, 3, 4] }), {}, false],
];

for (const [name, input, files, cuts] of inputs) {
  test(`a map that hands over its rest at any record gives the same output: ${name}`, async (t) => {
    const stage = new Stage(t);
    for (const [file, content] of Object.entries(files)) stage.file(file, content);
    slowClock(t);
    const plain = (record: unknown): string =>
      JSON.stringify(record instanceof Uint8Array ? [...record] : record);
    const output = raw();
    const mapped = job({
      input,
      map: (record: unknown, emit: (key: string) => void, ctx) => {
        ctx.count("records");
        emit(`${ctx.path}:${ctx.offset} ${plain(record)}\n`);
      },
      output,
    });
    const reduced = job({
      input,
      map: (record: unknown, emit: (key: string, value: unknown) => void, ctx) => {
        ctx.count("records");
        emit(plain(record).slice(0, 3), `${ctx.path}:${ctx.offset}`);
      },
      reduce: collect(),
    });
    for (const made of [mapped, reduced]) {
      const isCut = cuts && made === reduced;
      const whole = await stage.ok(made, { together: true });
      let splits = 0;
      for (const parts of [1, 2, 50]) {
        for (let at = 1; at <= 9; at += 4) {
          let turns = 0;
          const turn = async (): Promise<number> => (++turns % at === 0 ? parts : 0);
          const played = await stage.ok(made, { together: true, turn });
          assert.equal(played.text(), whole.text(), `${parts} parts, every ${at} pauses`);
          assert.deepEqual(played.counters, whole.counters);
          const read = played.maps.reduce((sum, { stats }) => sum + stats.recordsIn, 0);
          assert.equal(read, whole.maps[0]!.stats.recordsIn);
          splits = Math.max(splits, played.maps.length);
        }
      }
      assert.equal(splits > 1, isCut, `${splits} tasks`);
    }
  });
}

test("what depends on where its split ends, or cannot be joined, is not handed over", async (t) => {
  slowClock(t);
  const turn = async (): Promise<number> => 4;
  const map = (line: string, emit: (key: string) => void): void => emit(line);
  const whole = [
    job({ input: text(), map, output: csv() }),
    job({ input: text(), map, output: text({ compress: "gzip" }) }),
    job({ input: text(), map: (line, emit, ctx) => emit(line, ctx.random()), reduce: count() }),
  ];
  for (const made of whole) {
    const stage = new Stage(t).file("a.txt", lines.join("\n"));
    assert.equal((await stage.ok(made, { turn })).maps.length, 1);
  }
  // Bad records of a batch are told of before its good ones are mapped.
  const stage = new Stage(t).file("a.csv", `a,b\n1,2\n3\n${"4,5\n".repeat(9)}`);
  const rowsOf = job({
    input: csv(),
    map: (row: object, emit: (key: string) => void) => emit(JSON.stringify(row)),
    reduce: count(),
  });
  const played = await stage.ok(rowsOf, { turn, settings: { keepBad: true } });
  assert.equal(
    played.maps.reduce((sum, { stats }) => sum + stats.badRecords, 0),
    1,
  );
});

const file = (start: number, bytes: number, name: string): SplitPiece => {
  const whole = { path: `/${name}`, name, fileBytes: 10_000, mtimeMs: 1, compression: "none" } as const;
  return { kind: "file", ...whole, start, end: start + bytes };
};

test("a split cut at any places is all there, in order, none of it twice", () => {
  const piece = fc.tuple(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 1, max: 40 }));
  const property = fc.property(
    fc.array(piece, { minLength: 1, maxLength: 5 }),
    fc.infiniteStream(fc.nat(1_000)),
    (drawn, chance) => {
      const pieces = drawn.map(([start, bytes], i) => file(start, bytes, `f${i}`));
      const split: Split = { index: 0, pieces, bytes: bytesOf(pieces) };
      const every = pieces.flatMap((one, i): SplitPlace[] =>
        one.kind === "file"
          ? Array.from({ length: one.end - one.start }, (_, at) => ({ piece: i, offset: one.start + at }))
          : [],
      );
      const places = every.slice(1).filter(() => chance.next().value! % 9 === 0);
      const shares = cutSplit(split, places)!;
      assert.equal(shares.length, places.length + 1);
      const bytes = (list: readonly SplitPiece[]): string[] =>
        list.flatMap((one) =>
          one.kind === "file"
            ? Array.from({ length: one.end - one.start }, (_, at) => `${one.name} ${one.start + at}`)
            : [],
        );
      assert.deepEqual(shares.flatMap(bytes), bytes(pieces));
      for (const [i, share] of shares.slice(1).entries())
        assert.equal(bytes(share)[0], `f${places[i]!.piece} ${places[i]!.offset}`);
    },
  );
  fc.assert(property, { seed: 7, numRuns: 300 });
});

test("places that are none of the split's, or out of order, cut nothing", () => {
  const pieces = [file(10, 5, "a"), file(0, 5, "b")];
  const split: Split = { index: 0, pieces, bytes: 10 };
  const wrong: SplitPlace[][] = [
    [{ piece: 0, offset: 10 }],
    [{ piece: 0, offset: 9 }],
    [{ piece: 0, offset: 15 }],
    [{ piece: 2, offset: 0 }],
    [
      { piece: 1, offset: 1 },
      { piece: 0, offset: 12 },
    ],
    [
      { piece: 0, offset: 12 },
      { piece: 0, offset: 12 },
    ],
  ];
  for (const places of wrong) assert.equal(cutSplit(split, places), null, JSON.stringify(places));
  const packed: Split = {
    ...split,
    pieces: [{ ...pieces[0]!, compression: "gzip" } as SplitPiece, pieces[1]!],
  };
  assert.equal(cutSplit(packed, [{ piece: 0, offset: 12 }]), null);
  assert.equal(cutSplit(packed, [{ piece: 1, offset: 0 }])!.length, 2);
});
