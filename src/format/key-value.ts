import { SheafError } from "../base/errors.ts";
import type { Reader } from "../job/reader.ts";
import { MappedLines, type LineOptions } from "./mapped-lines.ts";
import { lineEndOf, lineFraming, lineLimits } from "./text-reader.ts";

export interface KeyValueOptions extends LineOptions {
  /** Default "fail". */
  readonly invalid?: "fail" | "replace";
  /** Default a tab. */
  readonly separator?: string;
}

/**
 * One [key, value] pair per line, cut at the first separator; a line without one is a key with the value "".
 * Nothing is unescaped.
 */
export function keyValue(options: KeyValueOptions = {}): Reader<readonly [key: string, value: string]> {
  const separator = options.separator ?? "\t";
  if (separator === "" || separator.includes("\n")) {
    throw new SheafError("JOB_INVALID", `keyValue: the separator cannot be ${JSON.stringify(separator)}`, {
      hint: 'Give the text between key and value, such as "=" or ": ".',
    });
  }
  const lineEnd = lineEndOf(options, "keyValue");
  const pair = (line: string): readonly [string, string] => {
    const at = line.indexOf(separator);
    return at === -1 ? [line, ""] : [line.slice(0, at), line.slice(at + separator.length)];
  };
  return {
    kind: "keyValue",
    framing: lineFraming(lineEnd),
    ...lineLimits(options),
    decoder: (context) => new MappedLines(context, options, "", pair),
  };
}
