// formatText and formatTsv: see ../kernels.ts.
import type { HeapViews } from "../kernels.ts";
import {
  CTL_DETAIL,
  CTL_OUT_POSITION,
  CTL_POSITION,
  CTL_RECORDS,
  KEY_TAG_STRING,
  STATUS_DONE,
  STATUS_NEED_JS,
  STATUS_OUT_FULL,
  VALUE_NULL,
  VALUE_UNDEFINED,
} from "../layout.ts";
import { readVarint, varintSize } from "./bytes.ts";

/** What stands behind the key in a record's line, or undefined when JavaScript must print it. */
type Suffix = (key: number, keyLen: number, valLen: number) => string | undefined;

export function formatText(
  heap: HeapViews,
  ptr: number,
  end: number,
  out: number,
  outEnd: number,
  ctl: number,
): number {
  const { u8 } = heap;
  return format(heap, ptr, end, out, outEnd, ctl, (key, keyLen, valLen) => {
    const tag = u8[key + keyLen];
    return valLen === 0 || (valLen === 1 && (tag === VALUE_UNDEFINED || tag === VALUE_NULL))
      ? "\n"
      : undefined;
  });
}

export function formatTsv(
  heap: HeapViews,
  ptr: number,
  end: number,
  out: number,
  outEnd: number,
  ctl: number,
): number {
  const { u8, view } = heap;
  return format(heap, ptr, end, out, outEnd, ctl, (key, keyLen, valLen) => {
    for (let i = key; i < key + keyLen; i++) {
      if (u8[i] === 9 || u8[i] === 10 || u8[i] === 13 || u8[i] === 92) return undefined;
    }
    const value = key + keyLen;
    if (valLen === 0 || (valLen === 1 && u8[value] === VALUE_UNDEFINED)) return "\n";
    if (valLen !== 8 && valLen !== 40) return undefined;
    if (valLen === 40) {
      const [b, c, lost, flag] = [8, 16, 24, 32].map((at) => view.getFloat64(value + at, true));
      if (b !== 0 || c !== 0 || lost !== 0 || !(flag! <= 0)) return undefined;
    }
    const number = view.getFloat64(value, true);
    return Number.isSafeInteger(number) && !Object.is(number, -0) ? `\t${number}\n` : undefined;
  });
}

// oxlint-disable-next-line max-params -- the arguments of its two callers and what makes them differ
function format(
  { u8, u32 }: HeapViews,
  ptr: number,
  end: number,
  out: number,
  outEnd: number,
  ctl: number,
  suffixOf: Suffix,
): number {
  let status: number = STATUS_DONE;
  while (ptr < end) {
    const keyLen = readVarint(u8, ptr);
    const valLenAt = ptr + varintSize(keyLen);
    const valLen = readVarint(u8, valLenAt);
    const key = valLenAt + varintSize(valLen);
    const suffix = keyLen > 0 && u8[key] === KEY_TAG_STRING ? suffixOf(key, keyLen, valLen) : undefined;
    if (suffix === undefined) {
      status = STATUS_NEED_JS;
      break;
    }
    const size = keyLen - 1 + suffix.length;
    if (outEnd - out < size) {
      u32[(ctl + CTL_DETAIL) >>> 2] = size;
      status = STATUS_OUT_FULL;
      break;
    }
    u8.copyWithin(out, key + 1, key + keyLen);
    out += keyLen - 1;
    for (let i = 0; i < suffix.length; i++) u8[out++] = suffix.charCodeAt(i);
    u32[(ctl + CTL_RECORDS) >>> 2]! += 1;
    ptr = key + keyLen + valLen;
  }
  u32[(ctl + CTL_POSITION) >>> 2] = ptr;
  u32[(ctl + CTL_OUT_POSITION) >>> 2] = out;
  return status;
}
