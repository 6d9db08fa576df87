import assert from "node:assert/strict";
import { test } from "node:test";
import { estimateColumns, Estimating } from "#src/aggregate/estimating.js";
import { SampleBounds } from "#src/aggregate/sample-bounds.js";
import { seededRandom } from "#src/base/random.js";
import { count, max, mean, stats, sum, sumBig, topK } from "#src/index.js";
import type { Aggregator } from "#src/job/aggregator.js";

type AnyAggregator = Aggregator<unknown, unknown>;

interface Estimate {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
}

/** What each record emits for the key. */
type Records = readonly (readonly unknown[])[];

function estimateOf(aggregator: Aggregator<never, unknown>, share: number, sampled: Records): Estimate {
  const estimating = new Estimating(aggregator as AnyAggregator, share);
  const state = stateOf(estimating, sampled);
  return estimating.result(state) as Estimate;
}

function stateOf(estimating: Estimating, records: Records) {
  let state = estimating.empty();
  for (const values of records) {
    const unit = estimating.newUnit();
    for (const value of values) estimating.take(unit, value);
    state = estimating.add(state, unit);
  }
  return state;
}

/** Of so many samples, the share whose interval has the truth in it; those without a record do not count. */
function coverage(
  aggregator: Aggregator<never, unknown>,
  share: number,
  records: Records,
  truth: number,
  draws = 200,
): number {
  const random = seededRandom("coverage");
  let held = 0;
  let seen = 0;
  for (let draw = 0; draw < draws; draw++) {
    const sampled = records.filter(() => random.next() < share);
    if (sampled.length === 0) continue;
    seen++;
    const { low, high } = estimateOf(aggregator, share, sampled);
    if ((low as number | null) !== null && low <= truth && truth <= high) held++;
  }
  return held / seen;
}

test("intervals of counts hold with 94 % and more whatever the count, also of keys that are seen once", () => {
  for (const share of [0.001, 0.01, 0.1, 0.5, 0.9]) {
    const bounds = new SampleBounds(share);
    for (let size = 1; size * share < 160; size = Math.ceil(size * 1.13)) {
      let probability = Math.exp(size * Math.log1p(-share));
      let held = 0;
      let seen = 0;
      for (let kept = 1; kept <= size && kept < size * share + 200; kept++) {
        probability *= (((size - kept + 1) / kept) * share) / (1 - share);
        seen += probability;
        if (bounds.lowest(kept) <= size && size <= bounds.highest(kept)) held += probability;
      }
      // Just above 100 seen the exact interval gives way to one that is about as good.
      assert.ok(held / seen > 0.94, `${size} at ${share}: ${held / seen}`);
    }
  }
});

test("the bounds are those of the textbook", () => {
  // Garwood's interval of a Poisson count, times 1,000,000: at a small share they are the same.
  const bounds = new SampleBounds(1e-6);
  for (const [kept, high] of [
    [0, 3.6889],
    [1, 5.5716],
    [10, 18.3904],
    [100, 121.6275],
  ] as const) {
    assert.ok(Math.abs(bounds.highest(kept) / 1e6 - high) < 0.001, `${kept}`);
  }
  // Given that there was one at all, a little less than Garwood's 4.7954.
  assert.ok(Math.abs(bounds.lowest(10) / 1e6 - 4.7954) < 0.02);
  assert.equal(bounds.lowest(1), 1);
});

test("pairs of one record count as drawn together: taken each by itself, intervals would not hold", () => {
  const random = seededRandom("clusters");
  const records = Array.from({ length: 1500 }, () =>
    Array.from({ length: random.below(10) === 0 ? 60 : 1 }, () => 5),
  );
  const pairs = records.flat().map((value) => [value]);
  const truth = pairs.length;
  assert.ok(coverage(count(), 0.05, records, truth) > 0.93);
  assert.ok(coverage(sum(), 0.05, records, truth * 5) > 0.93);
  const random2 = seededRandom("apart");
  let held = 0;
  for (let draw = 0; draw < 200; draw++) {
    const sampled = records.filter(() => random2.next() < 0.05).flat();
    const { low, high } = estimateOf(
      count(),
      0.05,
      sampled.map((value) => [value]),
    );
    if (low <= truth && truth <= high) held++;
  }
  assert.ok(held / 200 < 0.6, `${held}`);
});

test("intervals of sums and means hold: skewed, of both signs, few records, several values a record", () => {
  const random = seededRandom("sums");
  const normal = (): number =>
    Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
  const populations: [name: string, share: number, records: number[][]][] = [
    ["even", 0.05, Array.from({ length: 1000 }, () => [random.next()])],
    ["skewed", 0.05, Array.from({ length: 2000 }, () => [Math.exp(normal())])],
    ["both signs", 0.05, Array.from({ length: 1000 }, () => [normal() * 3 + 1])],
    ["a few", 0.02, Array.from({ length: 400 }, () => [10 + random.below(5)])],
    ["rare ones among zeros", 0.1, Array.from({ length: 1500 }, () => [random.below(20) === 0 ? 1 : 0])],
    [
      "several values a record",
      0.05,
      Array.from({ length: 1000 }, (_, i) => Array.from({ length: 1 + (i % 4) }, () => normal() + (i % 4))),
    ],
    ["half of them", 0.5, Array.from({ length: 300 }, () => [Math.exp(normal())])],
    ["far from zero", 0.05, Array.from({ length: 1000 }, () => [1.7e12 + normal()])],
  ];
  for (const [name, share, records] of populations) {
    const values = records.flat();
    const total = values.reduce((a, b) => a + b, 0);
    const ofSum = coverage(sum(), share, records, total);
    assert.ok(ofSum > 0.92, `sum of ${name}: ${ofSum}`);
    const ofMean = coverage(mean(), share, records, total / values.length);
    assert.ok(ofMean > 0.9, `mean of ${name}: ${ofMean}`);
  }
});

