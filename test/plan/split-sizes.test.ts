import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { evenSizes, programSplits, taperedSizes } from "#src/plan/split-sizes.js";

const MiB = 2 ** 20;

function pieces(starts: readonly number[], fileBytes: number): number[] {
  return starts.map((start, i) => (starts[i + 1] ?? fileBytes) - start);
}

test("splits of a size that was asked for are even and not larger", () => {
  assert.deepEqual(evenSizes(400).starts(1000, 77), [0, 333, 666]);
  assert.equal(evenSizes(400).limit(5000), 400);
});

test("splits taper off: 64 MiB while there is much left, 4 MiB at the end", () => {
  const sizes = taperedSizes(512 * MiB, 2);
  const found = pieces(sizes.starts(512 * MiB, 0), 512 * MiB).map((bytes) => Math.round(bytes / MiB));
  assert.deepEqual(found, [64, 64, 64, 64, 64, 64, 43, 28, 19, 13, 8, 6, 4, 4, 3]);
  assert.equal(taperedSizes(MiB, 2).limit(0), 4 * MiB);
});

test("tasks that have a program to start get more of the input each", () => {
  const sizes = taperedSizes(512 * MiB, 2, programSplits);
  const found = pieces(sizes.starts(512 * MiB, 0), 512 * MiB).map((bytes) => Math.round(bytes / MiB));
  assert.deepEqual(found, [128, 128, 85, 57, 38, 32, 44]);
  assert.deepEqual(sizes.starts(MiB, 0), [0]);
});

test("pieces of tapered splits cover any file, none is a sliver, and none is out of bounds", () => {
  const size = fc.integer({ min: 4 * MiB + 1, max: 3000 * MiB });
  const property = fc.property(size, size, fc.integer({ min: 1, max: 64 }), (before, fileBytes, workers) => {
    const sizes = taperedSizes(before + fileBytes, workers);
    const starts = sizes.starts(fileBytes, before);
    const found = pieces(starts, fileBytes);
    assert.equal(starts[0], 0);
    assert.ok(found.every((bytes) => bytes >= 2 * MiB && bytes < 66 * MiB));
    const places = starts.map((start) => sizes.limit(before + start));
    assert.ok(found.slice(0, -1).every((bytes, i) => bytes === places[i]));
    assert.ok(places.every((limit, i) => i === 0 || limit <= places[i - 1]!));
  });
  fc.assert(property, { seed: 1, numRuns: 200 });
});
