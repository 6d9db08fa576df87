import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { count } from "#src/aggregate/count.js";
import { foldNumber, planFolds } from "#src/aggregate/fold-number.js";
import { mean } from "#src/aggregate/mean.js";
import { max, min } from "#src/aggregate/min-max.js";
import {
  addToSum,
  initRow,
  mergeNumericRow,
  packRow,
  readSum,
  slotsOf,
  unpackRow,
} from "#src/aggregate/numeric-row.js";
import { stats } from "#src/aggregate/stats.js";
import { sumBig } from "#src/aggregate/sum-big.js";
import { sum } from "#src/aggregate/sum.js";
import { stddev, variance } from "#src/aggregate/variance.js";
import type { NumericOp } from "#src/job/aggregator.js";
import { exact, exactSum, nearest } from "./exact.js";
import { check, fold, refuses, shuffled } from "./support.js";

const MAX = Number.MAX_SAFE_INTEGER;
const reading = fc.double({ min: -1e6, max: 1e6, noNaN: true, noDefaultInfinity: true });
const ops: fc.Arbitrary<NumericOp[]> = fc.array(fc.constantFrom<NumericOp>("count", "sum", "min", "max"), {
  maxLength: 6,
});

test("exact and nearest, which the tests below rely on, invert each other", () => {
  check(fc.double({ noNaN: true, noDefaultInfinity: true, min: 1e-280 }), (x) => {
    assert.equal(nearest(exact(x)), x);
    assert.equal(nearest(exact(x) * 3n, 3n), x);
  });
  assert.equal(nearest(exact(1) * 1n, 3n), 1 / 3);
  assert.equal(nearest(exact(2 ** 53) + exact(1)), 2 ** 53, "a tie goes to even");
});

test("a float sum is the exact sum, rounded once, in any order", () => {
  check(fc.tuple(fc.array(reading, { maxLength: 300 }), fc.integer()), ([values, seed]) => {
    const wanted = nearest(exactSum(values));
    const slack = Math.abs(wanted) * 2 ** -53;
    assert.ok(Math.abs(fold(sum(), values) - wanted) <= slack);
    assert.equal(fold(sum(), shuffled(values, seed)), fold(sum(), values));
  });
});

test("a sum of hundredths is exactly rounded, where plain addition is not", () => {
  const values = Array.from({ length: 100_000 }, (_, i) => ((i * 7919) % 100_000) / 100);
  assert.equal(fold(sum(), values), nearest(exactSum(values)));
  assert.notEqual(
    values.reduce((a, b) => a + b, 0),
    nearest(exactSum(values)),
  );
  assert.equal(fold(sum(), shuffled(values, 5)), fold(sum(), values));
});

test("values that cancel leave what is between them, in any order", () => {
  const values = [1e16, 1.5, -1e16, 2 ** -40, 1e15, -1e15];
  for (let seed = 0; seed < 50; seed++) assert.equal(fold(sum(), shuffled(values, seed)), 1.5 + 2 ** -40);
});

test("integer sums are exact up to 2^53 - 1 and refused beyond, whatever came on the way", () => {
  assert.equal(fold(sum(), []), 0);
  assert.equal(fold(sum(), [-0]), 0);
  assert.equal(fold(sum(), [MAX]), MAX);
  assert.equal(fold(sum(), [MAX - 1, 1]), MAX);
  assert.equal(fold(sum(), [-MAX + 1, -1]), -MAX);
  assert.equal(fold(sum(), [MAX, MAX, 1, -MAX, -MAX]), 1);
  assert.equal(fold(sum(), [2 ** 52, 1, 2 ** 52, 1, -3, 1, -(2 ** 52)]), 2 ** 52);
  for (const values of [[MAX, 1], [-MAX, -1], [2 ** 52, 2 ** 52], Array(8).fill(MAX)]) {
    refuses(() => fold(sum(), values), "NUMBER_RANGE", /sum\(\): the integers add up to about -?\d/);
  }
});

test("sums of other numbers may go beyond 2^53", () => {
  assert.equal(fold(sum(), [1e20]), 1e20);
  assert.equal(fold(sum(), [2 ** 53]), 2 ** 53);
  assert.equal(fold(sum(), [MAX, 0.5, MAX]), nearest(exactSum([MAX, 0.5, MAX])));
});

