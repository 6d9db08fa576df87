import { isUtf8 } from "node:buffer";
import { SheafError } from "../base/errors.ts";
import { jsonParser } from "../base/json-numbers.ts";
import { limits } from "../base/limits.ts";
import { printValue } from "../base/print-value.ts";
import { KEY_TAG } from "../codec/key-codec.ts";
import { LineSplitter } from "../exec/line-splitter.ts";
import { commandText, type ExecPlan } from "../job/exec.ts";
import { fieldRange, numberOrdinal, partitionOfFields } from "../job/key-fields.ts";
import type { Key } from "../job/key.ts";
import type { TaskMemory } from "../shuffle/memory.ts";
import type { Partitioning } from "../shuffle/partitioning.ts";
import { SortCollector } from "../shuffle/sort-collector.ts";
import { type PairReader, type PairTarget, PieceReader } from "./exec-pieces.ts";

/*
 * Pairs of a program's lines travel as keys and values that are strings (codec/), so that everything else
 * takes them for that; only their bytes need not be UTF-8 where no JavaScript reads them. With `sort` a key
 * is an array: what its stretches sort by, and at last the key.
 */

const NEWLINE = 10;
const VALUE_STRING = 6;

/** @param isText what the lines' bytes must be: true where JavaScript reads the pairs */
export function pairReader(
  plan: ExecPlan,
  target: PairTarget,
  memory: TaskMemory,
  isText: boolean,
): PairReader {
  if (plan.protocol !== "lines" && plan.protocol !== "json") return new PieceReader(plan, target);
  if (plan.protocol === "json") {
    const parse = jsonParser("fail", commandText(plan));
    return new LineReader(plan, target, (line) => takeJson(line, plan, parse, target), null);
  }
  if (target instanceof SortCollector && takesBytes(plan, isText)) {
    const into = new CollectedLines(plan, target, memory);
    return new LineReader(plan, target, null, (lines) => {
      if (isText) checkUtf8(lines, plan);
      into.take(lines);
    });
  }
  return new LineReader(plan, target, (line) => takeLine(line, plan, target, isText), null);
}

/** What takes keys that are encoded, and others. */
export interface KeyTarget extends PairTarget {
  encoded(key: Buffer): void;
}

/**
 * As pairReader(), of keys alone: each is encoded as that of its pair would be. With `sort` of the key only
 * what it sorts by, so that a bound of a total order parts none that are equal in that.
 */
export function keyReader(
  plan: ExecPlan,
  target: KeyTarget,
  memory: TaskMemory,
  isText: boolean,
): PairReader {
  if (plan.protocol !== "lines" || !takesBytes(plan, isText)) return pairReader(plan, target, memory, isText);
  const take = (line: Buffer): void => {
    const end = keyEnd(line, 0, line.length, plan);
    if (plan.sort !== undefined) return target.encoded(Buffer.concat(sortingParts(line, 0, end, plan)));
    target.encoded(Buffer.concat([Buffer.from([KEY_TAG.string]), line.subarray(0, end)]));
  };
  return new LineReader(plan, target, take, null);
}

/** Whether lines need not become strings on their way to a collector. */
function takesBytes({ values, invalid, sort }: ExecPlan, isText: boolean): boolean {
  // Keys that are sorted by their fields are lines in any case.
  return values === "text" && (invalid === "fail" || !isText || sort !== undefined);
}

class LineReader implements PairReader {
  readonly #lines: LineSplitter;
  readonly #output: PairTarget["output"];
  readonly #each: ((line: Buffer) => void) | null;
  readonly #all: ((lines: Buffer) => void) | null;

  /** Gives `each` line without its newline; where that is null, `all` of a stretch with theirs. */
  constructor(
    plan: ExecPlan,
    { output }: PairTarget,
    each: ((line: Buffer) => void) | null,
    all: ((lines: Buffer) => void) | null,
  ) {
    this.#lines = new LineSplitter(plan.recordBytesMax, commandText(plan));
    this.#output = output;
    this.#each = each;
    this.#all = all;
  }

  take(chunk: Buffer): Promise<void> | void {
    return this.#take(this.#lines.split(chunk), 0, 0);
  }

  end(): Promise<void> | void {
    const rest = this.#lines.rest();
    if (rest !== undefined) return this.#take([rest], 0, 0);
  }

  /** The stretches from `n` on, that one from `from` on. */
  #take(stretches: readonly Buffer[], n: number, from: number): Promise<void> | void {
    for (let at = from; n < stretches.length; n++, at = 0) {
      const lines = stretches[n]!;
      if (this.#each === null) {
        this.#all!(lines);
        continue;
      }
      while (at < lines.length) {
        const end = lines.indexOf(NEWLINE, at);
        this.#each(lines.subarray(at, end));
        at = end + 1;
        if (this.#output?.full === true) return this.#output.roll().then(() => this.#take(stretches, n, at));
      }
    }
  }
}

