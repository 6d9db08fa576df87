// scanWords, one character at a time: the reference for assembly/words.ts. See ../kernels.ts for the
// contract.
import type { HeapViews } from "../kernels.ts";
import {
  CELL_HEADER,
  CTL_DETAIL,
  CTL_LINES,
  CTL_POSITION,
  CTL_RECORDS,
  FLAG_FINAL,
  FLAG_LOWER_CASE,
  LETTER_BITMAPS,
  LETTER_PAGES,
  STATUS_DONE,
  STATUS_FULL,
  STATUS_INVALID,
  STATUS_NEED_JS,
  STATUS_NEED_PAGE,
} from "../layout.ts";
import { upsertString } from "./strings.ts";
import { CUT, WRONG, decodeUtf8, utf8Size } from "./utf8.ts";

export function scanWords(
  heap: HeapViews,
  table: number,
  ctl: number,
  ptr: number,
  end: number,
  flags: number,
): number {
  const { u8, u32 } = heap;
  const lower = (flags & FLAG_LOWER_CASE) !== 0;
  const final = (flags & FLAG_FINAL) !== 0;
  const stop = (status: number, position: number, detail = u32[(ctl + CTL_DETAIL) >>> 2]!): number => {
    u32[(ctl + CTL_POSITION) >>> 2] = position;
    u32[(ctl + CTL_DETAIL) >>> 2] = detail;
    return status;
  };
  let at = ptr;
  while (at < end) {
    const word = at;
    let wide = false;
    let problem = STATUS_DONE;
    let detail = 0;
    let size = 0;
    for (; at < end; at += size) {
      const codePoint = decodeUtf8(u8, at, end);
      if (codePoint < 0 && (codePoint !== CUT || final)) {
        problem = STATUS_INVALID;
        detail = codePoint === CUT ? end - at : WRONG - codePoint;
        break;
      }
      // Nothing can be said of a word whose next character is cut.
      if (codePoint < 0) return stop(STATUS_DONE, word, end - at);
      size = utf8Size(codePoint);
      const letter = isLetter(u8, codePoint);
      if (letter === undefined) return stop(STATUS_NEED_PAGE, word, codePoint >>> 8);
      if (!letter) break;
      wide ||= size > 1;
    }
    if (at === end && !final) return stop(STATUS_DONE, word);
    if (at > word) {
      if (lower && wide) return stop(STATUS_NEED_JS, word, at);
      const cell = count(heap, table, word, at, lower);
      if (cell === 0) return stop(STATUS_FULL, word);
      u32[(ctl + CTL_RECORDS) >>> 2]! += 1;
    }
    if (problem === STATUS_INVALID) return stop(STATUS_INVALID, at, detail);
    if (at === end) break;
    if (u8[at] === 10) u32[(ctl + CTL_LINES) >>> 2]! += 1;
    at += size;
  }
  return stop(STATUS_DONE, end);
}

/** Whether a code point is a letter; undefined when its page is unknown. */
function isLetter(u8: Uint8Array, codePoint: number): boolean | undefined {
  if (codePoint < 0x80) return ((codePoint | 0x20) - 97) >>> 0 < 26;
  const kind = u8[LETTER_PAGES + (codePoint >>> 8)]!;
  if (kind <= 2) return kind === 0 ? undefined : kind === 2;
  return ((u8[LETTER_BITMAPS + kind * 32 + ((codePoint & 255) >>> 3)]! >> (codePoint & 7)) & 1) === 1;
}

/** Adds 1 to the word's row; returns its cell, 0 when the table is full. */
function count(heap: HeapViews, table: number, word: number, end: number, lower: boolean): number {
  const { u8, f64 } = heap;
  const original = lower ? u8.slice(word, end) : undefined;
  if (lower) for (let i = word; i < end; i++) u8[i]! |= 0x20;
  const cell = upsertString(heap, table, word, end - word);
  if (original) u8.set(original, word);
  if (cell !== 0) f64[(cell + CELL_HEADER) >>> 3]! += 1;
  return cell;
}
