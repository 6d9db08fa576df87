export type KernelKind = "wasm" | "typescript";

/** WebAssembly.Memory: the part of it that is used here. */
export interface LinearMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}

/** The memory's bytes under several types. Growing replaces them: read them anew after grow(). */
export interface HeapViews {
  readonly u8: Uint8Array<ArrayBuffer>;
  readonly i32: Int32Array<ArrayBuffer>;
  readonly u32: Uint32Array<ArrayBuffer>;
  readonly f64: Float64Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
}

/** One linear memory and the kernels bound to it. Addresses are byte offsets. */
export interface Heap extends HeapViews {
  readonly memory: LinearMemory;
  readonly kernels: Kernels;
  /** "wasm" or "typescript": which kernels these are. */
  readonly kind: KernelKind;
  /** The caller's bytes are [start, end); `end` moves when the heap grows. */
  readonly start: number;
  readonly end: number;
  /**
   * Makes room for `bytes` more from the old `end` on.
   * @throws SheafError OUT_OF_MEMORY
   */
  grow(bytes: number): void;
}

/**
 * Compute kernels over one linear memory (layout.ts). Arguments ending in -Ptr, -End, `table`, `ctl`,
 * `merge` are byte addresses, lengths are bytes, results are unsigned. Two implementations behave alike to
 * the bit: WebAssembly, and plain TypeScript as its reference and fallback. No kernel allocates; every one
 * leaves what it reports about in memory, so that it can be called again where it stopped.
 */
export interface Kernels {
  /** The frozen hash of key bytes; see typescript/hash.ts. */
  hashKey(keyPtr: number, keyLen: number): number;

  /** Empties a table: clears its index (of the current size) and its arena. */
  tableReset(table: number): void;
  /** Doubles the index in place. Returns 1, or 0 when indexMaxBytes forbids. */
  tableGrow(table: number): number;
  /**
   * The cell of a key (keyLen >= 1), made with the starting row when it is new; 0 when the table is full.
   */
  tableUpsert(table: number, keyPtr: number, keyLen: number): number;

  /**
   * Adds 1 to the first slot of every word: a maximal run of Unicode letters (general category L) in UTF-8
   * text, its key a string key. Flags: FLAG_FINAL, FLAG_LOWER_CASE. ctl.records counts words, ctl.lines
   * newlines.
   * - DONE: everything up to ctl.position consumed; without FLAG_FINAL a word or code point the end may
   *   have cut is left.
   * - FULL: the word at ctl.position does not fit.
   * - NEED_PAGE: call fillLetterPage for page ctl.detail.
   * - NEED_JS: lower case of the word [ctl.position, ctl.detail) is not ASCII's: add it, then go on at
   *   ctl.detail.
   * - INVALID: no UTF-8 at ctl.position; ctl.detail bytes are what a decoder replaces by one U+FFFD.
   *   Skipping them goes on as a decoder would.
   */
  scanWords(table: number, ctl: number, ptr: number, end: number, flags: number): number;

  /**
   * Rows of delimited columns (rows end with \n or \r\n; with FLAG_FINAL the last one at `end`): upserts
   * the key column as a string key and folds 1, or the value column's number, into every op of its row.
   * ctl.records counts rows. `columns` is a Columns struct.
   * - DONE, FULL: as scanWords, for rows.
   * - NEED_JS: the row at ctl.position (its first newline or the end at ctl.detail) is empty, contains the
   *   quote, lacks a column or has another number of them than `columns` says, is no UTF-8, or its value
   *   is not [+-]digits[.digits] of at most 15 digits. Nothing of it was added.
   */
  scanColumns(table: number, ctl: number, ptr: number, end: number, columns: number, flags: number): number;

  /**
   * Appends each line, without its \n or \r\n, as a cell with a string key and no value. Flags:
   * FLAG_FINAL, FLAG_VALIDATE, FLAG_HASH (else the cells' hash is 0). ctl.records counts lines.
   * - DONE, FULL: as scanWords, for lines.
   * - INVALID (FLAG_VALIDATE): the line at ctl.position is no UTF-8, first at ctl.detail.
   */
  appendLines(arena: number, ctl: number, ptr: number, end: number, flags: number): number;

  /**
   * Writes an entry for each cell of [arenaStart, arenaTop), in order; returns their number. The first
   * keySkip bytes of all keys are equal. partitions: 0 takes the cells' partition field, else it is chosen
   * by the cells' hash.
   */
  makeEntries(
    arenaStart: number,
    arenaTop: number,
    entriesPtr: number,
    keySkip: number,
    partitions: number,
  ): number;
  /**
   * Sorts n entries by (partition, key), stably; returns the address of the result: entriesPtr or tmpPtr,
   * which has room for as many. Prefixes are undefined afterwards. keySkip as given to makeEntries.
   */
  sortEntries(entriesPtr: number, tmpPtr: number, n: number, keySkip: number): number;
  /**
   * Writes the records of entries from..to in order while they fit into [outPtr, outEnd) and the partition
   * is that of the first. Returns the index of the first entry not written; the bytes' end is
   * ctl.outPosition. When not even the first fits, ctl.detail is the size it needs, else 0.
   */
  gather(entriesPtr: number, from: number, to: number, outPtr: number, outEnd: number, ctl: number): number;

  /** Begins a merge: the caller has filled the Merge struct's own fields and those of all streams. */
  mergeStart(merge: number): void;
  /**
   * Merges into the window [outPtr, outEnd), on from merge.outPosition.
   * - DONE: all streams ended; [outPtr, outPosition) holds the rest.
   * - NEED: refill stream merge.detail (set cur and end; a window holds whole records) or set its state to
   *   STREAM_ENDED, then call again with the same window, untouched: an open group may lie behind
   *   outPosition.
   * - OUT_FULL: take [outPtr, outPosition), set outPosition to the start of a window, call again.
   * - TOO_BIG: as OUT_FULL, the window being empty: give one of at least merge.detail bytes.
   */
  mergeRun(merge: number, outPtr: number, outEnd: number): number;

  /**
   * Prints each record of [inPtr, inEnd) as its string key and "\n". ctl.position is the first record not
   * printed, ctl.outPosition the end of the text; ctl.records counts.
   * - DONE.
   * - OUT_FULL: that record's line takes ctl.detail bytes.
   * - NEED_JS: the key is no string, or there is a value: not empty bytes, undefined or null.
   */
  formatText(inPtr: number, inEnd: number, outPtr: number, outEnd: number, ctl: number): number;
  /**
   * As formatText: key "\t" integer "\n", the value being a row of one slot, or of a sum and its flag (3
   * slots); or key "\n" when the value is undefined or has no bytes.
   * - NEED_JS: the key is no string or contains \t, \n, \r or a backslash, the value is no such row, or it
   *   is -0, no integer, or beyond 2^53 - 1.
   */
  formatTsv(inPtr: number, inEnd: number, outPtr: number, outEnd: number, ctl: number): number;

  /** 1 when the bytes are valid UTF-8, else 0. */
  utf8Valid(ptr: number, len: number): number;
}
