import { emptyStats, type TaskStats, type TaskSuccess } from "../task/task-spec.ts";
import {
  distinctKeys,
  exactly,
  extrapolate,
  makespan,
  marginal,
  type Point,
  type Range,
  sumOf,
  times,
} from "./extrapolate.ts";
import { type HotKeyShare, ShuffleTally, type Skew } from "./shuffle-tally.ts";
import { MANY_FILES, mapTimeOf, overMaps, timeOfAll, type Tried, warmUpOf } from "./tried.ts";

/** What a run of the job will take. Numbers of all of it, as ranges. */
export interface Forecast {
  readonly files: number;
  readonly bytes: number;
  readonly mapTasks: number;
  readonly reduceTasks: number;
  readonly workers: number;
  readonly tried: { readonly bytes: number; readonly records: number; readonly elapsedMs: number };
  readonly records: Range;
  /** The share of bad records; null: none was met. */
  readonly bad: { readonly share: Range; readonly example: string | null } | null;
  readonly elapsedMs: Range;
  readonly mapMs: Range;
  readonly reduceMs: Range;
  /** The tasks' sum, as in the result of a run. */
  readonly cpuMs: Range;
  readonly emitted: Range;
  readonly shuffleBytes: Range;
  /** Pairs that go through the shuffle: after combining. */
  readonly pairs: Range;
  readonly groups: Range;
  readonly recordsOut: Range;
  readonly bytesOut: Range;
  /** Sorted runs of a map task, on average: more than one for a collection means too little memory. */
  readonly runsPerTask: number;
  readonly partitions: Readonly<Record<string, number>>;
  readonly peakBytes: number;
  readonly hotKeys: readonly HotKeyShare[];
  readonly skew: readonly Skew[];
  /** Time of the longest map task. */
  readonly longestMapMs: number;
  /** Why it may be wrong. */
  readonly notes: readonly string[];
}

/** Groups as a share of pairs, from which on they are taken to grow together. */
const ALL_APART = 0.99;
/** Time is not known better than this. */
const TIME_SPREAD = 0.15;

/** What all of the job will take, after what parts of it have. */
export function forecast(tried: Tried): Forecast {
  const { plan, collections, workers, rounds, stretches } = tried;
  const last = rounds.at(-1)!;
  const sizes = plan.tasks.map.map((split) => ({ input: split.input ?? 0, size: split.bytes || 1 }));
  const ofMaps = (measure: (result: TaskSuccess) => number): Range => overMaps(tried, sizes, measure);
  const pairsOf = (result: TaskSuccess): number => result.pairs.reduce((sum, pairs) => sum + pairs, 0);
  const records = ofMaps(({ stats }) => stats.recordsIn);
  const pairs = ofMaps(pairsOf);
  const shuffleBytes = shuffleOf(tried, pairs, pairsOf);
  const mapTimes = sizes.map((task) => mapTimeOf(tried, task));
  const ends = (of: keyof Range): number =>
    makespan(
      mapTimes.map((time) => time[of]),
      workers,
    );
  const mapMs = times({ low: ends("low"), expected: ends("expected"), high: ends("high") }, 1, TIME_SPREAD);
  const groups = groupsOf(tried, pairs, records);
  const all = sumOf(groups);
  const shuffled = new ShuffleTally(plan.partitions);
  for (const { result } of last.maps) shuffled.add(result);
  const skew = shuffled.skew(collections);
  const reduceMs = reduceTime(tried, pairs, all, skew);
  const output = outputOf(tried, groups);
  const mapOut = {
    records: ofMaps(({ stats }) => stats.recordsOut),
    bytes: ofMaps(({ stats }) => stats.bytesOut),
  };
  const cpu = sumOf([
    overMaps(tried, sizes, ({ stats }) => stats.cpuMs, timeOfAll),
    times(
      reduceMs,
      cpuShare(last.reduces.map(({ result }) => result)) * Math.min(workers, plan.tasks.reduce.length),
    ),
  ]);
  const factor =
    pairs.expected /
    Math.max(
      1,
      last.maps.reduce((sum, { result }) => sum + pairsOf(result), 0),
    );
  const done = rounds.flatMap((round) => round.maps);
  return {
    files: plan.files,
    bytes: plan.bytes,
    mapTasks: plan.tasks.map.length,
    reduceTasks: plan.tasks.reduce.length,
    workers,
    tried: {
      bytes: statsSum([...stretches, ...done.map(({ result }) => result)], "bytesIn"),
      records: statsSum([...stretches, ...done.map(({ result }) => result)], "recordsIn"),
      elapsedMs: rounds.reduce((sum, round) => sum + round.elapsedMs, 0),
    },
    records,
    bad: badOf(tried),
    elapsedMs: sumOf([exactly(last.beforeMs + warmUpOf(tried)), mapMs, reduceMs]),
    mapMs,
    reduceMs,
    cpuMs: times(cpu, 1, TIME_SPREAD),
    emitted: ofMaps(({ stats }) => stats.emitted),
    shuffleBytes,
    pairs,
    groups: all,
    recordsOut: sumOf([mapOut.records, output.records]),
    bytesOut: sumOf([mapOut.bytes, output.bytes]),
    runsPerTask:
      statsSum(
        last.maps.map(({ result }) => result),
        "spills",
      ) / last.maps.length,
    partitions: Object.fromEntries(collections.map((name, index) => [name, plan.partitions[index]!])),
    peakBytes: tried.peakBytes,
    hotKeys: shuffled
      .hotKeys(collections)
      .map((hot) => ({ ...hot, values: Math.round(hot.values * factor) })),
    skew,
    longestMapMs: mapTimes.reduce((most, { expected }) => Math.max(most, expected), 0),
    notes: notesOf(tried, shuffleBytes),
  };
}

