import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { DdSketch } from "#src/aggregate/dd-sketch.js";
import { distinctApprox } from "#src/aggregate/distinct-approx.js";
import { murmur3 } from "#src/aggregate/murmur3.js";
import { median, quantiles } from "#src/aggregate/quantiles.js";
import { CanonicalBytes } from "#src/aggregate/value-bytes.js";
import { seededRandom } from "#src/base/random.js";
import type { Aggregator } from "#src/job/aggregator.js";
import { compareKeys } from "#src/job/key-order.js";
import type { Key } from "#src/job/key.js";
import { check, fold, foldByPlan, planArbitrary, refuses, shuffled, stateOf } from "./support.js";

const hex = (lane: number): string => lane.toString(16).padStart(8, "0");

test("murmur3 gives the published hashes", () => {
  const out = new Uint32Array(2);
  // The first two lanes of MurmurHash3_x86_128, seed 0.
  for (const [text, wanted] of [
    ["", "0000000000000000"],
    ["The quick brown fox jumps over the lazy dog", "2f1583c3ecee2c67"],
  ] as const) {
    const bytes = new TextEncoder().encode(text);
    murmur3(bytes, bytes.length, out);
    assert.equal(hex(out[0]!) + hex(out[1]!), wanted, text);
  }
});

test("murmur3 takes every byte of every length into account", () => {
  const seen = new Set<string>();
  const out = new Uint32Array(2);
  for (let length = 1; length <= 40; length++) {
    for (let at = -1; at < length; at++) {
      const bytes = new Uint8Array(length);
      if (at >= 0) bytes[at] = 1;
      murmur3(bytes, length, out);
      seen.add(hex(out[0]!) + hex(out[1]!));
    }
  }
  assert.equal(seen.size, (40 * 43) / 2);
});

const key: fc.Arbitrary<Key> = fc.letrec<{ key: Key }>((tie) => ({
  key: fc.oneof(
    { maxDepth: 2 },
    fc.constantFrom<Key>(null, true, false, 0, -0, "", "a", "\u00e9", "\u{1F600}", "\uD83D", "\uFF5E"),
    fc.integer(),
    fc.double({ noNaN: true }),
    fc.string({ unit: "binary", maxLength: 3 }),
    fc.uint8Array({ maxLength: 2 }),
    fc.array(tie("key"), { maxLength: 3 }),
  ),
})).key;

test("canonical bytes are equal exactly where keys are", () => {
  const canonical = new CanonicalBytes("test");
  const bytesOf = (value: Key): string =>
    Buffer.from(canonical.buffer.buffer, 0, canonical.write(value)).toString("hex");
  check(
    fc.tuple(key, key),
    ([a, b]) => {
      const first = bytesOf(a);
      assert.equal(first === bytesOf(b), compareKeys(a, b) === 0);
      assert.equal(first, bytesOf(structuredClone(a)));
    },
    2000,
  );
  const text = "aé\u{1F600}\uFF5E";
  assert.equal(bytesOf(text), `04${"00000005"}${Buffer.from(text).toString("hex")}`);
  refuses(() => canonical.write(Number.NaN), "VALUE_INVALID", /NaN/);
  refuses(
    () => canonical.write({} as Key),
    "VALUE_INVALID",
    /^test\(\): \{\} is not a value that can be told apart/,
  );
});

test("approximate distinct counts stay within four standard errors, from 513 to a million values", () => {
  for (const precision of [10, 14]) {
    const error = 1.04 / Math.sqrt(2 ** precision);
    const aggregator = distinctApprox({ precision });
    let state = aggregator.empty();
    let n = 0;
    for (const wanted of [600, 2_000, 10_000, 50_000, 200_000, 1_000_000]) {
      for (; n < wanted; n++) state = aggregator.add(state, `user-${n}`);
      const got = aggregator.result(state);
      assert.ok(
        Math.abs(got - wanted) <= 4 * error * wanted,
        `${got} for ${wanted} with precision ${precision}`,
      );
      assert.ok(Number.isInteger(got));
    }
    assert.ok(aggregator.sizeOf(state) < 2 ** precision + 200);
  }
});

test("the error of approximate distinct counts is as large as stated, and has no bias", () => {
  const aggregator = distinctApprox({ precision: 9 });
  const runs = 200;
  const errors = Array.from({ length: runs }, (_, run) => {
    const values = Array.from({ length: 5_000 }, (_unused, i) => run * 5_000 + i);
    return fold(aggregator, values) / 5_000 - 1;
  });
  const stated = 1.04 / Math.sqrt(2 ** 9);
  const bias = errors.reduce((a, b) => a + b, 0) / runs;
  const spread = Math.sqrt(errors.reduce((a, b) => a + b * b, 0) / runs);
  assert.ok(Math.abs(bias) < (4 * stated) / Math.sqrt(runs), `bias ${bias}`);
  assert.ok(spread > stated * 0.8 && spread < stated * 1.2, `error ${spread}, stated ${stated}`);
});

test("distinct counts are exact up to 512, and any split and order gives the same beyond", () => {
  const aggregator = distinctApprox();
  const values = Array.from({ length: 3_000 }, (_, i) => [i % 700, `x${i % 2}`]);
  assert.equal(fold(aggregator, values.slice(0, 512)), 512);
  const wanted = fold(aggregator, values);
  check(
    fc.tuple(planArbitrary, fc.integer()),
    ([plan, seed]) => {
      assert.equal(foldByPlan(aggregator, shuffled(values, seed), plan), wanted);
    },
    20,
  );
});