test("integer sums around 2^53 equal BigInt arithmetic or are refused", () => {
  const near = fc.oneof(fc.integer(), fc.maxSafeInteger(), fc.constantFrom(2 ** 52, -(2 ** 52), MAX, -MAX));
  check(fc.array(near, { maxLength: 30 }), (values) => {
    const wanted = values.reduce((a, b) => a + BigInt(b), 0n);
    assert.equal(fold(sumBig(), values), wanted);
    const fits = wanted <= BigInt(MAX) && wanted >= -BigInt(MAX);
    if (fits) assert.equal(fold(sum(), values), Number(wanted));
    else refuses(() => fold(sum(), values), "NUMBER_RANGE", /integers add up/);
  });
});

test("a sum that overflows is refused, split or not", () => {
  refuses(() => fold(sum(), [1e308, 1e308]), "NUMBER_RANGE", /more than a number can hold/);
  const aggregator = sum();
  const over = aggregator.add(aggregator.add(aggregator.empty(), 1.7e308), 1.7e308);
  const again = aggregator.unpack(JSON.parse(JSON.stringify(aggregator.pack(over))));
  refuses(() => aggregator.result(aggregator.add(again, 1)), "NUMBER_RANGE", /more than a number can hold/);
  refuses(() => fold(mean(), [1.7e308, 1.7e308]), "NUMBER_RANGE", /^mean\(\)/);
  refuses(() => fold(variance(), [1e200, 1]), "NUMBER_RANGE", /^variance\(\)/);
});

test("what is no finite number is refused, by name, and changes nothing", () => {
  for (const [kind, aggregator] of Object.entries({
    sum: sum(),
    min: min(),
    max: max(),
    mean: mean(),
    stddev: stddev(),
  })) {
    for (const bad of [Number.NaN, Infinity, -Infinity, "1", undefined, null, 1n, {}, [1], true]) {
      const state = aggregator.add(aggregator.empty(), 4);
      const before = aggregator.pack(state);
      refuses(
        () => aggregator.add(state, bad as number),
        "VALUE_INVALID",
        new RegExp(`^${kind}\\(\\): .* is not a finite`),
      );
      assert.deepEqual(aggregator.pack(state), before);
    }
  }
  refuses(() => sumBig().add(sumBig().empty(), 0.5), "VALUE_INVALID", /sumBig\(\): 0.5 is not a bigint/);
});

test("min, max, mean and variance of nothing are null, of one value that value and 0", () => {
  for (const aggregator of [min(), max(), mean(), variance(), stddev()])
    assert.equal(fold(aggregator, []), null);
  for (const aggregator of [min(), max(), mean()]) assert.equal(fold(aggregator, [2.5]), 2.5);
  assert.equal(fold(variance(), [0.1]), 0);
  assert.equal(fold(variance({ sample: true }), [0.1]), null);
  assert.equal(fold(stddev({ sample: true }), [1, 3]), Math.SQRT2);
  assert.ok(Object.is(fold(min(), [0, -0]), 0) && Object.is(fold(max(), [-0]), 0));
});

test("a mean is the exact mean, rounded once", () => {
  check(fc.array(reading, { minLength: 1, maxLength: 100 }), (values) => {
    const wanted = nearest(exactSum(values), BigInt(values.length));
    assert.ok(Math.abs(fold(mean(), values)! - wanted) <= Math.abs(wanted) * 2 ** -53 + 2 ** -1022);
  });
  assert.equal(fold(mean(), [0.1, 0.1, 0.1]), 0.1);
});

test("a constant has no variance, and none is negative", () => {
  assert.equal(fold(variance(), Array(1000).fill(0.1)), 0);
  check(fc.array(reading, { minLength: 1, maxLength: 20 }), (values) => {
    assert.ok(fold(variance(), values)! >= 0);
    assert.ok(fold(stddev(), [...values, 1, 2])! >= 0);
  });
});

