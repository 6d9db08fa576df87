// scanWords: letters of 64 bytes at a time as a bit mask, words as the edges in it. See ../kernels.ts for
// the contract.
import {
  CELL_HEADER, CTL_DETAIL, CTL_LINES, CTL_POSITION, CTL_RECORDS, FLAG_FINAL, FLAG_LOWER_CASE,
  LETTER_BITMAPS, LETTER_PAGES, STATUS_DONE, STATUS_FULL, STATUS_INVALID, STATUS_NEED_JS, STATUS_NEED_PAGE,
  TABLE_COUNT, TABLE_INDEX, TABLE_MASK, WORD_SCRATCH,
} from "./layout";
import { hashString, stringHead, upsertString } from "./table";
import { CUT, WRONG, decode } from "./utf8";

// What the wide characters of a block make of it: set by widen().
let letters: u64 = 0; // the block's letters, ASCII and wide
let wides: u64 = 0; // those of them that are wide
let limit: u32 = 0; // bytes of the block to look at: 64 or up to where something stops us
let stop: u32 = 0; // why: STATUS_DONE (cut), STATUS_NEED_PAGE or STATUS_INVALID
let stopDetail: u32 = 0;
let tail: u32 = 0; // bytes of the block's last character that lie in the next block
let tailLetter: bool = false;

let failed: usize = 0; // the word that add() could not count
let touched: u32 = 0; // keeps touchSlots() from being optimised away

const FOR_JS: u32 = 0x80000000;
/**
 * Keys of a table that the second-level cache is taken to hold. Measured: above it touching wins 1.5x,
 * below it costs.
 */
const CACHED_KEYS: u32 = 32768;