function eachLine(lines: Buffer, take: (line: Buffer) => void): void {
  for (let at = 0; at < lines.length;) {
    const end = lines.indexOf(NEWLINE, at);
    take(lines.subarray(at, end));
    at = end + 1;
  }
}

/** Where the key of a line ends: its separator, or the line's end when it has fewer fields. */
function keyEnd(lines: Buffer, start: number, end: number, { separator, keyFields }: ExecPlan): number {
  let at = start;
  for (let n = 0; n < keyFields; n++) {
    const found = separatorIn(lines, at, end, separator);
    if (found < 0) return end;
    if (n === keyFields - 1) return found;
    at = found + separator.length;
  }
  return end;
}

/** The first separator within [from, end); -1: there is none. indexOf() would search behind the line, too. */
function separatorIn(lines: Buffer, from: number, end: number, separator: Buffer): number {
  if (separator.length > 1) {
    const found = lines.indexOf(separator, from);
    return found < 0 || found + separator.length > end ? -1 : found;
  }
  const byte = separator[0];
  for (let at = from; at < end; at++) if (lines[at] === byte) return at;
  return -1;
}

function takeLine(line: Buffer, plan: ExecPlan, target: PairTarget, isText: boolean): void {
  const cut = keyEnd(line, 0, line.length, plan);
  const key = line.subarray(0, cut);
  const value = cut === line.length ? undefined : line.subarray(cut + plan.separator.length);
  if (plan.invalid === "bytes") {
    return target.emit(new Uint8Array(key), value === undefined ? undefined : new Uint8Array(value));
  }
  if (isText || plan.values === "number") checkUtf8(line, plan);
  const text = value?.toString("utf8");
  target.emit(key.toString("utf8"), plan.values === "number" ? numberOf(text, line, plan) : text);
}

function numberOf(text: string | undefined, line: Buffer, plan: ExecPlan): number {
  const number = text === undefined || text.trim() === "" ? Number.NaN : Number(text);
  const isRounded = Math.abs(number) > Number.MAX_SAFE_INTEGER && /^\s*[-+]?\d+\s*$/.test(text!);
  if (Number.isFinite(number) && !isRounded) return number;
  const what = `${commandText(plan)} has written ${printValue(line.toString("utf8"))}`;
  if (isRounded) {
    throw new SheafError("VALUE_INVALID", `${what}, whose value is beyond 2^53 and would be rounded`, {
      hint: 'Leave values: "number" of exec() out: the value is then a text, of which BigInt() makes all digits.',
    });
  }
  throw new SheafError("VALUE_INVALID", `${what}, whose value is no number`, {
    hint: 'Write KEY, a tab and a number, or leave values: "number" of exec() out.',
  });
}

function takeJson(line: Buffer, plan: ExecPlan, parse: (text: string) => unknown, target: PairTarget): void {
  checkUtf8(line, plan);
  const text = line.toString("utf8");
  let pair: unknown;
  try {
    pair = parse(text);
  } catch (cause) {
    throw notAPair(text, plan, cause);
  }
  if (!Array.isArray(pair) || pair.length < 1 || pair.length > 2) throw notAPair(text, plan);
  target.emit(pair[0] as Key, pair[1]);
}

function notAPair(text: string, plan: ExecPlan, cause?: unknown): SheafError {
  const why = cause instanceof Error ? ` (${cause.message})` : "";
  const message = `${commandText(plan)} has written ${printValue(text)}, which is no pair${why}`;
  return new SheafError("VALUE_INVALID", message, {
    hint: 'With protocol: "json" each line is [key, value], or [key]. What is for people goes to standard error.',
    cause,
  });
}

/** @throws SheafError VALUE_INVALID */
function checkUtf8(lines: Buffer, plan: ExecPlan): void {
  if (isUtf8(lines)) return;
  let wrong = lines;
  eachLine(lines.at(-1) === NEWLINE ? lines : Buffer.concat([lines, Buffer.from("\n")]), (line) => {
    if (wrong === lines && !isUtf8(line)) wrong = line;
  });
  const message = `${commandText(plan)} has written a line that is not UTF-8: ${printValue(wrong.toString("latin1"))}`;
  throw new SheafError("VALUE_INVALID", message, {
    hint:
      'JavaScript reads it here: let the program write UTF-8, or give exec() invalid: "bytes" for Uint8Arrays. ' +
      "From program to program all bytes pass.",
  });
}

/** Puts lines into a collector without making strings of them. */
class CollectedLines {
  readonly #plan: ExecPlan;
  readonly #collector: SortCollector;
  readonly #memory: TaskMemory;
  readonly #partitioning: Partitioning;
  readonly #simple: number;

  constructor(plan: ExecPlan, collector: SortCollector, memory: TaskMemory) {
    this.#plan = plan;
    this.#collector = collector;
    this.#memory = memory;
    this.#partitioning = collector.partitioning;
    this.#simple = plan.separator.length === 1 && plan.keyFields === 1 ? plan.separator[0]! : -1;
  }

