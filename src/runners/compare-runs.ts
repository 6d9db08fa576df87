import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { inspect, isDeepStrictEqual } from "node:util";
import { equalValues } from "../base/equal-values.ts";
import { printValue } from "../base/print-value.ts";
import type { CommittedPart } from "../engine/events.ts";
import type { RunResult } from "../engine/run-result.ts";
import type { Key } from "../job/key.ts";

/** What is to be known of a collection to compare it. */
export interface ComparedCollection {
  readonly name: string;
  /** Its files follow the map tasks: they are not compared, what is in them is. */
  readonly mapOnly: boolean;
}

/** A result, printed and cut. */
export interface PrintedRecord {
  readonly key: string;
  readonly value: string;
}

/** One way in which two runs of a job do not agree; `first` and `other` are the runs. */
export type RunDifference =
  /** One has failed, or both have, otherwise. */
  | { readonly kind: "status"; readonly first: string; readonly other: string }
  /** A counter, or a number of records: "records read". null: there is no such counter. */
  | {
      readonly kind: "count";
      readonly name: string;
      readonly first: number | null;
      readonly other: number | null;
    }
  /** The first result that differs, in the order of the output. */
  | {
      readonly kind: "record";
      readonly collection: string;
      /** The file it is in; null where results are routed to files by name. */
      readonly part: string | null;
      /** Number of the result in its collection, from 0. */
      readonly index: number;
      /** The run that alone has its key, as far as that was seen; null: both have it, or nobody knows. */
      readonly onlyIn: "first" | "other" | null;
      /** null: that run has no more results. */
      readonly first: PrintedRecord | null;
      readonly other: PrintedRecord | null;
      /** Both values are the same but for what rounding does. */
      readonly isRounding: boolean;
    }
  /** Files differ where the results in them do not: the writer made other bytes of them. */
  | {
      readonly kind: "bytes";
      readonly part: string;
      /** Of the first byte that differs; null: only one of the runs has the file, whose name is told. */
      readonly offset: number | null;
      readonly onlyIn: "first" | "other" | null;
    };

/** A run that has ended, with `collect` and an output. */
export type ComparedRun = Pick<
  RunResult,
  "status" | "error" | "counters" | "stats" | "badRecords" | "parts" | "output" | "records"
>;

/**
 * Where two runs of one job differ: how they ended, counters and numbers of records, and of each collection
 * the first result, by the bytes of the output files; of map-only collections, whose files are cut where map
 * tasks are, by the results themselves. [] when they agree.
 */
export async function compareRuns(
  first: ComparedRun,
  other: ComparedRun,
  collections: readonly ComparedCollection[],
): Promise<RunDifference[]> {
  const [a, b] = [endOf(first), endOf(other)];
  if (a !== b) return [{ kind: "status", first: a, other: b }];
  if (first.status !== "SUCCEEDED") return [];
  const differences: RunDifference[] = [];
  for (const collection of collections) {
    const found = await compareCollection(first, other, collection);
    if (found !== null) differences.push(found);
  }
  return [...differences, ...countDifferences(first, other)];
}

function endOf({ status, error }: ComparedRun): string {
  return error === null ? status : `${status}: ${error.message} [${error.code}]`;
}

function countDifferences(first: ComparedRun, other: ComparedRun): RunDifference[] {
  const counts = (run: ComparedRun): Map<string, number> =>
    new Map([
      ["records read", run.stats.recordsIn],
      ["records written", run.stats.recordsOut],
      ["bad records", run.badRecords],
      ...Object.entries(run.counters).map(([name, value]) => [`counter ${name}`, value] as const),
    ]);
  const [a, b] = [counts(first), counts(other)];
  const names = [...new Set([...a.keys(), ...b.keys()])];
  return names
    .filter((name) => a.get(name) !== b.get(name))
    .map((name) => ({ kind: "count", name, first: a.get(name) ?? null, other: b.get(name) ?? null }));
}

