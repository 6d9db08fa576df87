import { AssertionError } from "node:assert";
import { SheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import type { Random } from "../base/random.ts";
import { seededRandom } from "../base/random.ts";
import { auxEntry, auxPathsOf, type TablePlan } from "../job/aux.ts";
import { plainKey } from "../job/descending.ts";
import type { Job } from "../job/job-plan.ts";
import { isPlainObject } from "../job/plain-data.ts";
import { isSource } from "../job/reader.ts";
import { findDifference } from "./compare-results.ts";
import type { EmittedPairs, Pair, PlacedRecord } from "./interpret-map.ts";
import type { ReduceWay, Results } from "./interpret.ts";
import { mapAll, plainWay, reduceAll } from "./interpret.ts";
import type { Counters } from "./user-code.ts";

/** Records, as a reader would give them; with a path if ctx.path matters. ctx.offset is their index. */
export type TestRecords =
  | Iterable<unknown>
  | AsyncIterable<unknown>
  | { readonly records: Iterable<unknown> | AsyncIterable<unknown>; readonly path?: string };

/** The records of the job's input; for a job with several inputs those of each by its name. */
export type TestInput = TestRecords | Readonly<Record<string, TestRecords>>;

export interface TestJobOptions {
  /** Decides splits, partitions, places to combine and orders. A failure tells it. Default 0. */
  readonly seed?: number;
  /** How many different ways to run the job, each of its own splits, partitions and so on. Default 20. */
  readonly rounds?: number;
  /**
   * Relative difference that numbers made by a free-form reduce may have: floats add up differently when they
   * are combined elsewhere. Results of aggregators must be equal. Default 1e-9; 0 for none.
   */
  readonly tolerance?: number;
  /**
   * True: a free-form reduce is held to not depend on the order of its values. Aggregators say so
   * themselves.
   */
  readonly orderFree?: boolean;
  /** Override the job's `params`, as `--set` does. */
  readonly params?: Readonly<Record<string, unknown>>;
  /**
   * Replace `aux` data by name: with what `ctx.aux` is to have, or, for a table, with a list of its rows.
   * Default: the job's own; files are read.
   */
  readonly aux?: Readonly<Record<string, unknown>>;
  /** The job file, which paths of its side data are relative to. Default: to the current directory. */
  readonly file?: string | URL;
}

export interface TestResult {
  /**
   * The results in key order (of a map-only job: in the order of its records); empty for a job with
   * collections.
   */
  readonly results: readonly Pair[];
  /** What ctx.count added up to, in a run over one split. */
  readonly counters: Readonly<Record<string, number>>;
  /** The results of each collection, by name. */
  readonly collections: Readonly<Record<string, readonly Pair[]>>;
}

/** What may not change the result, in the order it is tried; each with what to look for when it does. */
const SUSPECTS = {
  repeat: {
    what: "the result changes from run to run",
    hint: "Does the job use Math.random (ctx.random is seeded), the time, or keep state between runs?",
  },
  combine: {
    what: "the result depends on where values are combined",
    hint: "combine (or an aggregator's merge) must be associative, and take its own results like values.",
  },
  splits: {
    what: "the result depends on how the input is split",
    hint: "Does map keep state across records, or use ctx.random, ctx.task or ctx.index?",
  },
  partitions: {
    what: "the result depends on the number of partitions",
    hint: "Does reduce keep state across keys, or partition tear apart keys of one group?",
  },
  order: {
    what: "the result depends on the order of values",
    hint: "A commutative aggregator, and a job tested as orderFree, must take values in any order.",
  },
  together: {
    what: "the result depends on splits, partitions, combining and order together",
    hint: "Each alone changes nothing. Does combine depend on which map task it runs in?",
  },
} as const;

type Suspect = keyof typeof SUSPECTS;

/** testJob of sheaf/testing, but for the files of side data: all of it is given. */
export async function testOnRecords(
  job: Job,
  input?: TestInput,
  options: TestJobOptions = {},
): Promise<TestResult> {
  const { seed = 0, rounds = 20 } = options;
  const tested = prepare(job, options);
  const tasks = await readTasks(tested, input);
  const counters: Counters = new Map();
  const whole = await mapAll(tested, tasks, counters);
  // Of several inputs none has a task without records: it would not be known whose it is.
  const isTask = (records: readonly PlacedRecord[]): boolean => job.inputs.length === 0 || records.length > 0;
  // Generated input has the tasks it says; everything else can be cut anywhere.
  const splitAnew = (chance: Random): PlacedRecord[][] =>
    input === undefined ? tasks : tasks.flatMap((task) => split(task, chance)).filter(isTask);
  const plain = plainWay();
  const expected = await reduceAll(tested, whole, plainWay, counters);

  const check = async (
    suspect: Suspect,
    round: number,
    outputs: readonly EmittedPairs[],
    way: ReduceWay,
  ): Promise<void> => {
    const actual = await reduceAll(tested, outputs, way, new Map());
    compare(tested, expected, actual, options, { suspect, seed, round });
  };
  await check("repeat", 0, await mapAll(tested, tasks, new Map()), plainWay);
  const shuffles = (collection: number): boolean => canShuffle(tested, collection, options);
  // One suspect at a time first: what differs then is known by name.
  for (let round = 1; round <= rounds; round++) {
    const chance = seededRandom(`${seed}/${round}`);
    const partitions = 2 + chance.below(6);
    await check("combine", round, whole, () => ({ ...plain, random: chance, combine: true }));
    const outputs = await mapAll(tested, splitAnew(chance), new Map());
    await check("splits", round, outputs, () => ({ ...plain, random: chance }));
    await check("partitions", round, whole, () => ({ ...plain, random: chance, partitions }));
    await check("order", round, whole, (i) => ({ ...plain, random: chance, shuffle: shuffles(i) }));
  }
  for (let round = 1; round <= rounds; round++) {
    const chance = seededRandom(`${seed}/together/${round}`);
    const outputs = await mapAll(tested, splitAnew(chance), new Map());
    const partitions = 1 + chance.below(7);
    const way: ReduceWay = (i) => ({ partitions, random: chance, combine: true, shuffle: shuffles(i) });
    await check("together", round, outputs, way);
  }
  return resultOf(tested, expected, counters);
}

function prepare(job: Job, options: TestJobOptions): Job {
  const given = options.aux ?? {};
  const own = Object.entries(job.aux).map(([name, value]): [string, unknown] => {
    const entry = auxEntry(value);
    const isGiven = Object.hasOwn(given, name);
    if (!isGiven && auxPathsOf(entry).length > 0) {
      throw new SheafError("USAGE", `testJob: there is no content for aux.${name}`, {
        hint: `Give it: testJob(job, records, { aux: { ${name}: ... } }).`,
      });
    }
    const content = isGiven ? given[name] : value;
    return [name, entry.kind === "table" && Array.isArray(content) ? tableOf(name, entry, content) : content];
  });
  const aux = Object.fromEntries([...Object.entries(given), ...own]);
  return { ...job, aux, params: { ...job.params, ...options.params } };
}

/** The rows as the table has them: all, or by key. */
function tableOf(name: string, { key, duplicates }: TablePlan, rows: readonly unknown[]): unknown {
  if (key === undefined) return rows;
  const keyOf =
    typeof key === "function" ? key : (row: unknown) => (row as Record<string | number, unknown>)[key];
  const byKey = new Map<unknown, unknown[]>();
  for (const row of rows) byKey.set(keyOf(row), [...(byKey.get(keyOf(row)) ?? []), row]);
  const [twice] = [...byKey].find(([, some]) => some.length > 1) ?? [];
  if (duplicates === "error" && twice !== undefined) {
    throw new SheafError(
      "RECORD_INVALID",
      `testJob: two rows of aux.${name} have the key ${printValue(twice)}`,
      {
        hint: 'Say which counts: .by(..., { duplicates: "first" }), "last", or "list" for all of them.',
      },
    );
  }
  if (duplicates === "list") return byKey;
  return new Map([...byKey].map(([one, some]) => [one, duplicates === "last" ? some.at(-1) : some[0]]));
}

/** The records of each map task there would be without splitting. */
async function readTasks(job: Job, input: TestInput | undefined): Promise<PlacedRecord[][]> {
  if (job.inputs.length > 0) return readInputs(job.inputs, input);
  if (input === undefined) return generateTasks(job);
  return [await place(...recordsOf(input))];
}

async function readInputs(inputs: Job["inputs"], given: TestInput | undefined): Promise<PlacedRecord[][]> {
  const names = inputs.map(({ inputName }) => inputName);
  const byName: Readonly<Record<string, unknown>> = isPlainObject(given) ? given : {};
  const wrong =
    names.find((name) => !Object.hasOwn(byName, name)) ??
    Object.keys(byName).find((name) => !names.includes(name));
  if (wrong !== undefined) {
    const problem = names.includes(wrong) ? "there are no records for" : "the job has no";
    throw new SheafError("USAGE", `testJob: ${problem} input "${wrong}"`, {
      hint: `Give those of each: testJob(job, { ${names.map((name) => `${name}: [...]`).join(", ")} }).`,
    });
  }
  const tasks: PlacedRecord[][] = [];
  for (const [input, name] of names.entries()) {
    const placed = await place(...recordsOf(byName[name] as TestRecords));
    if (placed.length > 0) tasks.push(placed.map((one) => ({ ...one, input })));
  }
  return tasks;
}

function recordsOf(input: TestInput): [records: AsyncIterable<unknown>, path: string] {
  const isBare = typeof input === "object" && (Symbol.iterator in input || Symbol.asyncIterator in input);
  const { records, path = "records" } = isBare
    ? { records: input }
    : (input as { records: Iterable<unknown>; path?: string });
  const isList = typeof records === "object" && records !== null;
  if (!isList || !(Symbol.iterator in records || Symbol.asyncIterator in records)) {
    throw new SheafError("USAGE", `testJob: ${printValue(input)} is no list of records`, {
      hint: "Give an array of what the job's reader would make: testJob(job, ['a line', 'another']).",
    });
  }
  return [records as AsyncIterable<unknown>, path];
}

/** Records taken from each task of a source that ends by time, or by a condition. */
const OPEN_RECORDS = 1_000;

async function generateTasks(job: Job): Promise<PlacedRecord[][]> {
  const { input, params } = job;
  if (!isSource(input)) {
    throw new SheafError("USAGE", "testJob: there are no records", {
      hint: "Give them: testJob(job, [...]). Only a job whose input generates them can do without.",
    });
  }
  const tasks: PlacedRecord[][] = [];
  const { count, forMs, until } = input;
  const isOpen = forMs !== undefined || until !== undefined;
  for (let index = 0; index < input.tasks; index++) {
    const random = seededRandom(`${job.seed}/generate/${index}`);
    const { signal } = new AbortController();
    const context = { index, tasks: input.tasks, random: () => random.next(), params, signal };
    const share = count === undefined ? Infinity : Math.ceil((count - index) / input.tasks);
    const most = Math.min(share, isOpen ? OPEN_RECORDS : Infinity);
    tasks.push(await place(input.records(context) as AsyncIterable<unknown>, "", most));
  }
  return tasks;
}

async function place(
  records: AsyncIterable<unknown>,
  path: string,
  most: number = Infinity,
): Promise<PlacedRecord[]> {
  const placed: PlacedRecord[] = [];
  if (most <= 0) return placed;
  for await (const record of records) {
    placed.push({ record, path, offset: placed.length });
    if (placed.length >= most) break;
  }
  return placed;
}

/** Cuts the records at random places; some of the pieces are empty. */
function split(records: readonly PlacedRecord[], random: Random): PlacedRecord[][] {
  const cuts = Array.from({ length: random.below(6) }, () => random.below(records.length + 1));
  const bounds = [0, ...cuts.sort((a, b) => a - b), records.length];
  return bounds.slice(1).map((end, i) => records.slice(bounds[i], end));
}

function canShuffle(job: Job, collection: number, options: TestJobOptions): boolean {
  const { aggregator, reduce, groupBy } = job.collections[collection]!;
  if (aggregator !== undefined) return aggregator.commutative === true;
  return reduce !== undefined && groupBy === undefined && options.orderFree === true;
}

interface Trial {
  readonly suspect: Suspect;
  readonly seed: number;
  readonly round: number;
}

function compare(job: Job, expected: Results, actual: Results, options: TestJobOptions, trial: Trial): void {
  const { what, hint } = SUSPECTS[trial.suspect];
  for (const [i, { name, reduce, mapOnly }] of job.collections.entries()) {
    const tolerance = reduce === undefined ? 0 : (options.tolerance ?? 1e-9);
    const [wanted, got] = mapOnly ? [inOrder(expected[i]!), inOrder(actual[i]!)] : [expected[i]!, actual[i]!];
    const found = findDifference(wanted, got, tolerance);
    if (found === undefined) continue;
    const where = mapOnly
      ? `record ${printValue((found.key as readonly [number])[0])}`
      : `key ${printValue(found.key)}`;
    const collection = name === "" ? "" : `collection ${name}, `;
    const values = `in one piece ${printAll(found.expected)}, here ${printAll(found.actual)}`;
    const replay = `(seed ${trial.seed}, round ${trial.round})`;
    throw new AssertionError({
      message: `testJob: ${collection}${where}: ${what}: ${values}. ${hint} ${replay}`,
      actual: found.actual,
      expected: found.expected,
      operator: "testJob",
    });
  }
}

/** Results without a shuffle are compared by their place. */
function inOrder(results: readonly Pair[]): Pair[] {
  return results.map(([key, value], i) => [[i], [key, value]]);
}

function printAll(values: readonly unknown[]): string {
  return values.length === 0 ? "nothing" : values.map((value) => printValue(value)).join(", ");
}

/** Sorted by keys with desc(), and told with those that a writer would see. */
function plain(results: readonly Pair[]): Pair[] {
  return results.map(([key, value]) => [plainKey(key), value]);
}

function resultOf(job: Job, results: Results, counters: Counters): TestResult {
  return {
    results: job.named ? [] : plain(results[0]!),
    counters: Object.fromEntries(counters),
    collections: job.named
      ? Object.fromEntries(job.collections.map(({ name }, i) => [name, plain(results[i]!)]))
      : {},
  };
}
