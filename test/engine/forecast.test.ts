import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "#src/base/random.js";
import { MiB } from "#src/base/size.js";
import { distinctKeys, extrapolate, makespan, type Range } from "#src/engine/extrapolate.js";
import { forecast } from "#src/engine/forecast.js";
import { type Tried, type TriedRound } from "#src/engine/tried.js";
import { emptyStats, type TaskSuccess } from "#src/task/task-spec.js";

const within = ({ low, high }: Range, fact: number): boolean => low <= fact && fact <= high;

/** Points of a function at sizes that grow eightfold. */
const pointsOf = (f: (x: number) => number, sizes: readonly number[]) => sizes.map((x) => ({ x, y: f(x) }));

test("what grows with every record is a straight line, known as well as it was measured", () => {
  const found = extrapolate(
    pointsOf((x) => 3 * x, [100, 800, 6400]),
    1e6,
  );
  for (const value of Object.values(found)) assert.ok(Math.abs(value - 3e6) < 1);
  assert.deepEqual(extrapolate([{ x: 10, y: 0 }], 100), { low: 0, expected: 0, high: 0 });
  // Of two sizes that are nearly the same it would be chance.
  const cut = [
    { x: 100, y: 100 },
    { x: 1000, y: 1002 },
    { x: 1001, y: 998 },
  ];
  assert.ok(Math.abs(extrapolate(cut, 100_000).expected / 99_700 - 1) < 0.02);
  // One size tells nothing of a slope.
  assert.ok(Math.abs(extrapolate([{ x: 10, y: 5 }], 100).expected - 50) < 1e-9);
});

test("what saturates is between its last value and its last slope, and nearer to the truth than either", () => {
  const curves: [name: string, f: (x: number) => number][] = [
    ["a vocabulary", (x) => 40_000 * (1 - Math.exp(-x / 30_000))],
    ["a vocabulary with a long tail", (x) => (50_000 * x) / (x + 20_000)],
    ["Heaps' law", (x) => 40 * x ** 0.55],
    ["a few keys", (x) => Math.min(x, 400)],
  ];
  for (const [name, f] of curves) {
    const points = pointsOf(f, [1000, 8000, 64_000]);
    const last = points.at(-1)!.y;
    for (const x of [128_000, 512_000]) {
      const found = extrapolate(points, x);
      assert.ok(found.low <= found.expected && found.expected <= found.high, name);
      assert.ok(
        found.low >= last * 0.999 &&
          within({ ...found, low: found.low * 0.7, high: found.high * 1.01 }, f(x)),
        name,
      );
      if (x === 128_000) assert.ok(Math.abs(found.expected / f(x) - 1) < 0.3, `${name}: ${found.expected}`);
    }
  }
});

test("at sizes that were measured, and between them, the measured is what is said", () => {
  const points = pointsOf((x) => 5 * x ** 0.5, [100, 400, 1600]);
  for (const x of [100, 200, 400, 1000, 1600]) {
    const { low, expected, high } = extrapolate(points, x);
    assert.ok(low === expected && high === expected);
    assert.ok(Math.abs(expected - 5 * x ** 0.5) < 1e-9);
  }
});

/** Stretches of keys: each draws so many from `draw`. */
function stretchesOf(count: number, length: number, draw: (stretch: number) => string): string[][] {
  return Array.from({ length: count }, (_, stretch) => Array.from({ length }, () => draw(stretch)));
}

test("the range of different keys has the truth in it: even, skewed, all different, by time", () => {
  const random = seededRandom("keys");
  const zipf = (keys: number): string => `k${Math.floor(Math.exp(random.next() * Math.log(keys)))}`;
  const cases: [name: string, draw: (stretch: number) => string][] = [
    ["a thousand even ones", () => `k${random.below(1000)}`],
    ["twenty thousand skewed ones", () => zipf(20_000)],
    ["all different", () => `k${random.next()}`],
    ["a day each", (stretch) => `day ${stretch}`],
    ["one", () => "one"],
  ];
  for (const [name, draw] of cases) {
    const all = stretchesOf(1000, 100, draw);
    const truth = new Set(all.flat()).size;
    // Stretches lie evenly over all of them.
    const sampled = all.filter((_, index) => index % 20 === 0);
    const found = distinctKeys(sampled, 1000);
    assert.ok(
      found.low <= truth * 1.02 && truth <= found.high * 1.02,
      `${name}: ${JSON.stringify(found)}, not ${truth}`,
    );
    assert.ok(found.low <= found.expected && found.expected <= found.high);
  }
  assert.deepEqual(distinctKeys([["a"], ["b", "a"]], 2), { low: 2, expected: 2, high: 2 });
  assert.deepEqual(distinctKeys([[], []], 100), { low: 0, expected: 0, high: 0 });
});