async function compareCollection(
  first: ComparedRun,
  other: ComparedRun,
  { name, mapOnly }: ComparedCollection,
): Promise<RunDifference | null> {
  const of = (run: ComparedRun): CommittedPart[] => run.parts.filter(({ collection }) => collection === name);
  const [a, b] = [of(first), of(other)];
  const bytes = mapOnly ? routesDiffer(a, b) : await filesDiffer(first.output!, other.output!, a, b);
  if (bytes === null && !mapOnly) return null;
  const records = await firstRecord(first, other, name, mapOnly);
  if (records === null) return bytes;
  const parts = records.first === null ? b : a;
  return { kind: "record", collection: name, part: partAt(parts, records.index), ...records };
}

/** The first file that differs, in the order of their names. */
async function filesDiffer(
  directory: string,
  otherDirectory: string,
  first: readonly CommittedPart[],
  other: readonly CommittedPart[],
): Promise<RunDifference | null> {
  const [a, b] = [new Set(first.map(({ file }) => file)), new Set(other.map(({ file }) => file))];
  for (const part of [...new Set([...a, ...b])].sort()) {
    if (!a.has(part)) return { kind: "bytes", part, offset: null, onlyIn: "other" };
    if (!b.has(part)) return { kind: "bytes", part, offset: null, onlyIn: "first" };
    const offset = await firstByte(join(directory, part), join(otherDirectory, part));
    if (offset !== null) return { kind: "bytes", part, offset, onlyIn: null };
  }
  return null;
}

/** Of map-only output: the first name given by route() that does not have as many results in both runs. */
function routesDiffer(
  first: readonly CommittedPart[],
  other: readonly CommittedPart[],
): RunDifference | null {
  const sums = (parts: readonly CommittedPart[]): Map<string, number> => {
    const sum = new Map<string, number>();
    for (const { file, records } of parts) sum.set(dirname(file), (sum.get(dirname(file)) ?? 0) + records);
    return sum;
  };
  const [a, b] = [sums(first), sums(other)];
  for (const part of [...new Set([...a.keys(), ...b.keys()])].sort()) {
    const [inFirst, inOther] = [a.get(part) ?? 0, b.get(part) ?? 0];
    if (inFirst !== inOther)
      return { kind: "bytes", part, offset: null, onlyIn: inFirst > inOther ? "first" : "other" };
  }
  return null;
}

const CHUNK_BYTES = 1 << 20;

/** Offset of the first byte that differs; null when the files are equal. */
async function firstByte(path: string, otherPath: string): Promise<number | null> {
  const files = await Promise.all([open(path), open(otherPath)]);
  try {
    const buffers = files.map(() => Buffer.allocUnsafe(CHUNK_BYTES));
    for (let at = 0; ; at += CHUNK_BYTES) {
      const [a, b] = await Promise.all(
        files.map(async (file, index) => buffers[index]!.subarray(0, await fill(file, buffers[index]!, at))),
      );
      if (!a!.equals(b!)) {
        const end = Math.min(a!.length, b!.length);
        let same = 0;
        while (same < end && a![same] === b![same]) same++;
        return at + same;
      }
      if (a!.length < CHUNK_BYTES) return null;
    }
  } finally {
    for (const file of files) await file.close();
  }
}

/** Reads until the buffer is full or the file ends; how many bytes came. */
async function fill(file: Awaited<ReturnType<typeof open>>, buffer: Buffer, at: number): Promise<number> {
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length, at + length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return length;
}

type Pair = readonly [key: Key, value: unknown];
type FirstRecord = Pick<
  Extract<RunDifference, { kind: "record" }>,
  "index" | "onlyIn" | "first" | "other" | "isRounding"
>;

/** Results looked at behind the first that differ, for the key that one of the runs lacks. */
const LOOK_AHEAD = 1_000;