/** Bytes for each pair, beside what any run file takes: so the pairs say how it grows. */
function shuffleOf({ plan, rounds }: Tried, pairs: Range, pairsOf: (result: TaskSuccess) => number): Range {
  const points = rounds.map(({ maps }): Point => {
    const results = maps.map(({ result }) => result);
    const x = results.reduce((sum, result) => sum + pairsOf(result), 0) / maps.length;
    return { x, y: statsSum(results, "shuffleBytes") / maps.length };
  });
  const { each, fixed } = marginal(points);
  return sumOf([times(pairs, each), exactly(fixed * plan.tasks.map.length)]);
}

/** Groups of each collection. */
function groupsOf({ plan, rounds, stretches }: Tried, pairs: Range, records: Range): Range[] {
  // A stretch may have been left off before its end.
  const all = (records.expected * stretches.length) / Math.max(1, statsSum(stretches, "recordsIn"));
  return plan.partitions.map((_, collection) => {
    const ofRounds = rounds.map(({ maps, reduces }) => {
      const results = reduces.filter((one) => one.collection === collection).map(({ result }) => result);
      const x = maps.reduce((sum, { taken }) => sum + taken, 0);
      return { x, y: statsSum(results, "groups"), pairs: statsSum(results, "recordsIn") };
    });
    const last = ofRounds.at(-1)!;
    if (last.y === 0) return exactly(0);
    const read = extrapolate(ofRounds, plan.bytes || plan.tasks.map.length);
    // Stretches lie all over the input: they have the keys that come with time. Parts of splits are longer.
    const keys = stretches.map((stretch) => stretch.keys[collection] ?? []);
    const over = plan.bytes === 0 ? read : distinctKeys(keys, all);
    const most = Math.max(last.y, pairs.high);
    const low = Math.min(most, Math.max(last.y, over.low));
    // Where every pair is a group of its own, nothing says that it will not be so everywhere.
    const grown = last.y >= last.pairs * ALL_APART ? read.expected : Math.min(read.expected, over.expected);
    const expected = Math.min(most, Math.max(low, grown));
    return { low, expected, high: Math.min(most, Math.max(expected, read.high, over.high)) };
  });
}

/** A reduce takes its time for pairs that come in and groups that go out; more where partitions differ. */
function reduceTime(
  { plan, rounds, workers }: Tried,
  pairs: Range,
  groups: Range,
  skew: readonly Skew[],
): Range {
  const count = plan.tasks.reduce.length;
  const last = rounds.at(-1)!.reduces.map(({ result }) => result);
  if (count === 0 || last.length === 0) return exactly(0);
  const points = rounds.map(({ reduces }): Point => {
    const results = reduces.map(({ result }) => result);
    const units = statsSum(results, "recordsIn") + statsSum(results, "groups");
    return { x: units / count, y: statsSum(results, "elapsedMs") / count };
  });
  const { each: rate, fixed: idle } = marginal(points);
  const largest = Math.max(1, ...skew.map(({ ratio }) => ratio));
  const timeOf = (all: number): number => {
    const mean = (rate * all) / count;
    const first = Math.min(count, largest) * mean;
    const rest = count === 1 ? 0 : (rate * all - first) / (count - 1);
    return makespan(
      Array.from({ length: count }, (_, i) => idle + (i === 0 ? first : rest)),
      workers,
    );
  };
  const range = {
    low: timeOf(pairs.low + groups.low),
    expected: timeOf(pairs.expected + groups.expected),
    high: timeOf(pairs.high + groups.high),
  };
  return times(range, 1, TIME_SPREAD);
}

