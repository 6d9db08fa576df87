import type { Split } from "../task/split.ts";
import type { TaskSuccess } from "../task/task-spec.ts";
import { exactly, extrapolate, marginalTime, type Point, type Range, sumOf, times } from "./extrapolate.ts";
import type { JobPlan } from "./plan-job.ts";

/** A map task that was tried on the beginning of its split. */
export interface TriedMap {
  readonly split: Split;
  /** Bytes of its split that it read, as they lie on disk; 1 of a generated one that came to its end. */
  readonly taken: number;
  readonly result: TaskSuccess;
}

/** A run of the job's own tasks over parts of its input. */
export interface TriedRound {
  readonly maps: readonly TriedMap[];
  readonly reduces: readonly { readonly collection: number; readonly result: TaskSuccess }[];
  /** Time of loading, planning and sampling, which any run of the job takes, too. */
  readonly beforeMs: number;
  readonly elapsedMs: number;
}

/** All that was tried. */
export interface Tried {
  readonly plan: JobPlan;
  readonly collections: readonly string[];
  readonly workers: number;
  /** Keys of stretches all over the input, by collection. */
  readonly stretches: readonly TaskSuccess[];
  /** From small parts to large ones. */
  readonly rounds: readonly TriedRound[];
  /** The greatest memory of this process meanwhile. */
  readonly peakBytes: number;
  /** Of the first bad record that was met. */
  readonly badExample: string | null;
}

/** Files of a map task, from which on they take a noteworthy part of its time. */
export const MANY_FILES = 64;
/** How much two tasks of the same size differ, as a share, where only one was tried. */
const UNKNOWN_SPREAD = 0.15;

/** What code takes to get going, on each worker at the same time. */
export function warmUpOf({ rounds }: Tried): number {
  return warmUp(rounds.map(({ maps }) => meanPoint(maps, ({ stats }) => stats.elapsedMs)));
}

/** Where a task opens many files, what does not grow with its bytes is theirs, and not told apart. */
function warmUp(points: readonly TaskPoint[]): number {
  return points.at(-1)!.files < MANY_FILES ? marginalTime(points).fixed : 0;
}

interface PlannedTask {
  readonly input: number;
  readonly size: number;
}

/** What a mean task of a round has shown at its size. */
interface TaskPoint extends Point {
  /** That it has written. */
  readonly files: number;
}

/** What tasks of these sizes come to together, from what was measured of others. */
type Carry = (points: readonly TaskPoint[], sizes: readonly number[], workers: number) => Range;

const alongCurve: Carry = (points, sizes) => sumOf(sizes.map((size) => extrapolate(points, size)));

/** Each task takes its time, however many come before it; code gets going once on each worker. */
export const timeOfAll: Carry = (points, sizes, workers) =>
  sumOf([
    ...sizes.map((size) => taskTime(points, size)),
    exactly(warmUp(points) * Math.min(workers, sizes.length)),
  ]);

/** A sum over all map tasks, of what was measured of those tried, by the input they read. */
export function overMaps(
  { rounds, workers }: Tried,
  tasks: readonly PlannedTask[],
  measure: (result: TaskSuccess) => number,
  carry: Carry = alongCurve,
): Range {
  const inputs = [...new Set(tasks.map(({ input }) => input))];
  return sumOf(
    inputs.map((input) => {
      const of = rounds.map(({ maps }) => maps.filter(({ split }) => (split.input ?? 0) === input));
      const points = of.filter((maps) => maps.length > 0).map((maps) => meanPoint(maps, measure));
      if (points.length === 0) return exactly(0);
      const last = of.findLast((maps) => maps.length > 0)!;
      const own = tasks.filter((one) => one.input === input);
      const isAll = last.length === own.length && last.every(({ result }) => result.taken?.isWhole === true);
      if (isAll && last.every(({ split, taken }, i) => split.bytes === 0 || taken === own[i]!.size))
        return exactly(last.reduce((sum, { result }) => sum + measure(result), 0));
      const all = carry(
        points,
        own.map(({ size }) => size),
        workers,
      );
      return times(all, 1, spreadOf(last, measure));
    }),
  );
}

function meanPoint(maps: readonly TriedMap[], measure: (result: TaskSuccess) => number): TaskPoint {
  const sum = (of: (map: TriedMap) => number): number => maps.reduce((all, map) => all + of(map), 0);
  return {
    x: sum(({ taken }) => taken) / maps.length,
    y: sum(({ result }) => measure(result)) / maps.length,
    files: sum(({ result }) => result.parts.length) / maps.length,
  };
}

/** Two standard errors of the mean per byte, as a share of it. */
function spreadOf(maps: readonly TriedMap[], measure: (result: TaskSuccess) => number): number {
  const rates = maps.map(({ taken, result }) => measure(result) / Math.max(1, taken));
  const mean = rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
  if (rates.length < 2 || mean === 0) return mean === 0 ? 0 : UNKNOWN_SPREAD;
  const variance = rates.reduce((sum, rate) => sum + (rate - mean) ** 2, 0) / (rates.length - 1);
  return Math.min(1, (2 * Math.sqrt(variance / rates.length)) / mean);
}

/** What a task takes, as those of its input have; what code takes to get going is paid once, not in each. */
export function mapTimeOf({ rounds }: Tried, { input, size }: PlannedTask): Range {
  const points = rounds.flatMap(({ maps }): TaskPoint[] => {
    const own = maps.filter(({ split }) => (split.input ?? 0) === input);
    return own.length === 0 ? [] : [meanPoint(own, ({ stats }) => stats.elapsedMs)];
  });
  return points.length === 0 ? exactly(0) : taskTime(points, size);
}

/**
 * What a task of a size takes. Each byte takes its time; where a task writes many files, so does each of
 * these, and in a small part there is one for nearly every record: what belongs to which is told apart by the
 * last two sizes, and the truth lies between all of it being the files' and all of it the bytes'.
 */
function taskTime(points: readonly TaskPoint[], size: number): Range {
  const [before, last] = [points.at(-2), points.at(-1)!];
  const ofBytes = marginalTime(points).each * size;
  if (before === undefined || last.files < MANY_FILES) return exactly(ofBytes);
  const files = extrapolate(
    points.map(({ x, files: y }) => ({ x, y })),
    size,
  ).expected;
  const ofFiles = (last.y / last.files) * files;
  const apart = last.x * before.files - before.x * last.files;
  const byte = apart > 0 ? Math.max(0, (last.y * before.files - before.y * last.files) / apart) : 0;
  const both = byte * size + (Math.max(0, last.y - byte * last.x) / last.files) * files;
  const low = Math.min(ofFiles, ofBytes);
  return { low, expected: Math.min(ofBytes, Math.max(low, both)), high: ofBytes };
}
