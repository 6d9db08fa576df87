import assert from "node:assert/strict";
import { test } from "node:test";
import { studentT95 } from "#src/aggregate/student-t.js";
import { confidence, mean, stats, stddev } from "#src/index.js";
import { fold } from "./support.ts";

/** Roots of the regularized incomplete beta function, by mpmath with 30 digits. */
const quantiles: readonly (readonly [freedom: number, t: number])[] = [
  [1, 12.706204736174705],
  [2, 4.302652729749464],
  [3, 3.1824463052837095],
  [4, 2.7764451051977943],
  [5, 2.5705818356363155],
  [7, 2.3646242515927853],
  [10, 2.228138851986275],
  [29, 2.0452296421327043],
  [30, 2.042272456301238],
  [99, 1.9842169515864174],
  [100, 1.9839715185235522],
  [500, 1.9647198374673678],
  [999, 1.96234146113345],
  [1000, 1.9623390808264085],
  [1001, 1.96233670528088],
  [5000, 1.960438551706508],
  [100_000, 1.9599877075346095],
  [10_000_000, 1.9599642217672055],
];

test("Student's t has thirteen digits, with few values and with many", () => {
  for (const [freedom, t] of quantiles)
    assert.ok(Math.abs(studentT95(freedom) - t) < t * 1e-13, `${freedom}: ${studentT95(freedom)} for ${t}`);
  for (let freedom = 2; freedom < 3_000; freedom++)
    assert.ok(studentT95(freedom) < studentT95(freedom - 1), `it falls at ${freedom}`);
});

test("the interval of a mean is that of the textbook, and of too few values there is none", () => {
  assert.deepEqual(fold(confidence(), []), { count: 0, mean: null, stddev: null, ci95: null });
  assert.deepEqual(fold(confidence(), [7]), { count: 1, mean: 7, stddev: null, ci95: null });
  assert.deepEqual(fold(confidence(), [7, 7]), { count: 2, mean: 7, stddev: 0, ci95: 0 });
  // Of 1 to 5: variance 2.5, half width t(4) * sqrt(2.5 / 5).
  const { ci95 } = fold(confidence(), [1, 2, 3, 4, 5]);
  assert.ok(Math.abs(ci95! - 2.7764451051977943 * Math.SQRT1_2) < 1e-14);
  const far = Array.from({ length: 40_000 }, (_, i) => 1e15 + (i % 2));
  const wide = fold(confidence(), far);
  assert.equal(wide.mean, fold(mean(), far));
  assert.equal(wide.stddev, fold(stddev({ sample: true }), far));
  assert.ok(Math.abs(wide.ci95! - 1.959964 * (0.5 / 200)) < 1e-6, `${wide.ci95}`);
});

test("it stands among other members, and refuses under its own name", () => {
  const member = stats({ rtp: confidence() });
  assert.equal(fold(member, [{ rtp: 2 }, { rtp: 4 }]).rtp.mean, 3);
  assert.throws(() => fold(member, [{ rtp: Number.NaN }]), { message: /^stats\.rtp: confidence\(\): NaN/ });
});
