import { fromSquareUnits, toUnits, UNIT_BITS } from "../aggregate/exact-ratio.ts";
import { SheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import { javaDouble } from "../format/java-number.ts";

/*
 * What `-reducer aggregate` of Hadoop Streaming does: keys say how their values come together,
 * "LongValueSum:word" TAB "1" (org.apache.hadoop.mapred.lib.aggregate).
 */

interface Folding {
  /** Values become fewer that come to the same: strings again. */
  combine(values: Iterable<string>): Iterable<string>;
  /** What is written for the key. */
  report(values: Iterable<string>): string;
}

function single(fold: (values: Iterable<string>) => string): Folding {
  return { combine: (values) => [fold(values)], report: fold };
}

/** @throws SheafError VALUE_INVALID */
function long(text: string): bigint {
  const digits = text.trim();
  if (/^[+-]?\d+$/.test(digits)) return BigInt(digits.replace(/^\+/, ""));
  throw notA("an integer", text);
}

function double(text: string): number {
  const number = text.trim() === "" ? Number.NaN : Number(text);
  if (!Number.isNaN(number)) return number;
  throw notA("a number", text);
}

function notA(what: string, text: string): SheafError {
  return new SheafError("VALUE_INVALID", `-reducer aggregate: ${printValue(text)} is not ${what}`, {
    hint: "The map writes KIND:KEY, a tab and the value: LongValueSum:word, a tab and 1.",
  });
}

function most<T>(values: Iterable<string>, read: (text: string) => T, isBetter: (a: T, b: T) => boolean): T {
  let best: T | undefined;
  for (const value of values) {
    const one = read(value);
    if (best === undefined || isBetter(one, best)) best = one;
  }
  return best!;
}

const text = (value: string): string => value;

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** Counts of values: a value may bring its own, behind a tab. */
function counts(values: Iterable<string>): Map<string, bigint> {
  const found = new Map<string, bigint>();
  for (const value of values) {
    const tab = value.lastIndexOf("\t");
    const [name, by] = tab < 0 ? [value, 1n] : [value.slice(0, tab), long(value.slice(tab + 1))];
    found.set(name, (found.get(name) ?? 0n) + by);
  }
  return found;
}

/** Number of values, least, median, greatest and mean count, and the deviation of counts. */
function histogram(values: Iterable<string>): string {
  const sorted = [...counts(values).values()].map(Number).sort((a, b) => a - b);
  const mean = sorted.reduce((sum, count) => sum + count, 0) / sorted.length;
  const variance = sorted.reduce((sum, count) => sum + (count - mean) ** 2, 0) / sorted.length;
  const [least, median, greatest] = [sorted[0], sorted[Math.floor(sorted.length / 2)], sorted.at(-1)];
  return [sorted.length, least, median, greatest, javaDouble(mean), javaDouble(Math.sqrt(variance))].join(
    "\t",
  );
}

function longSum(values: Iterable<string>): bigint {
  let sum = 0n;
  for (const value of values) sum += long(value);
  return sum;
}

/** A sum of doubles without rounding, so that neither their order nor a combiner shows in it. */
interface ExactSum {
  /** Of the finite ones, in 2^-1074. */
  readonly units: bigint;
  readonly infinities: ReadonlySet<number>;
}

function exactSum(values: Iterable<string>): ExactSum {
  let units = 0n;
  const infinities = new Set<number>();
  for (const value of values) {
    const number = double(value);
    if (Number.isFinite(number)) units += toUnits(number);
    else infinities.add(number);
  }
  return { units, infinities };
}

function roundedSum({ units, infinities }: ExactSum): number {
  const size = units < 0n ? -units : units;
  const rounded = size === 0n ? 0 : fromSquareUnits(size << UNIT_BITS, 1n);
  let sum = units < 0n ? -rounded : rounded;
  for (const infinity of infinities) sum += infinity;
  return sum;
}

/** Few doubles that have this sum. */
function doublesOf({ units, infinities }: ExactSum): string[] {
  const doubles = [...infinities];
  for (let rest = units; rest !== 0n;) {
    const rounded = roundedSum({ units: rest, infinities: new Set() });
    const next = Math.max(-Number.MAX_VALUE, Math.min(rounded, Number.MAX_VALUE));
    doubles.push(next);
    rest -= toUnits(next);
  }
  return (doubles.length === 0 ? [0] : doubles).map(String);
}

const foldings: Readonly<Record<string, Folding>> = {
  LongValueSum: single((values) => String(longSum(values))),
  DoubleValueSum: {
    combine: (values) => doublesOf(exactSum(values)),
    report: (values) => javaDouble(roundedSum(exactSum(values))),
  },
  LongValueMax: single((values) => String(most(values, long, (a, b) => a > b))),
  LongValueMin: single((values) => String(most(values, long, (a, b) => a < b))),
  StringValueMax: single((values) => most(values, text, (a, b) => byBytes(a, b) > 0)),
  StringValueMin: single((values) => most(values, text, (a, b) => byBytes(a, b) < 0)),
  UniqValueCount: {
    combine: (values) => new Set(values),
    report: (values) => String(new Set(values).size),
  },
  ValueHistogram: {
    combine: (values) => [...counts(values)].map(([value, count]) => `${value}\t${count}`),
    report: histogram,
  },
};

/** @throws SheafError VALUE_INVALID */
function foldingOf(key: string): { readonly folding: Folding; readonly id: string } {
  const at = key.indexOf(":");
  const kind = at < 0 ? key : key.slice(0, at);
  if (at >= 0 && Object.hasOwn(foldings, kind)) return { folding: foldings[kind]!, id: key.slice(at + 1) };
  throw new SheafError("VALUE_INVALID", `-reducer aggregate: ${printValue(key)} names no aggregation`, {
    hint: `Keys begin with one of these and a colon: ${Object.keys(foldings).join(", ")}.`,
  });
}

function* texts(values: Iterable<string | undefined>): Generator<string> {
  for (const value of values) yield value ?? "";
}

/** A combine function for such pairs. */
export function* combineValues(key: string, values: Iterable<string | undefined>): Generator<string> {
  yield* foldingOf(key).folding.combine(texts(values));
}

/** What is written for such a key: its name without the kind, and the report. */
export function reduceValues(
  key: string,
  values: Iterable<string | undefined>,
): [key: string, value: string] {
  const { folding, id } = foldingOf(key);
  return [id, folding.report(texts(values))];
}