test("results do not depend on how records were merged, nor on states that were packed on the way", () => {
  const random = seededRandom("orders");
  const records = Array.from({ length: 300 }, () =>
    Array.from({ length: 1 + random.below(3) }, () => (random.next() - 0.3) * 10 ** random.below(12)),
  );
  const whole = new Estimating(stats({ n: count(), s: sum(), m: mean(), x: max() }) as AnyAggregator, 0.1);
  const expected = JSON.stringify(whole.result(stateOf(whole, records)));
  for (let round = 0; round < 20; round++) {
    const mixed = [...records].sort(() => random.next() - 0.5);
    const cut = random.below(mixed.length);
    const [left, right] = [stateOf(whole, mixed.slice(0, cut)), stateOf(whole, mixed.slice(cut))];
    const packed = whole.unpack(JSON.parse(JSON.stringify(whole.pack(right))));
    assert.equal(JSON.stringify(whole.result(whole.merge(packed, left))), expected);
  }
});

test("the mean's interval is the one of the ratio, by its formula", () => {
  const records = [[1, 2], [5], [3, 3, 9], [4], [0, 7]];
  const [amounts, values] = [
    records.map((one) => one.reduce((a, b) => a + b, 0)),
    records.map((one) => one.length),
  ];
  const n = values.reduce((a, b) => a + b, 0);
  const ratio = amounts.reduce((a, b) => a + b, 0) / n;
  const squares = amounts.reduce((all, amount, i) => all + (amount - ratio * values[i]!) ** 2, 0);
  const half = 2.776445105197793 * Math.sqrt((0.8 * squares * 5) / 4 / n ** 2);
  const found = estimateOf(mean(), 0.2, records);
  assert.equal(found.estimate, ratio);
  assert.ok(Math.abs(found.low - (ratio - half)) < 1e-9);
  assert.ok(Math.abs(found.high - (ratio + half)) < 1e-9);
});

test("every value has its columns by name, nested ones too; what is not scaled is what the sample gave", () => {
  const aggregator = stats({
    n: count(),
    n_low: max(),
    win: stats({ stake: sum(), best: topK(2) }),
  }) as unknown as Aggregator<never, unknown>;
  const value = { n: 1, n_low: 7, win: { stake: 2, best: 3 } };
  assert.deepEqual(estimateOf(aggregator, 0.5, [[value], [value, value]]), {
    n: 6,
    n_low_: 3,
    n_high: 19,
    n_low: 7,
    win: { stake: 12, stake_low: 6, stake_high: 38, best: [3, 3] },
  });
  assert.deepEqual(estimateColumns(aggregator as AnyAggregator), [
    { column: "n", note: null },
    { column: "n_low", note: "the greatest of the sample: that of all records may be greater" },
    { column: "win.stake", note: null },
    { column: "win.best", note: "of the sample: all records may have others before them" },
  ]);
});

test("no interval is told where the sample says nothing of what is missing", () => {
  const none = { low: null, high: null };
  // Only zeros: another value among those not sampled may be anything.
  assert.deepEqual(estimateOf(sum(), 0.1, [[0], [0]]), { estimate: 0, ...none });
  assert.deepEqual(estimateOf(mean(), 0.1, [[3], [3]]), { estimate: 3, ...none });
  assert.deepEqual(estimateOf(mean(), 0.1, [[3, 4]]), { estimate: 3.5, ...none });
  // Squares that overflow.
  assert.deepEqual(estimateOf(sum(), 0.1, [[1e200], [1e201]]), { estimate: 1.1e202, ...none });
  assert.deepEqual(estimateOf(sum(), 0.1, [[1.5e308]]), { estimate: null, ...none });
});

test("sums of bigints stay bigints, sums of integers integers, and negative ones have their bounds in order", () => {
  const big = estimateOf(sumBig(), 0.5, [[10n ** 20n], [10n ** 20n]]);
  assert.equal(big.estimate as unknown, 4n * 10n ** 20n);
  const { estimate, low, high } = estimateOf(sum(), 0.3, [[-7], [-3], [-7]]);
  assert.equal(estimate, -57);
  assert.ok(low < estimate && estimate < high && high <= -17, `${low} ${high}`);
  assert.ok([estimate, low, high].every(Number.isInteger));
});

test("a value that the aggregator refuses leaves the unit as it was", () => {
  const estimating = new Estimating(stats({ n: count(), s: sum() }) as AnyAggregator, 0.5);
  const unit = estimating.newUnit();
  estimating.take(unit, { s: 1 });
  assert.throws(() => estimating.take(unit, { s: Number.NaN }), { code: "VALUE_INVALID" });
  assert.equal(unit.values, 1);
  assert.deepEqual([...unit.amounts], [0, 1]);
});
