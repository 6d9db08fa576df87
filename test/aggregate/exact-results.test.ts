/** Results of aggregators against exact rational numbers: any values, any order, any splits. */
import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { histogram } from "#src/aggregate/histogram.js";
import { mean } from "#src/aggregate/mean.js";
import { quantiles } from "#src/aggregate/quantiles.js";
import { sum } from "#src/aggregate/sum.js";
import { stddev, variance } from "#src/aggregate/variance.js";
import { isSheafError } from "#src/base/errors.js";
import type { Aggregator } from "#src/job/aggregator.js";
import { exact, exactSum, nearest } from "./exact.js";
import { check, fold, foldByPlan, planArbitrary, refuses, shuffled, stateOf } from "./support.js";
import type { Plan } from "./support.js";

/** Doubles of every size, and the same again with the other sign: what is left of them is small. */
const wild = fc
  .array(
    fc.oneof(
      fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e300, max: 1e300 }),
      fc
        .tuple(fc.integer({ min: -1000, max: 900 }), fc.double({ min: -1, max: 1, noNaN: true }))
        .map(([power, x]) => x * 2 ** power),
      fc.constantFrom(1e16, 1, -1e16, 5e-324, 1e100, 1e-100, 0.1, -0),
    ),
    { maxLength: 12 },
  )
  .chain((values) => fc.nat(values.length).map((n) => [...values, ...values.slice(0, n).map((x) => -x)]));

/** As many values as there are magnitudes of them: three clusters that lie far apart. */
const clustered = fc
  .tuple(
    fc.array(fc.integer({ min: -4, max: 4 }), { minLength: 3, maxLength: 3 }),
    fc.array(fc.tuple(fc.nat(2), fc.integer({ min: -1_000_000, max: 1_000_000 })), { maxLength: 60 }),
  )
  .map(([powers, parts]) => parts.map(([at, x]) => x * 2 ** (powers[at]! * 200)));

const inSomeWay = fc.tuple(planArbitrary, fc.integer());

/** The result by a plan, in another order; "refused" where it was refused for its range. */
function resultOf<O>(
  aggregator: Aggregator<number, O>,
  values: readonly number[],
  [plan, seed]: readonly [Plan, number],
): O | "refused" {
  try {
    return foldByPlan(aggregator, shuffled(values, seed), plan);
  } catch (error) {
    if (isSheafError(error) && error.code === "NUMBER_RANGE") return "refused";
    throw error;
  }
}

/** Near enough for a result below the smallest normal number, where doubles are coarse. */
function assertNearest(got: number | null, top: bigint, bottom: bigint, what: string): void {
  const wanted = nearest(top, bottom);
  if (Math.abs(wanted) >= 2 ** -1000) assert.equal(got, wanted, what);
  else assert.ok(Math.abs(got! - wanted) <= 2 ** -1050, `${what}: ${got} for ${wanted}`);
}

test("sum and mean of any doubles are the exact ones, rounded once, or are refused", () => {
  let refused = 0;
  check(
    fc.tuple(wild, inSomeWay),
    ([values, way]) => {
      const total = exactSum(values);
      const fraction = values.some((value) => !Number.isSafeInteger(value));
      const got = resultOf(sum(), values, way);
      if (got === "refused") refused++;
      else if (fraction) assertNearest(got, total, 1n, "sum");
      const average = resultOf(mean(), values, way);
      if (values.length === 0) assert.equal(average, null);
      else if (average !== "refused") assertNearest(average, total, BigInt(values.length), "mean");
    },
    3000,
  );
  assert.ok(refused < 1500, `${refused} of 3000 refused`);
});

test("sums of up to three magnitudes that lie far apart are exact in every order, and never refused", () => {
  check(
    fc.tuple(clustered, inSomeWay),
    ([values, way]) => {
      const got = resultOf(mean(), values, way);
      if (values.length === 0) return;
      assert.notEqual(got, "refused");
      assertNearest(got as number, exactSum(values), BigInt(values.length), "mean");
    },
    1000,
  );
  // The classic of math.fsum: -1e100 takes 1e100 away, and 1e-100 is what is left.
  assert.equal(fold(sum(), [1e100, 1, -1e100, 1e-100, 1e50, -1, -1e50]), 1e-100);
  const four = [1e300, 1e100, 1e-100, 1e-300, -1e300, -1e100, -1e-100];
  for (let seed = 0; seed < 40; seed++) {
    const got = resultOf(sum(), four, [{ cuts: [], merges: [0], packs: [false] }, seed]);
    assert.ok(got === 1e-300 || got === "refused", `${got}`);
  }
  refuses(() => fold(sum(), four), "NUMBER_RANGE", /^sum\(\): the values differ so much in size/);
});

/** The exact variance of doubles, times n * divisor * 2^2148. */
function exactSpread(values: readonly number[]): bigint {
  const units = values.map(exact);
  const total = units.reduce((a, b) => a + b, 0n);
  return BigInt(values.length) * units.reduce((a, b) => a + b * b, 0n) - total * total;
}

