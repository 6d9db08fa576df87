// scanColumns: delimiters, quotes and newlines of 64 bytes at a time as a bit mask. See ../kernels.ts for
// the contract.
import {
  CELL_HEADER, COLUMNS_COUNT, COLUMNS_DELIMITER, COLUMNS_KEY, COLUMNS_QUOTE, COLUMNS_VALUE, CTL_DETAIL,
  CTL_POSITION, CTL_RECORDS, FLAG_FINAL, STATUS_DONE, STATUS_FULL, STATUS_NEED_JS, TABLE_OPS,
  TABLE_OPS_COUNT,
} from "./layout";
import { addNumber } from "./rows";
import { hashString, stringHead, upsertString } from "./table";
import { utf8Valid } from "./utf8";

// The row being read.
let row: usize = 0;
let column: i32 = 0;
let field: usize = 0;
let key: usize = 0;
let keyLen: u32 = 0;
let value: usize = 0;
let valueLen: u32 = 0;
let quoted: bool = false;
let wanted: i32 = 0; // columns a row must have; 0: any number

export function scanColumns(t: usize, ctl: usize, ptr: usize, end: usize, columns: usize, flags: u32): u32 {
  const delimiter: u32 = load<u8>(columns, COLUMNS_DELIMITER);
  const noQuote = load<i32>(columns, COLUMNS_QUOTE) < 0;
  // Without a quote character the newline stands in for it: one comparison more, but no second loop.
  const quote: u32 = noQuote ? 10 : load<u8>(columns, COLUMNS_QUOTE);
  const isDelimiter = i8x16.splat(<i8>delimiter);
  const isQuote = i8x16.splat(<i8>quote);
  const keyColumn = load<i32>(columns, COLUMNS_KEY);
  const valueColumn = load<i32>(columns, COLUMNS_VALUE);
  wanted = load<i32>(columns, COLUMNS_COUNT);
  let rows: u32 = 0;
  let wide = false;
  beginRow(ptr);
  for (let block = ptr; block < end; block += 64) {
    const v0 = v128.load(block);
    const v1 = v128.load(block + 16);
    const v2 = v128.load(block + 32);
    const v3 = v128.load(block + 48);
    let marks = masks(
      special(v0, isDelimiter, isQuote), special(v1, isDelimiter, isQuote),
      special(v2, isDelimiter, isQuote), special(v3, isDelimiter, isQuote),
    );
    const blockWide = v128.any_true(v128.and(
      v128.or(v128.or(v0, v1), v128.or(v2, v3)), i8x16.splat(-128),
    ));
    wide = wide || blockWide;
    if (end - block < 64) marks &= (<u64>1 << <u64>(end - block)) - 1;
    while (marks != 0) {
      const at = block + <usize>ctz(marks);
      marks &= marks - 1;
      const byte: u32 = load<u8>(at);
      if (byte == delimiter) {
        endField(at, keyColumn, valueColumn);
        field = at + 1;
        column++;
      } else if (byte != 10) quoted = true;
      else {
        const rowEnd = at > row && load<u8>(at - 1) == 13 ? at - 1 : at;
        const status = endRow(t, ctl, at, rowEnd, keyColumn, valueColumn, wide);
        if (status != STATUS_DONE) return finish(ctl, status, row, rows);
        rows++;
        wide = blockWide;
        beginRow(at + 1);
      }
    }
  }
  if ((flags & FLAG_FINAL) != 0 && row < end) {
    if (load<u8>(end - 1) == 13) quoted = true;
    const status = endRow(t, ctl, end, end, keyColumn, valueColumn, wide);
    if (status != STATUS_DONE) return finish(ctl, status, row, rows);
    rows++;
    row = end;
  }
  return finish(ctl, STATUS_DONE, row, rows);
}

@inline
function masks(a: v128, b: v128, c: v128, d: v128): u64 {
  return (
    <u64>(<u32>i8x16.bitmask(a)) |
    (<u64>(<u32>i8x16.bitmask(b)) << 16) |
    (<u64>(<u32>i8x16.bitmask(c)) << 32) |
    (<u64>(<u32>i8x16.bitmask(d)) << 48)
  );
}

@inline
function special(bytes: v128, delimiter: v128, quote: v128): v128 {
  return v128.or(
    v128.or(i8x16.eq(bytes, delimiter), i8x16.eq(bytes, quote)), i8x16.eq(bytes, i8x16.splat(10)),
  );
}

@inline
function finish(ctl: usize, status: u32, position: usize, rows: u32): u32 {
  store<u32>(ctl, <u32>position, CTL_POSITION);
  store<u32>(ctl, load<u32>(ctl, CTL_RECORDS) + rows, CTL_RECORDS);
  return status;
}

@inline
function beginRow(at: usize): void {
  row = at;
  field = at;
  column = 0;
  key = 0;
  value = 0;
  quoted = false;
}

@inline
function endField(at: usize, keyColumn: i32, valueColumn: i32): void {
  if (column == keyColumn) {
    key = field;
    keyLen = <u32>(at - field);
  }
  if (column == valueColumn) {
    value = field;
    valueLen = <u32>(at - field);
  }
}

@inline
function endRow(
  t: usize, ctl: usize, next: usize, at: usize, keyColumn: i32, valueColumn: i32, wide: bool,
): u32 {
  store<u32>(ctl, <u32>next, CTL_DETAIL);
  if (quoted || at == row) return STATUS_NEED_JS;
  endField(at, keyColumn, valueColumn);
  if (key == 0 || (wanted > 0 && column + 1 != wanted)) return STATUS_NEED_JS;
  let number: f64 = 0;
  if (valueColumn >= 0) {
    if (value == 0) return STATUS_NEED_JS;
    number = parseNumber(value, valueLen);
    if (number != number) return STATUS_NEED_JS;
  }
  if (wide && utf8Valid(row, <u32>(at - row)) == 0) return STATUS_NEED_JS;
  const head = stringHead(key, keyLen, 0);
  const cell = upsertString(t, key, keyLen, head, 0, hashString(key, keyLen, head, 0));
  if (cell == 0) return STATUS_FULL;
  addNumber(cell + CELL_HEADER, load<u32>(t, TABLE_OPS), load<u32>(t, TABLE_OPS_COUNT), number);
  return STATUS_DONE;
}

/**
 * The number written [+-]digits[.digits] with at most 15 digits, else NaN. The digits as an integer and
 * the power of ten are exact, so their quotient is rounded once: the same double that JavaScript's
 * Number() gives.
 */
@inline
function parseNumber(at: usize, len: u32): f64 {
  const end = at + len;
  if (len == 0) return NaN;
  const sign: u32 = load<u8>(at);
  if (sign == 45 || sign == 43) at++;
  let digits: u64 = 0;
  const start = at;
  let digit: u32 = 0;
  while (at < end && (digit = <u32>load<u8>(at) - 48) < 10) {
    digits = digits * 10 + <u64>digit;
    at++;
  }
  let total = at - start;
  if (total == 0) return NaN;
  let scale: f64 = 1;
  if (at < end) {
    if (load<u8>(at) != 46 || at + 1 == end) return NaN;
    const fraction = ++at;
    while (at < end && (digit = <u32>load<u8>(at) - 48) < 10) {
      digits = digits * 10 + <u64>digit;
      scale *= 10;
      at++;
    }
    if (at < end) return NaN;
    total += at - fraction;
  }
  if (total > 15) return NaN;
  const number = <f64>digits / scale;
  return sign == 45 ? -number : number;
}
