import type { Key } from "../job/key.ts";

/** Strings of up to so many ASCII characters are cached: 99 of 100 words of English text. */
const ASCII_LENGTH_MAX = 12;
/** And of up to so many UTF-16 units when some are not ASCII. */
const WIDE_LENGTH_MAX = 8;
/**
 * An entry's third word: the row in 8-byte units, and above it a code for the kind of key: the length of an
 * ASCII string, of another string plus ASCII_LENGTH_MAX, or INTEGER; 0 when the entry is free.
 */
const ROW_BITS = 27;
const ROW_MASK = 2 ** ROW_BITS - 1;
const INTEGER = 31;
const ENTRY_WORDS = 4;
/** Entries of a slot, the one in front and those behind it: a line of the processor's cache. */
const WAYS = 4;
/** A slot has 2^4 words. */
const SLOT_WORDS_BITS = 4;
/** Entries and tails of a slot. */
const SLOT_BYTES = WAYS * 24;
/**
 * 2^14 slots are 1 MiB, of which words of English text keep to a half: part of a core's second cache. 93 % of
 * the words are found in front, all but 1 % somewhere.
 */
const BITS_MAX = 14;
const BITS_MIN = 4;

/**
 * What a pair adds to its row: "count" 1, "sum" its value, which as a small integer may wait and be added
 * together with others; "other" what only the table knows.
 */
export type EmitKind = "count" | "sum" | "other";

/** The table behind a cache. Rows are given in 8-byte units. */
export interface CachedTable {
  /** Pairs taken so far: the cache counts them. */
  emitted: number;
  /** Row of a key, made when it is new. May flush the cache to make room. */
  rowOf(key: Key): number;
  /** As rowOf, for ASCII keys of 1 to ASCII_LENGTH_MAX characters. */
  rowOfAscii(key: string): number;
  /** Folds a value into a row. */
  add(row: number, value: unknown): void;
  /** As add, into the row last asked for: when that was made for a value that is refused, it is forgotten. */
  addFirst(row: number, value: unknown): void;
  /** Folds into a row what waited ("count" and "sum"). */
  addWaiting(row: number, total: number): void;
}

/** Bits of the number of slots in front of a table of so many bytes: they take a 16th of it at most. */
export function cacheBits(tableBytes: number): number {
  const bits = 31 - Math.clz32(tableBytes / 16 / SLOT_BYTES);
  return Math.max(BITS_MIN, Math.min(BITS_MAX, bits));
}

/**
 * A cache before a table: short keys, their rows, and numbers that wait to be added to them. A pair whose key
 * came up last in its slot costs no call, no hash of the table's, and touches one line of memory.
 *
 * Reading the characters is what costs: 12 ns of the 19 ns of a hit, where the map function of a word count
 * takes 50 ns a word. A loop over them, or a branch for every length, is mispredicted most of the time. So
 * they are read at places computed from the length: the first four are all there are in keys of up to 4
 * characters, eight in keys of up to 8, and so on. With the length they give the key away: nothing else has
 * to be compared.
 *
 * A key that another pushes out of the front stays behind it in its slot, with what waits, and changes places
 * with the other when it comes up again: the same line of memory, where the table touches three or four.
 */
export class EmitCache {
  readonly bits: number;
  /** Takes one pair for the table: see Collector.emit. */
  readonly emit: (key: Key, value: unknown) => void;
  /** Four words an entry: the first eight characters read, length and row, what waits. */
  readonly #entries: Int32Array;
  /** By entry: the last four characters read, and what characters that are not ASCII have besides. */
  readonly #tails: Int32Array;
  #table!: CachedTable;
  #kind: EmitKind = "other";
  /** Which of the entries behind the front is given up next. */
  #turn = 1;

  constructor(bits: number) {
    this.bits = bits;
    this.#entries = new Int32Array(1 << (bits + SLOT_WORDS_BITS));
    this.#tails = new Int32Array(this.#entries.length / 2);
    this.emit = createEmit(this, this.#entries, this.#tails, bits);
  }

  get table(): CachedTable {
    return this.#table;
  }

  get kind(): EmitKind {
    return this.#kind;
  }

  /** Empties the cache and puts it before another table. */
  attach(table: CachedTable, kind: EmitKind): void {
    this.#entries.fill(0);
    this.#table = table;
    this.#kind = kind;
  }

  /** Has the table take a pair whose key is not in the slot at `at`, and puts the key in front. */
  take(at: number, key: Key, value: unknown, code: number, head: number, body: number): void {
    const ascii = typeof key === "string" && code <= ASCII_LENGTH_MAX;
    const row = ascii ? this.#table.rowOfAscii(key) : this.#table.rowOf(key);
    // Before anything is written: a row that is forgotten must not be in an entry, and a spill empties all.
    this.#table.addFirst(row, value);
    const entries = this.#entries;
    if (entries[at + 2] !== 0) this.#pushBack(at);
    entries[at] = head;
    entries[at + 1] = body;
    // A row beyond what the bits hold is not kept.
    entries[at + 2] = row <= ROW_MASK ? row | (code << ROW_BITS) : 0;
    entries[at + 3] = 0;
  }

  /** Looks for a key behind the front of the slot at `at`. Found, it changes places with what is in front. */
  recall(at: number, code: number, head: number, body: number, tail: number, rest: number): boolean {
    const entries = this.#entries;
    const tails = this.#tails;
    for (let way = at + ENTRY_WORDS; way < at + WAYS * ENTRY_WORDS; way += ENTRY_WORDS) {
      const place = entries[way + 2]!;
      if (place >>> ROW_BITS !== code || entries[way] !== head || entries[way + 1] !== body) continue;
      if (code > 8 && (tails[way >> 1] !== tail || tails[(way >> 1) + 1] !== rest)) continue;
      const waiting = entries[way + 3]!;
      this.#move(at, way);
      entries[at] = head;
      entries[at + 1] = body;
      entries[at + 2] = place;
      entries[at + 3] = waiting;
      return true;
    }
    return false;
  }

  /** Gives one of the entries behind to what is in front. */
  #pushBack(at: number): void {
    this.#turn = this.#turn === WAYS - 1 ? 1 : this.#turn + 1;
    const way = at + this.#turn * ENTRY_WORDS;
    this.#settle(way);
    this.#move(at, way);
  }

