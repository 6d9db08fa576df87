import { type BigIntegers, jsonParser } from "../base/json-numbers.ts";
import type { Reader } from "../job/reader.ts";
import { atOnce } from "./columns.ts";
import { MappedLines, SKIP, type LineOptions, type TextReaderOptions } from "./mapped-lines.ts";
import { lineEndOf, lineFraming, lineLimits } from "./text-reader.ts";

export interface JsonReaderOptions<T> extends TextReaderOptions {
  /** Default "fail". */
  readonly invalid?: "fail" | "replace";
  /**
   * Checks or converts each parsed value; what it throws makes the record a bad one. Default: taken as it is.
   */
  readonly parse?: (value: unknown) => T;
  /**
   * What integers beyond 2^53 - 1 become, wherever in a record: "bigint", "string" (their digits), "number"
   * (rounded to a double), or "fail" (default): the record is bad. `parse` gets them so.
   */
  readonly bigints?: BigIntegers;
}

/**
 * One JSON value per line; blank lines are skipped. The type of the records is that of `parse`, or, without
 * one, whatever the job says it is (`jsonl<Visit>()`): nothing checks it then.
 */
export function jsonlReader<T = unknown>(options: JsonReaderOptions<T> & LineOptions = {}): Reader<T> {
  const { parse } = options;
  const lineEnd = lineEndOf(options, "jsonl");
  const parseJson = jsonParser(options.bigints ?? "fail", "jsonl");
  const parsed = (line: string): unknown => {
    try {
      return parseJson(line);
    } catch (error) {
      throw error instanceof SyntaxError ? severalLines(line, error) : error;
    }
  };
  const record = (line: string): T | typeof SKIP => {
    if (line.trim() === "") return SKIP;
    const value = parsed(line);
    return parse === undefined ? (value as T) : atOnce(parse(value), "parse");
  };
  return {
    kind: "jsonl",
    framing: lineFraming(lineEnd),
    ...lineLimits(options),
    decoder: (context) => new MappedLines(context, options, JSON_HINT, record),
  };
}

/** The error of a line that looks like the beginning of a value over several lines. */
function severalLines(line: string, error: SyntaxError): Error {
  if (!/^\s*\[\s*($|[[{"])|^\s*\{\s*$/.test(line)) return error;
  const what = line.trim().startsWith("[") ? "of a JSON array" : "of a JSON value";
  return new Error(
    `${error.message}; this looks like the first line ${what} over several lines: jsonArray() reads the elements ` +
      "of one array, jsonl() one value a line",
    { cause: error },
  );
}

export const JSON_HINT = "Correct the record, or set such records aside with --max-bad.";
