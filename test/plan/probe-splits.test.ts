import assert from "node:assert/strict";
import { test } from "node:test";
import { probeSplits, stretchSplits } from "#src/plan/probe-splits.js";
import type { Split, SplitPiece } from "#src/task/split.js";

const lines = { framing: { kind: "delimiter", delimiter: Uint8Array.of(10) } } as const;
const quoted = { framing: { kind: "quoted", quote: 34 } } as const;

const piece = (
  path: string,
  start: number,
  end: number,
  compression: "none" | "gzip" = "none",
): SplitPiece => ({
  kind: "file",
  path,
  name: path,
  start,
  end,
  fileBytes: 1000,
  mtimeMs: 0,
  compression,
});

function splitsOf(...pieces: SplitPiece[][]): Split[] {
  return pieces.map((some, index) => ({
    index,
    pieces: some,
    bytes: some.reduce((sum, one) => sum + (one.kind === "file" ? one.end - one.start : 0), 0),
  }));
}

const told = (splits: readonly Split[]) =>
  splits.map(({ pieces }) =>
    pieces.map((one) => (one.kind === "file" ? [one.path, one.start, one.end] : one.index)),
  );

test("splits are chosen evenly and cut to their first bytes; larger parts begin where smaller ones do", () => {
  const splits = splitsOf(...Array.from({ length: 10 }, (_, i) => [piece("a", i * 100, i * 100 + 100)]));
  const small = probeSplits(splits, { count: 3, bytes: 10 }, () => lines);
  assert.deepEqual(told(small), [[["a", 100, 110]], [["a", 500, 510]], [["a", 800, 810]]]);
  const large = probeSplits(splits, { count: 3, bytes: 1000 }, () => lines);
  assert.deepEqual(told(large), [[["a", 100, 200]], [["a", 500, 600]], [["a", 800, 900]]]);
  assert.deepEqual(
    large.map(({ index, bytes }) => [index, bytes]),
    [
      [0, 100],
      [1, 100],
      [2, 100],
    ],
  );
});

test("files that cannot be cut are taken whole, small files until there is enough", () => {
  const packed = splitsOf(
    [piece("a.gz", 0, 500, "gzip")],
    [piece("b", 0, 30), piece("c", 0, 30), piece("d", 0, 30)],
  );
  assert.deepEqual(told(probeSplits(packed, { count: 4, bytes: 40 }, () => lines)), [
    [["a.gz", 0, 500]],
    [
      ["b", 0, 30],
      ["c", 0, 10],
    ],
  ]);
});

test("every input of several has its splits, and generated tasks are whole", () => {
  const two = splitsOf([piece("a", 0, 100)], [piece("b", 0, 100)], [piece("b", 100, 200)]).map((split) => ({
    ...split,
    input: split.index === 0 ? 0 : 1,
  }));
  assert.deepEqual(told(probeSplits(two, { count: 1, bytes: 5 }, () => lines)), [
    [["a", 0, 5]],
    [["b", 100, 105]],
  ]);
  const made: Split[] = Array.from({ length: 8 }, (_, index) => ({
    index,
    pieces: [{ kind: "generate", index, tasks: 8 }],
    bytes: 0,
  }));
  assert.deepEqual(told(probeSplits(made, { count: 2, bytes: 5 }, () => null)), [[2], [6]]);
  assert.deepEqual(told(stretchSplits(made, { count: 2, bytes: 5 }, () => null)), [[2], [6]]);
});

test("stretches lie all over the files; of csv, whose records may hold newlines, at the beginnings of splits", () => {
  const splits = splitsOf([piece("a", 0, 500)], [piece("a", 500, 1000)], [piece("b", 0, 200)]);
  const options = { count: 6, bytes: 20 };
  assert.deepEqual(told(stretchSplits(splits, options, () => lines)).flat(), [
    ["a", 0, 20],
    ["a", 200, 220],
    ["a", 400, 420],
    ["a", 600, 620],
    ["a", 800, 820],
    ["b", 0, 20],
  ]);
  assert.deepEqual(told(stretchSplits(splits, options, () => quoted)).flat(), [
    ["a", 0, 20],
    ["a", 500, 520],
    ["b", 0, 20],
  ]);
});