  #move(at: number, way: number): void {
    const entries = this.#entries;
    const tails = this.#tails;
    entries[way] = entries[at]!;
    entries[way + 1] = entries[at + 1]!;
    entries[way + 2] = entries[at + 2]!;
    entries[way + 3] = entries[at + 3]!;
    if (entries[at + 2]! >>> ROW_BITS <= 8) return;
    tails[way >> 1] = tails[at >> 1]!;
    tails[(way >> 1) + 1] = tails[(at >> 1) + 1]!;
  }

  #settle(at: number): void {
    const entries = this.#entries;
    const waiting = entries[at + 3]!;
    if (waiting === 0) return;
    entries[at + 3] = 0;
    this.#table.addWaiting(entries[at + 2]! & ROW_MASK, waiting);
  }

  /** Adds what waits and forgets all rows. */
  flush(): void {
    for (let at = 0; at < this.#entries.length; at += ENTRY_WORDS) this.#settle(at);
    this.#entries.fill(0);
  }
}

/**
 * A closure and not a method, since V8 then takes the arrays for constants (3 ns a pair); one function, since
 * a call in it costs 7 ns a pair.
 */
function createEmit(
  cache: EmitCache,
  entries: Int32Array,
  tails: Int32Array,
  bits: number,
): EmitCache["emit"] {
  const shift = 32 - bits;
  return (key, value) => {
    const { table, kind } = cache;
    table.emitted++;
    let code = INTEGER;
    let head = 0;
    let body = 0;
    let tail = 0;
    let rest = 0;
    if (typeof key === "string") {
      const { length } = key;
      if (length > ASCII_LENGTH_MAX || length === 0) return table.addFirst(table.rowOf(key), value);
      code = length;
      const half = length >> 1;
      const a = key.charCodeAt(0);
      const b = key.charCodeAt(length - 1);
      const c = key.charCodeAt(half);
      const d = key.charCodeAt(length >> 2);
      let all = a | b | c | d;
      let e = 0;
      let f = 0;
      let g = 0;
      let h = 0;
      head = a | (b << 8) | (c << 16) | (d << 24);
      if (length > 4) {
        e = key.charCodeAt(length - 2);
        f = key.charCodeAt(length - 3);
        g = key.charCodeAt(half - 1);
        h = key.charCodeAt(1);
        all |= e | f | g | h;
        body = e | (f << 8) | (g << 16) | (h << 24);
        if (length > 8) {
          const i = key.charCodeAt(length - 4);
          const j = key.charCodeAt(length - 5);
          const k = key.charCodeAt(half - 2);
          const l = key.charCodeAt(2);
          all |= i | j | k | l;
          tail = i | (j << 8) | (k << 16) | (l << 24);
        }
      }
      if (all > 0x7f) {
        if (length > WIDE_LENGTH_MAX) return table.addFirst(table.rowOf(key), value);
        code = ASCII_LENGTH_MAX + length;
        head = a | (b << 16);
        body = c | (d << 16);
        tail = e | (f << 16);
        rest = g | (h << 16);
      }
    } else if (typeof key === "number" && (key | 0) === key) head = key | 0;
    else return table.addFirst(table.rowOf(key), value);

    const more = Math.imul(tail ^ Math.imul(rest, 0x27d4eb2f), 0xc2b2ae35);
    const mixed = head ^ Math.imul(body ^ code ^ more, 0x85ebca6b);
    const slot = Math.imul(mixed, 0x9e3779b1) >>> shift;
    const at = slot << SLOT_WORDS_BITS;
    let place = entries[at + 2]!;
    const known = place >>> ROW_BITS === code && entries[at] === head && entries[at + 1] === body;
    if (!known || (code > 8 && (tails[at >> 1] !== tail || tails[(at >> 1) + 1] !== rest))) {
      const recalled = cache.recall(at, code, head, body, tail, rest);
      if (!recalled) cache.take(at, key, value, code, head, body);
      tails[at >> 1] = tail;
      tails[(at >> 1) + 1] = rest;
      if (!recalled) return;
      place = entries[at + 2]!;
    }
    let waiting = entries[at + 3]!;
    if (kind === "count") waiting += 1;
    else if (kind === "sum" && typeof value === "number" && (value | 0) === value) waiting += value;
    else return table.add(place & ROW_MASK, value);
    if ((waiting | 0) === waiting) entries[at + 3] = waiting;
    else table.add(place & ROW_MASK, value);
  };
}
