// scanColumns, row by row: the reference for assembly/columns.ts. See ../kernels.ts for the contract.
import type { HeapViews } from "../kernels.ts";
import {
  CELL_HEADER,
  COLUMNS_COUNT,
  COLUMNS_DELIMITER,
  COLUMNS_KEY,
  COLUMNS_QUOTE,
  COLUMNS_VALUE,
  CTL_DETAIL,
  CTL_POSITION,
  CTL_RECORDS,
  FLAG_FINAL,
  STATUS_DONE,
  STATUS_FULL,
  STATUS_NEED_JS,
  TABLE_OPS,
  TABLE_OPS_COUNT,
} from "../layout.ts";
import { addNumber } from "./rows.ts";
import { upsertString } from "./strings.ts";
import { firstInvalid } from "./utf8.ts";

const NEWLINE = 10;
const CARRIAGE_RETURN = 13;
const PLAIN_NUMBER = /^[+-]?(\d+)(?:\.(\d+))?$/;

export function scanColumns(
  heap: HeapViews,
  table: number,
  ctl: number,
  ptr: number,
  end: number,
  columns: number,
  flags: number,
): number {
  const { u8, u32 } = heap;
  let status: number = STATUS_DONE;
  let row = ptr;
  while (row < end) {
    const found = u8.indexOf(NEWLINE, row);
    const newline = found === -1 || found >= end ? end : found;
    if (newline === end && (flags & FLAG_FINAL) === 0) break;
    u32[(ctl + CTL_DETAIL) >>> 2] = newline;
    status = addRow(heap, table, row, newline, newline < end, columns);
    if (status !== STATUS_DONE) break;
    u32[(ctl + CTL_RECORDS) >>> 2]! += 1;
    row = Math.min(newline + 1, end);
  }
  u32[(ctl + CTL_POSITION) >>> 2] = row;
  return status;
}

function addRow(
  heap: HeapViews,
  table: number,
  row: number,
  newline: number,
  ended: boolean,
  columns: number,
): number {
  const { u8, u32, i32 } = heap;
  const returned = newline > row && u8[newline - 1] === CARRIAGE_RETURN;
  if (returned && !ended) return STATUS_NEED_JS;
  const end = returned ? newline - 1 : newline;
  const quote = i32[(columns + COLUMNS_QUOTE) >>> 2]!;
  if (end === row || (quote >= 0 && u8.subarray(row, newline).includes(quote))) return STATUS_NEED_JS;
  const delimiter = i32[(columns + COLUMNS_DELIMITER) >>> 2]!;
  const fields: [from: number, to: number][] = [];
  for (let from = row, at = row; at <= end; at++) {
    if (at < end && u8[at] !== delimiter) continue;
    fields.push([from, at]);
    from = at + 1;
  }
  const key = fields[i32[(columns + COLUMNS_KEY) >>> 2]!];
  const wanted = i32[(columns + COLUMNS_COUNT) >>> 2]!;
  if (key === undefined || (wanted > 0 && fields.length !== wanted)) return STATUS_NEED_JS;
  const valueColumn = i32[(columns + COLUMNS_VALUE) >>> 2]!;
  let number = 0;
  if (valueColumn >= 0) {
    const value = fields[valueColumn];
    if (value === undefined) return STATUS_NEED_JS;
    const text = String.fromCharCode(...u8.subarray(value[0], Math.min(value[1], value[0] + 20)));
    const match = PLAIN_NUMBER.exec(text);
    if (match === null || match[1]!.length + (match[2]?.length ?? 0) > 15) return STATUS_NEED_JS;
    number = Number(text);
  }
  if (firstInvalid(u8, row, end) !== end) return STATUS_NEED_JS;
  const cell = upsertString(heap, table, key[0], key[1] - key[0]);
  if (cell === 0) return STATUS_FULL;
  addNumber(
    heap,
    cell + CELL_HEADER,
    u32[(table + TABLE_OPS) >>> 2]!,
    u32[(table + TABLE_OPS_COUNT) >>> 2]!,
    number,
  );
  return STATUS_DONE;
}