  take(lines: Buffer): void {
    const simple = this.#simple;
    const skip = this.#plan.separator.length;
    for (let at = 0; at < lines.length;) {
      let cut = -1;
      let end = at;
      if (simple >= 0) {
        for (let byte = lines[end]!; byte !== NEWLINE; byte = lines[++end]!) {
          if (byte === simple && cut < 0) cut = end;
        }
        if (cut < 0) cut = end;
      } else {
        end = lines.indexOf(NEWLINE, at);
        cut = keyEnd(lines, at, end, this.#plan);
      }
      this.#add(lines, at, cut, cut === end ? -1 : cut + skip, end);
      at = end + 1;
    }
  }

  /** @param valueAt -1: there is no value */
  #add(lines: Buffer, keyAt: number, keyEndAt: number, valueAt: number, end: number): void {
    const { sort } = this.#plan;
    if (keyEndAt - keyAt >= limits.keyBytesMax) throw tooLongAKey(keyEndAt - keyAt, this.#plan);
    const sorted = sort === undefined ? undefined : sortingKey(lines, keyAt, keyEndAt, this.#plan);
    const keyLength = sorted === undefined ? keyEndAt - keyAt + 1 : sorted.length;
    const content = valueAt < 0 ? 0 : end - valueAt;
    const valueLength = valueAt < 0 ? 0 : 1 + varintLength(content) + content;
    let to = this.#collector.room(keyLength, valueLength);
    const { bytes } = this.#memory;
    if (valueAt >= 0) {
      bytes[to++] = VALUE_STRING;
      for (let rest = content; ; rest >>>= 7) {
        bytes[to++] = rest < 0x80 ? rest : (rest & 0x7f) | 0x80;
        if (rest < 0x80) break;
      }
      copyTo(bytes, to, lines, valueAt, end);
      to += content;
    }
    if (sorted === undefined) {
      bytes[to] = KEY_TAG.string;
      copyTo(bytes, to + 1, lines, keyAt, keyEndAt);
    } else sorted.copy(bytes, to);
    this.#collector.added(keyLength, valueLength, this.#partition(lines, keyAt, keyEndAt, to, keyLength));
  }

  #partition(lines: Buffer, from: number, to: number, keyAt: number, keyLength: number): number {
    const partitioning = this.#partitioning;
    if (partitioning.kind !== "each") return 0;
    const { sort, partitionBy, keySeparator } = this.#plan;
    if (sort !== undefined || partitionBy !== undefined)
      return partitionOfFields(lines, from, to, partitionBy, keySeparator, partitioning.partitions);
    return partitioning.choose(this.#memory, keyAt, keyLength, lines.toString("utf8", from, to));
  }
}

/** Short stretches byte by byte: a call of copy() costs more. */
export function copyTo(target: Buffer, at: number, source: Buffer, from: number, to: number): void {
  if (to - from > 40) source.copy(target, at, from, to);
  else for (let i = from, out = at; i < to; i++) target[out++] = source[i]!;
}

function varintLength(value: number): number {
  return value < 1 << 7 ? 1 : value < 1 << 14 ? 2 : value < 1 << 21 ? 3 : value < 1 << 28 ? 4 : 5;
}

function tooLongAKey(bytes: number, plan: ExecPlan): SheafError {
  const message = `${commandText(plan)} has written a key of ${bytes} bytes; ${limits.keyBytesMax} are the most`;
  return new SheafError("KEY_INVALID", message, {
    hint: "A line without a separator is all key: write KEY, a tab and the value.",
  });
}

/** The encoding of the array: what each stretch sorts by, then the key, which decides between equals. */
function sortingKey(lines: Buffer, from: number, to: number, plan: ExecPlan): Buffer {
  const key = escaped(KEY_TAG.string, lines.subarray(from, to));
  return Buffer.concat([...sortingParts(lines, from, to, plan), key]);
}

/** All of it but for the key. */
function sortingParts(lines: Buffer, from: number, to: number, plan: ExecPlan): Buffer[] {
  const parts: Buffer[] = [Buffer.from([KEY_TAG.array])];
  for (const field of plan.sort!) {
    const [start, end] = fieldRange(lines, from, to, field, plan.keySeparator);
    const raw = lines.subarray(start, end);
    const element = escaped(KEY_TAG.bytes, field.numeric ? numberOrdinal(raw.toString("latin1")) : raw);
    if (!field.reverse) {
      parts.push(element);
      continue;
    }
    for (let i = 0; i < element.length; i++) element[i] = element[i]! ^ 0xff;
    parts.push(Buffer.from([KEY_TAG.descending]), element);
  }
  return parts;
}

/** An element of an array key: its tag, the bytes with 00 as 00 ff, and 00 00. */
function escaped(tag: number, raw: Buffer): Buffer {
  const element = Buffer.allocUnsafe(raw.length * 2 + 3);
  element[0] = tag;
  let at = 1;
  for (const byte of raw) {
    element[at++] = byte;
    if (byte === 0) element[at++] = 0xff;
  }
  element[at++] = 0;
  element[at++] = 0;
  return element.subarray(0, at);
}
