import { SheafError } from "../base/errors.ts";
import type { HeapViews } from "./kernels.ts";
import { LETTER_BITMAPS, LETTER_BITMAPS_MAX, LETTER_PAGES, LETTER_PAGE_COUNT } from "./layout.ts";

const NONE = 1;
const ALL = 2;

/**
 * Tells scanWords which of the 256 code points of a page are letters (\p{L}): the answer to NEED_PAGE.
 * About 20 us, once per page and heap. Pages of one kind share two marks, so that all of Unicode fits in
 * LETTER_BITMAPS_MAX bitmaps.
 */
export function fillLetterPage({ u8 }: HeapViews, page: number): void {
  if (u8[LETTER_PAGES + page] !== 0) return;
  const bitmap = new Uint8Array(32);
  let letters = 0;
  for (let i = 0; i < 256; i++) {
    if (!/\p{L}/u.test(String.fromCodePoint(page * 256 + i))) continue;
    bitmap[i >>> 3]! |= 1 << (i & 7);
    letters++;
  }
  if (letters === 0) u8[LETTER_PAGES + page] = NONE;
  else if (letters === 256) u8[LETTER_PAGES + page] = ALL;
  else {
    const number =
      u8.subarray(LETTER_PAGES, LETTER_PAGES + LETTER_PAGE_COUNT).reduce((a, b) => Math.max(a, b), ALL) + 1;
    if (number >= LETTER_BITMAPS_MAX)
      throw new SheafError("INTERNAL", `no letter bitmap left for page ${page}`);
    u8.set(bitmap, LETTER_BITMAPS + number * 32);
    u8[LETTER_PAGES + page] = number;
  }
}