/** Values that lie so close to each other that plain sums lose all that makes them differ. */
const close = fc
  .tuple(
    fc.constantFrom(0, 1, 0.1, 1e6, 1.7e12, 1.7e15, -1e15, 1.7e18, 2 ** 60, 1e100, -1e-100, 1e140),
    fc.array(fc.integer({ min: -300, max: 300 }), { minLength: 1, maxLength: 40 }),
    fc.integer({ min: 0, max: 30 }),
  )
  .map(([base, steps, power]) => {
    const step = base === 0 ? 1 : Math.abs(base) * 2 ** (power - 52);
    return steps.map((n) => base + n * step);
  });

test("variance and stddev of close values are exact, however large, in any order and split", () => {
  check(
    fc.tuple(
      fc.oneof(close, fc.array(fc.double({ min: -1e9, max: 1e9, noNaN: true }), { minLength: 1 })),
      inSomeWay,
    ),
    ([values, way]) => {
      for (const sample of [false, true]) {
        const got = resultOf(variance({ sample }), values, way);
        const root = resultOf(stddev({ sample }), values, way);
        const divisor = values.length - (sample ? 1 : 0);
        if (divisor === 0) {
          assert.equal(got, null);
          continue;
        }
        if (got === "refused") {
          // Only where squares underflow.
          assert.ok(
            values.every((value) => Math.abs(value) < 1e-140),
            `refused ${values}`,
          );
          continue;
        }
        const spread = exactSpread(values);
        // In units of 2^-2148: brought to those of exact() by 2^1074.
        const wanted = nearest(spread, (BigInt(values.length) * BigInt(divisor)) << 1074n);
        assert.ok(
          Math.abs(got! - wanted) <= wanted * 1e-15 + 2 ** -1050,
          `${got} for ${wanted} of ${values}`,
        );
        if (got! > 2 ** -1000) assert.equal(root, Math.sqrt(got!));
        assert.equal(got, fold(variance({ sample }), values), "another order gives another bit");
      }
    },
    1500,
  );
});

test("variance of a million close values, in pieces, is what the fractions say", () => {
  const aggregator = variance();
  const values = Array.from({ length: 200_000 }, (_, i) => 1.7e15 + 0.25 * (i % 11));
  // (11^2 - 1) / 12 of whole elevenths, and of the last 200,000 % 11 values.
  const spread = nearest(exactSpread(values), (BigInt(values.length) ** 2n) << 1074n);
  assert.equal(fold(aggregator, values), spread);
  assert.ok(Math.abs(spread - 10 / 16) < 1e-4);
  let state = aggregator.empty();
  for (let at = 0; at < values.length; at += 7001) {
    let part = aggregator.empty();
    for (const value of values.slice(at, at + 7001)) part = aggregator.add(part, value);
    state = aggregator.merge(part, state);
  }
  assert.equal(aggregator.result(state), spread);
});

test("squares that overflow or underflow are refused, never 0 or infinite", () => {
  assert.equal(fold(variance(), [1e153, -1e153]), 1e306);
  refuses(() => fold(variance(), [1e200, 1]), "NUMBER_RANGE", /^variance\(\)/);
  refuses(() => fold(stddev(), [1e-170, 2e-170]), "NUMBER_RANGE", /^stddev\(\)/);
  assert.equal(fold(stddev(), [1e-200, 3, 5]), fold(stddev(), [0, 3, 5]));
  assert.equal(fold(variance(), [1e-170, 2e-170]), 0, "the nearest double");
  assert.ok(Math.abs(fold(stddev(), [3e-130, 1e-130])! - 1e-130) < 1e-145);
});

test("quantiles of up to 256 values are the exact interpolation", () => {
  const value = fc.oneof(
    fc.integer({ min: -1000, max: 1000 }),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.constantFrom(0.1, 0.2, 0.3, 1e15, 5e-324, Number.MAX_VALUE, -Number.MAX_VALUE),
  );
  check(
    fc.tuple(
      fc.array(value, { minLength: 1, maxLength: 40 }),
      fc.array(fc.nat(64), { minLength: 1, maxLength: 5 }),
      inSomeWay,
    ),
    ([values, parts, way]) => {
      // In 64ths every q is exact.
      const got = resultOf(quantiles(parts.map((n) => n / 64)), values, way) as number[];
      const sorted = [...values].sort((a, b) => a - b).map(exact);
      for (const [i, n] of parts.entries()) {
        const place = n * (sorted.length - 1);
        const [below, part] = [Math.floor(place / 64), BigInt(place % 64)];
        const [low, high] = [sorted[below]!, sorted[Math.min(below + 1, sorted.length - 1)]!];
        const top = low * (64n - part) + high * part;
        // What rounding costs is a part of the larger neighbour.
        const size = low < 0n ? (-low > high ? -low : high) : high;
        const off = exact(got[i]!) * 64n - top;
        assert.ok((off < 0n ? -off : off) <= (size >> 44n) + 64n, `${got[i]} at ${n}/64 of ${values}`);
      }
    },
    1000,
  );
});

