import { SheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import { suggest } from "../base/suggest.ts";
import { LineSplitter } from "../exec/line-splitter.ts";
import { commandText, type ExecPlan } from "../job/exec.ts";
import type { PairReader } from "./exec-pieces.ts";

const NEWLINE = 10;
/** The beginning of a line of JSON up to behind the name. */
const JSON_NAME = /^[ \t]*\[[ \t]*"([^"\\]*)"[ \t]*,/;
const BRACKET = Buffer.from("[");

/**
 * Takes the pairs of a program whose job has collections. Each line begins with the name of its collection:
 * a field before the key, or the first element of the list. What follows is for that collection's reader.
 */
export class NamedPairs implements PairReader {
  readonly #plan: ExecPlan;
  readonly #lines: LineSplitter;
  readonly #places: ReadonlyMap<string, { readonly reader: PairReader; pieces: Buffer[] }>;

  /** @param readers by the name of their collection */
  constructor(plan: ExecPlan, readers: ReadonlyMap<string, PairReader>) {
    this.#plan = plan;
    this.#lines = new LineSplitter(plan.recordBytesMax, commandText(plan));
    this.#places = new Map([...readers].map(([name, reader]) => [name, { reader, pieces: [] }]));
  }

  async take(chunk: Buffer): Promise<void> {
    for (const lines of this.#lines.split(chunk)) await this.#hand(lines);
  }

  async end(): Promise<void> {
    const rest = this.#lines.rest();
    if (rest !== undefined) await this.#hand(rest);
    for (const { reader } of this.#places.values()) await reader.end();
  }

  async #hand(lines: Buffer): Promise<void> {
    const isJson = this.#plan.protocol === "json";
    for (let at = 0; at < lines.length;) {
      const end = lines.indexOf(NEWLINE, at);
      const [name, from] = isJson ? jsonName(lines, at, end) : this.#fieldName(lines, at, end);
      const place = this.#places.get(name);
      if (place === undefined || from < 0) throw this.#noCollection(name, lines.subarray(at, end));
      if (isJson) place.pieces.push(BRACKET);
      place.pieces.push(lines.subarray(from, end + 1));
      at = end + 1;
    }
    for (const place of this.#places.values()) {
      if (place.pieces.length === 0) continue;
      const own = Buffer.concat(place.pieces);
      place.pieces = [];
      await place.reader.take(own);
    }
  }

  /** @returns from where the rest of the line is; -1: there is none */
  #fieldName(lines: Buffer, at: number, end: number): [name: string, from: number] {
    const { separator } = this.#plan;
    const found = lines.indexOf(separator, at);
    if (found < 0 || found + separator.length > end) return [lines.toString("utf8", at, end), -1];
    return [lines.toString("utf8", at, found), found + separator.length];
  }

  #noCollection(name: string, line: Buffer): SheafError {
    const names = [...this.#places.keys()];
    const near = suggest(name, names);
    const form = this.#plan.protocol === "json" ? "[NAME, KEY, VALUE]" : "NAME, a tab, KEY, a tab, VALUE";
    const what = `${commandText(this.#plan)} has written ${printValue(line.toString("utf8"))}`;
    return new SheafError("VALUE_INVALID", `${what}, which is for no collection of the job`, {
      hint:
        `Each line is ${form}, and the collections are ${names.join(", ")}.` +
        (near === undefined || near === name ? "" : ` Did you mean ${near}?`),
    });
  }
}

function jsonName(lines: Buffer, at: number, end: number): [name: string, from: number] {
  const [begin, name] = JSON_NAME.exec(lines.toString("latin1", at, end)) ?? [];
  return begin === undefined
    ? [lines.toString("utf8", at, end), -1]
    : [Buffer.from(name!, "latin1").toString("utf8"), at + begin.length];
}