export function scanWords(t: usize, ctl: usize, ptr: usize, end: usize, flags: u32): u32 {
  const lower = (flags & FLAG_LOWER_CASE) != 0;
  const orMask: u64 = lower ? 0x2020202020202020 : 0;
  let lines: u32 = 0;
  let word: usize = 0; // start of the open word, 0 when there is none
  let wide = false; // the open word has wide letters
  tail = 0;
  for (let block = ptr; block < end; block += 64) {
    const v0 = v128.load(block);
    const v1 = v128.load(block + 16);
    const v2 = v128.load(block + 32);
    const v3 = v128.load(block + 48);
    letters = masks(isLetter(v0), isLetter(v1), isLetter(v2), isLetter(v3));
    let newlines = masks(isNewline(v0), isNewline(v1), isNewline(v2), isNewline(v3));
    let high = masks(v0, v1, v2, v3);
    limit = 64;
    wides = 0;
    if (end - block < 64) {
      limit = <u32>(end - block);
      const valid = below(limit);
      letters &= valid;
      newlines &= valid;
      high &= valid;
    }
    stop = STATUS_DONE;
    let stopped = false;
    if ((high | tail) != 0) {
      stopped = widen(block, end, high);
      const valid = limit < 64 ? below(limit) : ~(<u64>0);
      letters &= valid;
      newlines &= valid;
    }
    let edges = letters ^ ((letters << 1) | <u64>(word != 0));
    if (limit < 64) edges &= below(limit);
    let found = WORD_SCRATCH;
    while (edges != 0) {
      const at = block + <usize>ctz(edges);
      edges &= edges - 1;
      if (word == 0) {
        word = at;
        if (edges == 0) break;
        continue;
      }
      found = note(found, word, at, lower && (wide || hasWide(block, word, at)), orMask);
      word = 0;
      wide = false;
    }
    const status = add(t, ctl, found, orMask);
    if (status != STATUS_DONE) {
      if (failed > block) lines += <u32>popcnt(newlines & below(<u32>(failed - block)));
      return finish(ctl, status, failed, lines);
    }
    lines += <u32>popcnt(newlines);
    if (word != 0 && !wide) wide = hasWide(block, word, block + 64);
    if (stopped) {
      const at = block + limit;
      if (stop == STATUS_INVALID || (stop == STATUS_DONE && (flags & FLAG_FINAL) != 0)) {
        if (word != 0) {
          const status = add(t, ctl, note(WORD_SCRATCH, word, at, lower && wide, orMask), orMask);
          if (status != STATUS_DONE) return finish(ctl, status, word, lines);
        }
        store<u32>(ctl, stopDetail, CTL_DETAIL);
        return finish(ctl, STATUS_INVALID, at, lines);
      }
      store<u32>(ctl, stopDetail, CTL_DETAIL);
      return finish(ctl, stop, word != 0 ? word : at, lines);
    }
  }
  if (word != 0) {
    if ((flags & FLAG_FINAL) == 0) return finish(ctl, STATUS_DONE, word, lines);
    const status = add(t, ctl, note(WORD_SCRATCH, word, end, lower && wide, orMask), orMask);
    if (status != STATUS_DONE) return finish(ctl, status, word, lines);
  }
  return finish(ctl, STATUS_DONE, end, lines);
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
function isLetter(bytes: v128): v128 {
  return i8x16.lt_u(i8x16.sub(v128.or(bytes, i8x16.splat(0x20)), i8x16.splat(97)), i8x16.splat(26));
}

@inline
function isNewline(bytes: v128): v128 {
  return i8x16.eq(bytes, i8x16.splat(10));
}

/** The lowest `count` bits. REQUIRES count < 64. */
@inline
function below(count: u32): u64 {
  return (<u64>1 << <u64>count) - 1;
}

@inline
function hasWide(block: usize, word: usize, end: usize): bool {
  if (wides == 0) return false;
  const from = word > block ? <u32>(word - block) : 0;
  const to = <u32>(end - block);
  return (wides & (to < 64 ? below(to) : ~(<u64>0)) & ~below(from)) != 0;
}

@inline
function finish(ctl: usize, status: u32, position: usize, lines: u32): u32 {
  store<u32>(ctl, <u32>position, CTL_POSITION);
  store<u32>(ctl, load<u32>(ctl, CTL_LINES) + lines, CTL_LINES);
  return status;
}

/**
 * Notes a word of the block: {u32 start, u32 length | FOR_JS, u32 hash, u32 -, u64 head}. Returns where
 * the next goes.
 */
@inline
function note(found: usize, word: usize, end: usize, forJs: bool, orMask: u64): usize {
  const len = <u32>(end - word);
  const head = stringHead(word, len, orMask);
  store<u32>(found, <u32>word);
  store<u32>(found, forJs ? len | FOR_JS : len, 4);
  store<u32>(found, hashString(word, len, head, orMask), 8);
  store<u64>(found, head, 16);
  return found + 24;
}

/** Counts the words noted up to `found`. When one cannot be, `failed` is its start. */
@inline
function add(t: usize, ctl: usize, found: usize, orMask: u64): u32 {
  if (load<u32>(t, TABLE_COUNT) > CACHED_KEYS) touchSlots(t, found);
  let words: u32 = 0;
  let status = STATUS_DONE;
  for (let at = WORD_SCRATCH; at < found; at += 24) {
    const word: usize = load<u32>(at);
    const len = load<u32>(at, 4);
    if ((len & FOR_JS) != 0) {
      store<u32>(ctl, <u32>word + (len & ~FOR_JS), CTL_DETAIL);
      status = STATUS_NEED_JS;
    } else {
      const cell = upsertString(t, word, len, load<u64>(at, 16), orMask, load<u32>(at, 8));
      if (cell == 0) status = STATUS_FULL;
      else store<f64>(cell, load<f64>(cell, CELL_HEADER) + 1, CELL_HEADER);
    }
    if (status != STATUS_DONE) {
      failed = word;
      break;
    }
    words++;
  }
  store<u32>(ctl, load<u32>(ctl, CTL_RECORDS) + words, CTL_RECORDS);
  return status;
}

/**
 * A table that is larger than the caches: reads all slots and cells of a block's words first, so that
 * misses overlap.
 */
function touchSlots(t: usize, found: usize): void {
  const index: usize = load<u32>(t, TABLE_INDEX);
  const mask = load<u32>(t, TABLE_MASK);
  let bytes: u32 = 0;
  for (let at = WORD_SCRATCH; at < found; at += 24) {
    const cell: usize = load<u32>(index + (<usize>(load<u32>(at, 8) & mask) << 3), 4);
    bytes |= load<u32>(cell, CELL_HEADER);
  }
  touched = bytes;
}

/**
 * Puts the wide characters of a block, whose bytes are `high`, into its masks. True when one of them stops
 * the scan.
 */
function widen(block: usize, end: usize, high: u64): bool {
  if (tail != 0) {
    const mask = below(tail);
    high &= ~mask;
    if (tailLetter) {
      letters |= mask;
      wides |= mask;
    }
    tail = 0;
  }
  while (high != 0) {
    const i = <u32>ctz(high);
    const found = decode(block + i, end);
    if (found >= WRONG) {
      limit = i;
      stop = (found & CUT) != 0 ? STATUS_DONE : STATUS_INVALID;
      stopDetail = found & 7;
      return true;
    }
    const page = found >> 11;
    const kind: u32 = load<u8>(LETTER_PAGES + page);
    if (kind == 0) {
      limit = i;
      stop = STATUS_NEED_PAGE;
      stopDetail = page;
      return true;
    }
    const length = found & 7;
    const mask = below(length) << <u64>i;
    const at = (found >> 3) & 255;
    const letter =
      kind > 2 ? ((load<u8>(LETTER_BITMAPS + (kind << 5) + (at >> 3)) >> <u8>(at & 7)) & 1) != 0 : kind == 2;
    if (letter) {
      letters |= mask;
      wides |= mask;
    }
    high &= ~mask;
    if (i + length > 64) {
      tail = i + length - 64;
      tailLetter = letter;
    }
  }
  return false;
}