/** Results of a group, and bytes of a result, as the last round had them, and as they grew until then. */
function outputOf({ plan, rounds }: Tried, groups: readonly Range[]): { records: Range; bytes: Range } {
  const each = plan.partitions.map((_, collection) => {
    const points = rounds.flatMap(({ reduces }) => {
      const results = reduces.filter((one) => one.collection === collection).map(({ result }) => result);
      const [x, out, bytes] = (["groups", "recordsOut", "bytesOut"] as const).map((of) =>
        statsSum(results, of),
      );
      return x! > 0 ? [{ x: x!, out: out!, bytes: bytes! }] : [];
    });
    const last = points.at(-1);
    if (last === undefined) return { records: exactly(0), bytes: exactly(0) };
    const found = groups[collection]!;
    const records = times(found, last.out / last.x);
    const perResult = points.map(({ x, out, bytes }): Point => ({ x, y: bytes / Math.max(1, out) }));
    // What a result is made of may grow with its group.
    const size =
      perResult.length > 1
        ? extrapolate(perResult, Math.max(last.x, found.expected))
        : exactly(perResult[0]!.y);
    const bytes = {
      low: records.low * Math.min(size.low, last.bytes / Math.max(1, last.out)),
      expected: records.expected * size.expected,
      high: records.high * size.high,
    };
    return { records, bytes };
  });
  return { records: sumOf(each.map(({ records }) => records)), bytes: sumOf(each.map(({ bytes }) => bytes)) };
}

function badOf({ stretches, rounds, badExample }: Tried): Forecast["bad"] {
  // A stretch is left off where records are slow, and those that are bad come first.
  const maps = rounds.flatMap((round) => round.maps.map(({ result }) => result));
  const results = statsSum(maps, "badRecords") > 0 ? maps : stretches;
  const [bad, records] = [statsSum(results, "badRecords"), statsSum(results, "recordsIn")];
  if (bad === 0) return null;
  // Wilson's interval.
  const z2 = 1.96 ** 2;
  const centre = (bad + z2 / 2) / (records + z2);
  const half = (1.96 * Math.sqrt((bad * (records - bad)) / records + z2 / 4)) / (records + z2);
  const share = {
    low: Math.max(0, centre - half),
    expected: bad / records,
    high: Math.min(1, centre + half),
  };
  return { share, example: badExample };
}

function notesOf({ plan, rounds }: Tried, shuffleBytes: Range): string[] {
  const notes: string[] = [];
  const last = rounds.at(-1)!;
  const size = Math.max(0, ...last.maps.map(({ taken }) => taken));
  const largest = Math.max(0, ...plan.tasks.map.map(({ bytes }) => bytes));
  if (size < largest && shuffleBytes.high > shuffleBytes.low * 1.3) {
    notes.push(
      "Combining leaves fewer pairs the more a task reads, and no task was tried whole: the shuffle is a guess between its bounds.",
    );
  }
  const most = last.maps.reduce((all, { result }) => Math.max(all, result.parts.length), 0);
  if (size < largest && most >= MANY_FILES) {
    notes.push(
      `A map task writes ${most} files or more, and none was tried whole: what files take is hard to tell from what records take.`,
    );
  }
  const unsplit = plan.tasks.map.filter(({ pieces }) =>
    pieces.some((one) => one.kind === "file" && one.compression !== "none"),
  );
  if (unsplit.length > 0)
    notes.push("Compressed files were read from their beginning: what comes later in them was not seen.");
  return notes;
}

function cpuShare(results: readonly TaskSuccess[]): number {
  const elapsed = statsSum(results, "elapsedMs");
  return elapsed === 0 ? 0 : statsSum(results, "cpuMs") / elapsed;
}

function statsSum(results: readonly TaskSuccess[], of: keyof TaskStats): number {
  return results.reduce((sum, { stats }) => sum + (stats[of] ?? emptyStats[of]), 0);
}