/** The first result that differs; null when all are equal. */
async function firstRecord(
  first: ComparedRun,
  other: ComparedRun,
  collection: string,
  mapOnly: boolean,
): Promise<FirstRecord | null> {
  const name = collection === "" ? undefined : collection;
  const [a, b] = [first.records(name)[Symbol.asyncIterator](), other.records(name)[Symbol.asyncIterator]()];
  try {
    for (let index = 0; ; index++) {
      const [x, y] = [await next(a), await next(b)];
      if (x === null && y === null) return null;
      if (x !== null && y !== null && isDeepStrictEqual(x, y)) continue;
      const isSameKey = x !== null && y !== null && isDeepStrictEqual(x[0], y[0]);
      const onlyIn = isSameKey || mapOnly ? null : await whoAloneHas([x, await some(a)], [y, await some(b)]);
      return { index, onlyIn, ...printed(x, y), isRounding: isSameKey && equalValues(x[1], y[1], ROUNDING) };
    }
  } finally {
    await a.return?.(undefined);
    await b.return?.(undefined);
  }
}

async function next(records: AsyncIterator<Pair>): Promise<Pair | null> {
  const { done, value } = await records.next();
  return done === true ? null : (value as Pair);
}

async function some(records: AsyncIterator<Pair>): Promise<Pair[]> {
  const pairs: Pair[] = [];
  for (let pair = await next(records); pair !== null; pair = await next(records)) {
    pairs.push(pair);
    if (pairs.length === LOOK_AHEAD) break;
  }
  return pairs;
}

/** Who has a key there that the other has not, by what comes next in both. */
function whoAloneHas(
  [x, restOfX]: readonly [Pair | null, readonly Pair[]],
  [y, restOfY]: readonly [Pair | null, readonly Pair[]],
): "first" | "other" | null {
  if (x === null) return "other";
  if (y === null) return "first";
  const comes = ([key]: Pair, pairs: readonly Pair[]): boolean =>
    pairs.some((pair) => isDeepStrictEqual(pair[0], key));
  const [xComes, yComes] = [comes(x, restOfY), comes(y, restOfX)];
  if (xComes === yComes) return null;
  return yComes ? "first" : "other";
}

const KEY_CHARS = 200;
const VALUE_CHARS = 300;
/** Before the place where two long values part, so much of them is shown. */
const BEFORE_CHARS = 60;
const LONG_CHARS = 100_000;

function printed(x: Pair | null, y: Pair | null): Pick<FirstRecord, "first" | "other"> {
  const [a, b] = [x, y].map((pair) => (pair === null ? "" : inFull(pair[1]))) as [string, string];
  let same = 0;
  while (same < a.length && same < b.length && a[same] === b[same]) same++;
  const start = x !== null && y !== null && same >= VALUE_CHARS ? same - BEFORE_CHARS : 0;
  const cut = (text: string): string => {
    const shown = text.slice(start, start + VALUE_CHARS);
    return `${start > 0 ? "…" : ""}${shown}${start + shown.length < text.length ? "…" : ""}`;
  };
  const show = (pair: Pair | null, text: string): PrintedRecord | null =>
    pair === null ? null : { key: printValue(pair[0], KEY_CHARS), value: cut(text) };
  return { first: show(x, a), other: show(y, b) };
}

/** Not cut anywhere: what differs may stand at the end. */
function inFull(value: unknown): string {
  if (typeof value !== "object" || value === null)
    return typeof value === "string" ? JSON.stringify(value) : printValue(value);
  const whole = { depth: 20, maxArrayLength: 10_000, maxStringLength: LONG_CHARS };
  return inspect(value, { ...whole, breakLength: Number.POSITIVE_INFINITY, compact: true });
}

/** What floats that were added in another order differ by, at most. */
const ROUNDING = 1e-9;

/** The file that has so many results of its collection before it; null where results are routed. */
function partAt(parts: readonly CommittedPart[], index: number): string | null {
  const depth = parts[0]?.collection === "" ? 1 : 2;
  if (parts.some(({ file }) => file.split("/").length !== depth)) return null;
  let before = 0;
  for (const { file, records } of parts) {
    before += records;
    if (index < before) return file;
  }
  return parts.at(-1)?.file ?? null;
}