test("tasks are taken one after the other by whoever is free first", () => {
  assert.equal(makespan([4, 3, 2, 1], 1), 10);
  assert.equal(makespan([4, 3, 2, 1], 2), 5);
  assert.equal(makespan([10, 1, 1, 1], 4), 10);
  assert.equal(makespan([], 2), 0);
});

/** Processor time of a task: code takes longer for what it does first, then each byte takes the same. */
const cpuOf = (bytes: number): number => 300 * (1 - Math.exp(-bytes / (MiB / 2))) + (140 * bytes) / MiB;

function roundOf(bytes: number, files = 1, cpuMs = cpuOf(bytes)): TriedRound {
  const stats = { ...emptyStats, bytesIn: bytes, recordsIn: bytes / 70, cpuMs, elapsedMs: 2 * cpuMs };
  const result = {
    kind: "success",
    stats,
    pairs: [10],
    parts: Array.from({ length: files }),
    keys: [],
    partitionBytes: [[100]],
    hotKeys: [],
  } as unknown;
  const split = { index: 0, pieces: [], bytes: 24 * MiB };
  const maps = Array.from({ length: 4 }, () => ({ split, taken: bytes, result: result as TaskSuccess }));
  return { maps, reduces: [], beforeMs: 100, elapsedMs: 2 * cpuMs };
}

/** A trial of these rounds for 11 tasks of 24 MiB on two workers. */
function triedIn(rounds: readonly TriedRound[]): Tried {
  const tasks = Array.from({ length: 11 }, () => ({ pieces: [], bytes: 24 * MiB }));
  const plan = { files: 1, bytes: 264 * MiB, partitions: [1], tasks: { sample: [], map: tasks, reduce: [] } };
  const tried = {
    plan,
    collections: [""],
    workers: 2,
    stretches: [],
    rounds,
    peakBytes: 0,
    badExample: null,
  };
  return tried as unknown as Tried;
}

test("time is carried forward by what each byte takes when the code has got going", () => {
  for (const [lastMiB, share] of [
    [4, 0.11],
    [8, 0.05],
    [16, 0.03],
  ] as const) {
    const rounds = [1 / 16, 1 / 4, 1, lastMiB].map((size) => roundOf(size * MiB));
    const { cpuMs, mapMs } = forecast(triedIn(rounds));
    const perByte = 140 * 264;
    // Each of two workers gets going once.
    const truth = perByte + 2 * 300;
    assert.ok(
      Math.abs(cpuMs.expected / truth - 1) < share,
      `${lastMiB} MiB: ${cpuMs.expected}, not ${truth}`,
    );
    // Six tasks one after the other on one of them, at half of the processor.
    const longest = 2 * 140 * 24 * 6;
    assert.ok(
      Math.abs(mapMs.expected / longest - 1) < share,
      `${lastMiB} MiB: ${mapMs.expected}, not ${longest}`,
    );
  }
});

test("what files take that a task opens is not taken for the time of its bytes", () => {
  // A file for each of 3,000 names, most of which a small part has met already.
  const filesOf = (bytes: number): number => Math.round(3000 * (1 - Math.exp(-bytes / (64 * 1024))));
  const timeOf = (bytes: number): number => 0.5 * filesOf(bytes) + (100 * bytes) / MiB;
  const sizes = [1 / 16, 1 / 4, 1].map((size) => size * MiB);
  const { cpuMs, mapMs, notes } = forecast(
    triedIn(sizes.map((bytes) => roundOf(bytes, filesOf(bytes), timeOf(bytes)))),
  );
  const task = timeOf(24 * MiB);
  assert.ok(Math.abs(cpuMs.expected / (11 * task) - 1) < 0.05, `${cpuMs.expected}, not ${11 * task}`);
  assert.ok(Math.abs(mapMs.expected / (6 * 2 * task) - 1) < 0.05, `${mapMs.expected}, not ${12 * task}`);
  assert.ok(within(cpuMs, 11 * task) && within(mapMs, 12 * task));
  assert.match(notes.join(), /^A map task writes 3000 files or more/);
});
