// formatText and formatTsv: see ../kernels.ts.
import {
  CTL_DETAIL, CTL_OUT_POSITION, CTL_POSITION, CTL_RECORDS, KEY_TAG_STRING, STATUS_DONE, STATUS_NEED_JS,
  STATUS_OUT_FULL, VALUE_NULL, VALUE_UNDEFINED,
} from "./layout";
import { copyBytes } from "./bytes";

// The record that readRecord() found.
let key: usize = 0;
let keyLen: u32 = 0;
let valLen: u32 = 0;
let varint: u32 = 0;

@inline
function readVarint(at: usize): usize {
  let byte: u32 = load<u8>(at++);
  let value = byte & 127;
  for (let shift: u32 = 7; byte >= 128; shift += 7) {
    byte = load<u8>(at++);
    value |= (byte & 127) << shift;
  }
  varint = value;
  return at;
}

/** Reads the record at `at`; returns the address behind it. */
@inline
function readRecord(at: usize): usize {
  at = readVarint(at);
  keyLen = varint;
  at = readVarint(at);
  valLen = varint;
  key = at;
  return at + keyLen + valLen;
}

@inline
function hasNoValue(nullToo: bool): bool {
  if (valLen == 0) return true;
  const tag: u32 = load<u8>(key + keyLen);
  return valLen == 1 && (tag == VALUE_UNDEFINED || (nullToo && tag == VALUE_NULL));
}

@inline
function finish(ctl: usize, status: u32, position: usize, out: usize, records: u32): u32 {
  store<u32>(ctl, <u32>position, CTL_POSITION);
  store<u32>(ctl, <u32>out, CTL_OUT_POSITION);
  store<u32>(ctl, load<u32>(ctl, CTL_RECORDS) + records, CTL_RECORDS);
  return status;
}

@inline
function outFull(ctl: usize, size: u32): u32 {
  store<u32>(ctl, size, CTL_DETAIL);
  return STATUS_OUT_FULL;
}

export function formatText(ptr: usize, end: usize, out: usize, outEnd: usize, ctl: usize): u32 {
  let records: u32 = 0;
  while (ptr < end) {
    const next = readRecord(ptr);
    if (keyLen == 0 || load<u8>(key) != KEY_TAG_STRING || !hasNoValue(true)) {
      return finish(ctl, STATUS_NEED_JS, ptr, out, records);
    }
    // The tag makes room for the newline.
    if (<u32>(outEnd - out) < keyLen) return finish(ctl, outFull(ctl, keyLen), ptr, out, records);
    copyBytes(out, key + 1, keyLen - 1);
    out += keyLen;
    store<u8>(out - 1, 10);
    records++;
    ptr = next;
  }
  return finish(ctl, STATUS_DONE, ptr, out, records);
}

export function formatTsv(ptr: usize, end: usize, out: usize, outEnd: usize, ctl: usize): u32 {
  let records: u32 = 0;
  while (ptr < end) {
    const next = readRecord(ptr);
    if (keyLen == 0 || load<u8>(key) != KEY_TAG_STRING || !isPlain(key + 1, keyLen - 1)) {
      return finish(ctl, STATUS_NEED_JS, ptr, out, records);
    }
    if (hasNoValue(false)) {
      if (<u32>(outEnd - out) < keyLen) return finish(ctl, outFull(ctl, keyLen), ptr, out, records);
      copyBytes(out, key + 1, keyLen - 1);
      out += keyLen;
      store<u8>(out - 1, 10);
      records++;
      ptr = next;
      continue;
    }
    const value = key + keyLen;
    const isRow = valLen == 8 || (valLen == 40 && isExactSum(value));
    const number = load<f64>(value);
    if (!isRow || !isPlainInteger(number)) return finish(ctl, STATUS_NEED_JS, ptr, out, records);
    const magnitude = <u64>abs(number);
    const digits = digitsOf(magnitude);
    const size = keyLen + 1 + <u32>(number < 0) + digits;
    if (<u32>(outEnd - out) < size) return finish(ctl, outFull(ctl, size), ptr, out, records);
    copyBytes(out, key + 1, keyLen - 1);
    out += keyLen - 1;
    store<u8>(out++, 9);
    if (number < 0) store<u8>(out++, 45);
    out += digits;
    writeDigits(out, magnitude);
    store<u8>(out++, 10);
    records++;
    ptr = next;
  }
  return finish(ctl, STATUS_DONE, ptr, out, records);
}

/** A sum row (three parts, lost, inexact) whose value is the first part and of integers alone. */
@inline
function isExactSum(row: usize): bool {
  return (
    load<f64>(row + 8) == 0 && load<f64>(row + 16) == 0 &&
    load<f64>(row + 24) == 0 && load<f64>(row + 32) <= 0
  );
}

@inline
function isPlainInteger(x: f64): bool {
  return abs(x) <= 9007199254740991.0 && trunc(x) == x && (x != 0 || reinterpret<u64>(x) == 0);
}

/** No tab, newline, carriage return or backslash. */
@inline
function isPlain(text: usize, len: u32): bool {
  for (let i: u32 = 0; i < len; i += 16) {
    const bytes = v128.load(text + i);
    const special = v128.or(
      v128.or(i8x16.eq(bytes, i8x16.splat(9)), i8x16.eq(bytes, i8x16.splat(10))),
      v128.or(i8x16.eq(bytes, i8x16.splat(13)), i8x16.eq(bytes, i8x16.splat(92))),
    );
    let found = <u32>i8x16.bitmask(special);
    if (len - i < 16) found &= (1 << (len - i)) - 1;
    if (found != 0) return false;
  }
  return true;
}

function digitsOf(x: u64): u32 {
  let digits: u32 = 1;
  for (let power: u64 = 10; x >= power; power *= 10) digits++;
  return digits;
}

/** Writes the decimal digits of x so that they end at `end`. */
function writeDigits(end: usize, x: u64): void {
  while (x > 0xffffffff) {
    const rest = x / 10;
    store<u8>(--end, <u8>(48 + (x - rest * 10)));
    x = rest;
  }
  let small = <u32>x;
  do {
    const rest = small / 10;
    store<u8>(--end, 48 + (small - rest * 10));
    small = rest;
  } while (small != 0);
}
