import { isUtf8 } from "node:buffer";
import { SheafError } from "../base/errors.ts";
import type { BadRecord, DecodeContext } from "../job/reader.ts";
import { quotePath } from "../storage/fs-error.ts";

/**
 * What a reader does with bytes that are not UTF-8:
 * - "fail": the record is bad (RECORD_INVALID);
 * - "replace": each wrong sequence becomes U+FFFD, so different bytes may become the same text;
 * - "bytes": nothing is decoded at all, every record is a Uint8Array.
 */
export type InvalidText = "fail" | "replace" | "bytes";

const RAW_BYTES_MAX = 1000;

/** A bad record with a copy of its bytes, cut. */
export function badRecord(offset: number, error: Error, raw: Uint8Array): BadRecord {
  return { offset, error, raw: new Uint8Array(raw.subarray(0, RAW_BYTES_MAX)) };
}

export function invalidRecord(
  context: DecodeContext,
  offset: number,
  what: string,
  hint: string,
  cause?: unknown,
): SheafError {
  return new SheafError("RECORD_INVALID", `${quotePath(context.path)}:${offset}: ${what}`, {
    hint,
    cause,
    details: { path: context.path, offset },
  });
}

/** The bad record for bytes at `offset` that are not UTF-8; the message names the first wrong byte. */
export function notUtf8(context: DecodeContext, offset: number, raw: Uint8Array): BadRecord {
  const at = firstInvalidByte(raw);
  const value = raw[at]!.toString(16).padStart(2, "0");
  const hint =
    'Give the reader { encoding: "windows-1252" } (or "latin1") if that is what the file is in, else ' +
    '{ invalid: "replace" } to read U+FFFD there, or { invalid: "bytes" } for records of bytes.';
  const error = invalidRecord(
    context,
    offset,
    `byte ${at} of the record (0x${value}) is not valid UTF-8`,
    hint,
  );
  return badRecord(offset, error, raw);
}

// Every prefix of valid text is valid or ends in a cut code point, so the place can be found by halving.
function firstInvalidByte(bytes: Uint8Array): number {
  let good = 0;
  let bad = bytes.length;
  while (bad - good > 8) {
    const middle = (good + bad) >> 1;
    if (validWithCutEnd(bytes, middle)) good = middle;
    else bad = middle;
  }
  let at = Math.max(0, good - 4);
  while (at > 0 && !isUtf8(bytes.subarray(0, at))) at--;
  for (let next = at; next < bytes.length;) {
    const size = [1, 2, 3, 4].find((n) => next + n <= bytes.length && isUtf8(bytes.subarray(next, next + n)));
    if (size === undefined) return next;
    next += size;
  }
  return 0;
}

function validWithCutEnd(bytes: Uint8Array, length: number): boolean {
  return [0, 1, 2, 3].some((cut) => cut <= length && isUtf8(bytes.subarray(0, length - cut)));
}