test("a sketch's buckets answer within the error for every double", () => {
  for (const error of [0.0001, 0.01, 0.5]) {
    const sketch = new DdSketch(error);
    check(
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      (x) => {
        const answer = sketch.valueOf(sketch.bucketOf(x));
        // Below the smallest normal number doubles are too coarse for a relative error.
        const slack = Math.abs(x) * (error + 1e-9) + 2 ** -1074;
        assert.ok(Math.abs(answer - x) <= slack, `${answer} for ${x}, error ${error}`);
      },
      1000,
    );
    check(
      fc.tuple(fc.double({ noNaN: true }), fc.double({ noNaN: true })),
      ([a, b]) => {
        if (Number.isFinite(a) && Number.isFinite(b) && a < b)
          assert.ok(sketch.bucketOf(a) <= sketch.bucketOf(b));
      },
      1000,
    );
  }
});

const QS = [0, 0.01, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1];

/** What each of QS lies between, and how far from the first: in thousandths, so that nothing is rounded. */
function neighbours(values: readonly number[]): { low: number; high: number; part: number }[] {
  const sorted = [...values].sort((a, b) => a - b);
  return QS.map((q) => {
    const place = Math.round(q * 1000) * (sorted.length - 1);
    const below = Math.floor(place / 1000);
    return {
      low: sorted[below]!,
      high: sorted[Math.min(below + 1, sorted.length - 1)]!,
      part: (place % 1000) / 1000,
    };
  });
}

function lognormal(n: number): number[] {
  const random = seededRandom("quantiles");
  return Array.from({ length: n }, () => {
    const normal = Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
    return (random.next() < 0.1 ? -1 : 1) * Math.exp(3 * normal);
  });
}

test("quantiles are exact up to 256 values and within the error beyond", () => {
  for (const n of [1, 2, 100, 255, 256, 257, 1_000, 20_000]) {
    const values = lognormal(n);
    const wanted = neighbours(values);
    for (const error of [0.001, 0.01, 0.1]) {
      const got = fold(quantiles(QS, { error }), values)!;
      for (const [i, { low, high, part }] of wanted.entries()) {
        const value = low * (1 - part) + high * part;
        // Each neighbour may be off by `error` of itself.
        const largest = (Math.abs(low) * (1 - part) + Math.abs(high) * part) * error;
        const allowed = n <= 256 || i === 0 || i === QS.length - 1 ? 0 : largest;
        assert.ok(
          Math.abs(got[i]! - value) <= allowed + Math.abs(high - low) * 1e-12 + Math.abs(value) * 1e-12,
          `${got[i]} for ${value} at ${QS[i]} of ${n}, error ${error}`,
        );
      }
    }
  }
});

test("quantiles are the same for any split, order of merging, packing and order of values", () => {
  for (const n of [256, 257, 600, 3_000]) {
    const values = lognormal(n);
    const aggregator = quantiles(QS);
    const wanted = fold(aggregator, values);
    check(
      fc.tuple(planArbitrary, fc.integer()),
      ([plan, seed]) => {
        assert.deepEqual(foldByPlan(aggregator, shuffled(values, seed), plan), wanted);
      },
      20,
    );
  }
});

test("sketches take over at the stated size: it is part of packed states and of results", () => {
  const packed = <V>(aggregator: Aggregator<V, unknown>, values: readonly V[]): unknown =>
    aggregator.pack(stateOf(aggregator, values));
  const numbers = Array.from({ length: 513 }, (_, i) => i + 1);
  assert.ok(Array.isArray(packed(median(), numbers.slice(0, 256))));
  assert.ok(!Array.isArray(packed(median(), numbers.slice(0, 257))));
  assert.ok(Array.isArray(packed(distinctApprox(), numbers.slice(0, 512))));
  assert.ok(packed(distinctApprox(), numbers) instanceof Uint8Array);
});

test("quantiles at round places are values, between them in proportion", () => {
  const hundred = Array.from({ length: 101 }, (_, i) => i);
  const qs = hundred.map((n) => n / 100);
  assert.deepEqual(fold(quantiles(qs), hundred), hundred);
  assert.equal(fold(median(), [3, 1, 2]), 2);
  assert.equal(fold(median(), [2, 1]), 1.5);
  assert.equal(fold(median(), [7]), 7);
  assert.equal(fold(median(), []), null);
  // numpy.quantile([15, 20, 35, 40, 50], q), its default method.
  const got = fold(quantiles([0.05, 0.3, 0.4, 0.5, 1]), [15, 20, 35, 40, 50]);
  assert.deepEqual(got, [16, 23, 29, 35, 50]);
});

test("a median neither overflows nor leaves its neighbours", () => {
  const big = Number.MAX_VALUE;
  assert.equal(fold(median(), [big, big]), big);
  assert.equal(fold(median(), [big, big / 2]), big * 0.75);
  assert.equal(fold(median(), [-big, big]), 0);
  const [first = 0, third = 0] = fold(quantiles([0.25, 0.75]), [-big, big])!;
  assert.ok(Math.abs(first / big + 0.5) < 1e-15 && Math.abs(third / big - 0.5) < 1e-15);
  assert.equal(fold(median(), [5e-324, 5e-324]), 5e-324);
  assert.deepEqual(fold(quantiles([0.1, 0.7]), [0.1, 0.1, 0.1]), [0.1, 0.1]);
});

test("arguments that make no sense are refused by name", () => {
  for (const qs of [[], [1.1], [-0.1], [Number.NaN], 0.5 as never]) {
    refuses(() => quantiles(qs), "JOB_INVALID", /^quantiles\(\)/);
  }
  refuses(() => quantiles([0.5], { error: 0 }), "JOB_INVALID", /error is 0/);
  for (const precision of [3, 19, 4.5])
    refuses(() => distinctApprox({ precision }), "JOB_INVALID", /precision is/);
});
