import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { compareKeys } from "#src/job/key-order.js";
import type { Key } from "#src/job/key.js";

const SEED = 20260801;

/** Ascending, each different from all others. */
const ascending: readonly Key[] = [
  null,
  false,
  true,
  -Infinity,
  -1.5,
  0,
  Number.MIN_VALUE,
  1,
  1e300,
  Infinity,
  "",
  "\0",
  "1",
  "a",
  "a\0",
  "aa",
  "b",
  "\u00e9",
  "\uFF5E",
  "\u{1F600}",
  "\u{1F600}a",
  new Uint8Array(0),
  Uint8Array.of(0),
  Uint8Array.of(0, 255),
  Uint8Array.of(1),
  [],
  [null],
  [null, null],
  [1],
  [1, "a"],
  [1, "b"],
  ["a"],
  [[]],
  [["x"]],
];

test("keys are in the order that key.ts states", () => {
  for (const [i, a] of ascending.entries()) {
    for (const [j, b] of ascending.entries()) {
      assert.equal(Math.sign(compareKeys(a, b)), Math.sign(i - j), `${String(a)} and ${String(b)}`);
    }
  }
  assert.equal(compareKeys(-0, 0), 0);
});

test("strings are in the order of their UTF-8 bytes", () => {
  const text = fc.string({ unit: "binary", maxLength: 5 });
  const near = fc.array(fc.constantFrom("a", "\uD7FF", "\uE000", "\uFFFF", "\u{10000}", "\u{10FFFF}"), {
    maxLength: 4,
  });
  const property = fc.property(
    fc.oneof(
      text,
      near.map((parts) => parts.join("")),
    ),
    text,
    (a, b) => {
      assert.equal(Math.sign(compareKeys(a, b)), Buffer.compare(Buffer.from(a), Buffer.from(b)));
    },
  );
  fc.assert(property, { seed: SEED, numRuns: 2000 });
});

test("NaN and what is no key are refused", () => {
  for (const bad of [Number.NaN, undefined, {}, 1n, new Date(0), () => 1, [Number.NaN]]) {
    assert.throws(() => compareKeys(bad as Key, bad as Key), { code: "KEY_INVALID" });
  }
});