test("adding a number and merging the row of that number are the same, bit for bit", () => {
  const wide = fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e300, max: 1e300 });
  check(fc.tuple(fc.array(wide, { maxLength: 20 }), wide), ([values, x]) => {
    for (const aggregator of [sum(), mean(), count(), min(), max()]) {
      const added = values.reduce((state, value) => aggregator.add(state, value), aggregator.empty());
      const merged = Float64Array.from(added);
      const one = aggregator.add(aggregator.empty(), x);
      mergeNumericRow(aggregator.numeric!.ops, merged, 0, one, 0);
      assert.deepEqual(merged, aggregator.add(added, x));
    }
  });
});

test("a sum has one form, however its parts were filled: rounded, and the rest of it rounded", () => {
  // Not so small that three parts cannot hold them beside the largest.
  const normal = reading.map((x) => (Math.abs(x) < 2 ** -80 ? 0 : x));
  check(fc.tuple(fc.array(normal), fc.integer()), ([values, seed]) => {
    const [row, other] = [new Float64Array(4), new Float64Array(4)];
    for (const value of values) addToSum(row, 0, value);
    for (const value of shuffled(values, seed)) addToSum(other, 0, value);
    const sum = readSum(row, 0);
    assert.deepEqual(sum, readSum(other, 0));
    const total = exactSum(values);
    assert.equal(exact(sum.high) + exact(sum.low) + exact(sum.rest), total);
    assert.equal(sum.high, nearest(total));
    assert.equal(sum.low, nearest(total - exact(sum.high)));
    assert.equal(sum.lost, 0);
  });
});

test("a tie of the first part is settled by the third", () => {
  for (const [values, wanted] of [
    [[1, 2 ** -53], 1],
    [[1, 2 ** -53, 2 ** -200], 1 + 2 ** -52],
    [[1, 2 ** -53, -(2 ** -200)], 1],
    [[1 + 2 ** -52, 2 ** -53, -(2 ** -200)], 1 + 2 ** -52],
    [[-1, -(2 ** -53), -(2 ** -1070)], -1 - 2 ** -52],
  ] as const) {
    for (let seed = 0; seed < 6; seed++) assert.equal(fold(sum(), shuffled(values, seed)), wanted);
  }
});

test("rows of any ops start as the identity and survive packing", () => {
  check(ops, (list) => {
    const row = new Float64Array(slotsOf(list));
    initRow(list, row, 0);
    const other = Float64Array.from(row, (_, i) => i + 0.5);
    const merged = Float64Array.from(row);
    mergeNumericRow(list, merged, 0, other, 0);
    for (const [slot, value] of merged.entries()) assert.ok(Number.isFinite(value), `slot ${slot}`);
    assert.deepEqual(unpackRow(list, JSON.parse(JSON.stringify(packRow(row)))), row);
    assert.deepEqual(unpackRow(list, packRow(merged)), merged);
  });
});

test("folds say what add does for a plain number, and takesNumber only where it is the number itself", () => {
  const all = [
    count(),
    sum(),
    min(),
    max(),
    mean(),
    variance(),
    stddev({ sample: true }),
    stats({ n: count(), in: stats({ sum: sum(), var: variance() }), max: max() }),
  ];
  const numbers = fc.oneof(reading, fc.integer(), fc.constantFrom(-0, MAX, 2 ** 53, 1e20));
  check(fc.array(numbers, { maxLength: 10 }), (values) => {
    for (const { kind, numeric } of all) {
      const { ops: list, folds, add, takesNumber } = numeric!;
      const [added, folded] = [new Float64Array(slotsOf(list)), new Float64Array(slotsOf(list))];
      initRow(list, added, 0);
      initRow(list, folded, 0);
      for (const value of values) {
        add(added, 0, value as never);
        foldNumber(planFolds(list, folds!), folded, 0, value);
      }
      assert.deepEqual(added, folded, kind);
      assert.equal(
        takesNumber === true,
        folds!.every((fold, i) => fold === (list[i] === "count" ? "one" : "value")),
        kind,
      );
    }
  });
});

test("min, mean and max together take plain numbers straight from a kernel", () => {
  assert.equal(stats({ min: min(), mean: mean(), max: max() }).numeric!.takesNumber, true);
  assert.equal(count().numeric!.countsOnly, true);
});