/** The decimal number that a double prints as, in units of 10^-30. */
function printed(x: number): bigint {
  const [mantissa = "", power = "0"] = String(x).split("e");
  const [whole = "", fraction = ""] = mantissa.split(".");
  return BigInt(whole + fraction) * 10n ** BigInt(30 + Number(power) - fraction.length);
}

test("a histogram's bounds print as start + i * width, and a value belongs to the bin it prints in", () => {
  const decimal = (digits: number): fc.Arbitrary<number> =>
    fc
      .tuple(fc.integer({ min: -(10 ** digits), max: 10 ** digits }), fc.integer({ min: 0, max: 5 }))
      .map(([n, places]) => Number(`${n}e-${places}`));
  check(
    fc.tuple(
      fc.constantFrom(0.1, 0.2, 0.25, 0.3, 0.7, 1, 1.1, 0.01, 0.001, 3, 10, 1e-7, 2.5e-5),
      fc.oneof(fc.constant(0), decimal(3)),
      fc.oneof(
        decimal(6),
        fc.integer({ min: -3000, max: 3000 }).map((i) => ({ at: i })),
      ),
    ),
    ([width, start, given]) => {
      // Half of the values are bounds themselves.
      const bound = (bin: bigint): bigint => printed(start) + bin * printed(width);
      const asNumber = (units: bigint): number => Number(`${units}e-30`);
      const value = typeof given === "number" ? given : asNumber(bound(BigInt(given.at)));
      const [bin] = fold(histogram({ width, start }), [value]);
      assert.equal(bin?.count, 1);
      const rest = printed(value) - printed(start);
      const quotient = rest / printed(width);
      const number = rest < 0n && quotient * printed(width) !== rest ? quotient - 1n : quotient;
      assert.equal(bin!.from, asNumber(bound(number)), `${value} by ${width} from ${start}`);
      assert.equal(bin!.to, asNumber(bound(number + 1n)));
      assert.ok(bin!.from! <= value && value < bin!.to!);
    },
    3000,
  );
});

test("bins of a tenth hold what prints in them; others are computed as they always were", () => {
  const tenths = fold(
    histogram({ width: 0.1 }),
    [0.1, 0.2, 0.3, 0.30000000000000004, 0.6, 0.7, -0.1, -0.3, -0],
  );
  assert.deepEqual(
    tenths.map(({ from, to, count }) => `${from} ${to} ${count}`),
    ["-0.3 -0.2 1", "-0.1 0 1", "0 0.1 1", "0.1 0.2 1", "0.2 0.3 1", "0.3 0.4 2", "0.6 0.7 1", "0.7 0.8 1"],
  );
  const thirds = fold(histogram({ width: 1 / 3 }), [1 / 3, 2 / 3, 1]);
  assert.deepEqual(
    thirds.map(({ from }) => from),
    [1 / 3, 2 / 3, 1],
  );
  const far = fold(histogram({ width: 0.1 }), [9e14, -9e14]);
  assert.deepEqual(
    far.map(({ count }) => count),
    [1, 1],
  );
  for (const { from, to } of far) assert.ok(from! < to!);
  refuses(() => fold(histogram({ width: 0.1 }), [1e300]), "VALUE_INVALID", /within 2\^53 bins/);
});

test("what users of other tools have met: equal means, shifted data, edges, ends of the range", () => {
  // pingcap/tidb#71198: parts of equal means had a variance when merged.
  for (let left = 1; left <= 8; left++) {
    const aggregator = variance();
    const part = (count: number): Float64Array =>
      stateOf(aggregator, Array<number>(count).fill(2 ** 64)) as Float64Array;
    for (let right = 1; right <= 8; right++) {
      assert.equal(aggregator.result(aggregator.merge(part(left), part(right))), 0);
    }
  }
  // RayforceDB/rayforce#560: a variance does not depend on where its values lie.
  for (const base of [0, 1e6, 2e9, 1e12]) {
    assert.equal(
      fold(
        variance(),
        [1, 2, 3, 4, 5].map((x) => base + x),
      ),
      2,
    );
  }
  // NVIDIA/cudf#22391: one value of the largest size.
  assert.equal(fold(variance(), [Number.MAX_VALUE]), 0);
  // numpy/numpy#20610: hundredths in bins of a tenth; fast-histogram#63: 1 in bins of 0.02 from 0.9.
  const hundredths = Array.from({ length: 100 }, (_, i) => i / 100);
  const tenths = fold(histogram({ width: 0.1 }), hundredths);
  assert.deepEqual(
    tenths.map(({ count }) => count),
    Array<number>(10).fill(10),
  );
  const [bin] = fold(histogram({ width: 0.02, start: 0.9 }), [1]);
  assert.deepEqual(bin, { from: 1, to: 1.02, count: 1 });
});
