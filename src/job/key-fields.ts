import { SheafError } from "../base/errors.ts";

/** A stretch of a key, as -k of sort(1) names it: counted from 1, ends included. */
export interface KeyField {
  readonly from: number;
  /** Byte of field `from` at which it begins. */
  readonly fromByte: number;
  /** undefined: to the end of the key. */
  readonly to: number | undefined;
  /** Byte of field `to` at which it ends; 0: its last one. */
  readonly toByte: number;
  readonly numeric: boolean;
  readonly reverse: boolean;
}

const FIELD = /^-k\s*(\d+)(?:\.(\d+))?([nr]*)(?:,(\d+)(?:\.(\d+))?([nr]*))?$/;

/**
 * Reads "-k1,1nr -k2": POS1[,POS2], where POS is FIELD[.BYTE], and n (as numbers) and r (descending) may
 * follow either; -n and -r alone are for all that say neither, and for the whole key where there is no -k.
 * @param what names the option, for the message
 * @throws SheafError JOB_INVALID
 */
export function readKeyFields(text: string, what: string): KeyField[] {
  const words = String(text)
    .trim()
    .replace(/-k\s+/g, "-k")
    .split(/\s+/)
    .filter((word) => word !== "");
  const alone = words.filter((word) => /^-[nr]+$/.test(word)).join("");
  const [allNumeric, allReverse] = [alone.includes("n"), alone.includes("r")];
  const found = words.flatMap((word): KeyField[] => {
    if (/^-[nr]+$/.test(word)) return [];
    const match = FIELD.exec(word);
    const [, from, fromByte, fromFlags = "", to, toByte, toFlags = ""] = match ?? [];
    const flags = fromFlags + toFlags;
    if (match === null || from === "0" || fromByte === "0" || to === "0") {
      throw new SheafError("JOB_INVALID", `${what}: "${word}" names no fields of a key`, {
        hint: 'Write as for sort(1), of its options -k, -n and -r: "-k1,2", "-k1,1nr -k2", "-k1.3,1.5".',
      });
    }
    return [
      {
        from: Number(from),
        fromByte: Number(fromByte ?? 1),
        to: to === undefined ? undefined : Number(to),
        toByte: Number(toByte ?? 0),
        numeric: flags === "" ? allNumeric : flags.includes("n"),
        reverse: flags === "" ? allReverse : flags.includes("r"),
      },
    ];
  });
  if (found.length > 0) return found;
  return [{ from: 1, fromByte: 1, to: undefined, toByte: 0, numeric: allNumeric, reverse: allReverse }];
}

/**
 * Where the stretch lies in the key bytes[start, end): [from, to) of `bytes`, empty where the key has no such
 * field.
 */
export function fieldRange(
  bytes: Buffer,
  start: number,
  end: number,
  field: KeyField,
  separator: Buffer,
): readonly [from: number, to: number] {
  const first = fieldStart(bytes, start, end, field.from, separator);
  if (first < 0) return [end, end];
  const from = Math.min(first + field.fromByte - 1, end);
  if (field.to === undefined) return [from, end];
  const last = fieldStart(bytes, start, end, field.to, separator);
  if (last < 0) return [from, end];
  const found = bytes.indexOf(separator, last);
  const lastEnd = found < 0 || found + separator.length > end ? end : found;
  // Bytes are counted past the end of the field, as sort(1) does.
  const to = field.toByte === 0 ? lastEnd : Math.min(last + field.toByte, end);
  return [from, Math.max(from, to)];
}

function fieldStart(bytes: Buffer, start: number, end: number, field: number, separator: Buffer): number {
  let at = start;
  for (let n = 1; n < field; n++) {
    const found = bytes.indexOf(separator, at);
    if (found < 0 || found + separator.length > end) return -1;
    at = found + separator.length;
  }
  return at;
}

/** Partition of the key bytes[start, end) by these stretches of it; undefined: by all of it. */
export function partitionOfFields(
  bytes: Buffer,
  start: number,
  end: number,
  fields: readonly KeyField[] | undefined,
  separator: Buffer,
  partitions: number,
): number {
  if (partitions === 1) return 0;
  if (fields === undefined) return mixed(hash(0x811c9dc5, bytes, start, end)) % partitions;
  let state = 0x811c9dc5;
  for (const field of fields) {
    const [from, to] = fieldRange(bytes, start, end, field, separator);
    // So that where one stretch ends and the next begins tells, too.
    state = Math.imul(hash(state, bytes, from, to) ^ 0xff, 0x01000193);
  }
  return mixed(state) % partitions;
}

/** FNV-1a. */
function hash(state: number, bytes: Buffer, from: number, to: number): number {
  let now = state;
  for (let i = from; i < to; i++) now = Math.imul(now ^ bytes[i]!, 0x01000193);
  return now;
}

/** The last step of MurmurHash3: without it the low bits of short keys are alike. */
function mixed(state: number): number {
  let now = state ^ (state >>> 16);
  now = Math.imul(now, 0x85ebca6b);
  now ^= now >>> 13;
  now = Math.imul(now, 0xc2b2ae35);
  return (now ^ (now >>> 16)) >>> 0;
}

/**
 * Bytes whose order is that of the number at the beginning of the text: blanks, a minus, digits and decimals,
 * of any length. What is no number is 0, as sort -n has it.
 */
export function numberOrdinal(text: string): Buffer {
  const [, minus = "", whole = "", decimals = ""] = /^[ \t]*(-?)0*(\d*)(?:\.(\d*))?/.exec(text) ?? [];
  let decimalsEnd = decimals.length;
  while (decimals[decimalsEnd - 1] === "0") decimalsEnd--;
  const fraction = decimals.slice(0, decimalsEnd);
  if (whole === "" && fraction === "") return Buffer.from([0x80]);
  const digits = Buffer.from(whole + fraction);
  const bytes = Buffer.alloc(6 + digits.length);
  bytes[0] = 0x81;
  bytes.writeUInt32BE(whole.length, 1);
  digits.copy(bytes, 5);
  if (minus === "") return bytes.subarray(0, bytes.length - 1);
  for (let i = 0; i < bytes.length; i++) bytes[i] = bytes[i]! ^ 0xff;
  return bytes;
}
