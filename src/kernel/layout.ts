// What the kernels and the code around them agree on: structures in one linear memory, little-endian.
// assembly/layout.ts repeats the constants for the WebAssembly side; a test compares the two files.
//
// Memory
//   0      .. 65,536   the kernels' own: letter bitmaps (LETTER_*), SORT_* and WORD_SCRATCH
//   HEAP_START ..      the caller's: everything below lives there
//   The last HEAP_SLACK bytes are nobody's: kernels read (never write) up to that far past the bytes they
//   are given.
//
// Cell: one record in an arena. Starts at a multiple of 8; its size is rounded up to 8, the padding zero.
//   +0  u32 hash        of the key (see typescript/hash.ts)
//   +4  u32 partition   written by the caller when it chooses partitions itself
//   +8  u32 keyLen
//   +12 u32 valLen
//   +16 value, valLen bytes, then the key, keyLen bytes
//   In a table's arena the value is the state row (slots x f64), so that the key starts at a multiple of 8.
//
// Key: bytes ordered by memcmp, a proper prefix first. A string key is KEY_TAG_STRING and then its UTF-8.
//
// Arena: +0 start, +4 top (next free byte), +8 end, +12 count of cells. Cells lie from start to top
// without gaps.
//
// Table: an open-addressing hash index over an arena (the arena struct is embedded at TABLE_ARENA).
//   +0  indexPtr        slots of 8 bytes {u32 hash, u32 cell pointer; 0: empty}, linear probing; at a
//                       multiple of 8
//   +4  indexMask       number of slots - 1; the number is a power of two
//   +8  indexMaxBytes   the index doubles in place up to this size, reserved from indexPtr on
//   +12 arena           start, top, end, count
//   +28 slots           f64 in a state row
//   +32 opsPtr          opsCount bytes, each an OP_*
//   +36 opsCount
//   +40 initPtr         the row new keys start with (f64 x slots, at a multiple of 8)
//   The index is doubled at load 1/2 while it may grow, and full at load 3/4.
//
// Op: one byte, how a part of a state row merges and (in its high half) what a plain number puts into it.
//   count: 1 slot, added; a number puts 1. sum: 4 slots, an exact sum in three parts and a bound of what
//   they lack; the number. min, max: 1 slot; the number. flag: as max, but a number puts 0 when it is a safe
//   integer and else 1.
//   FOLD_* says otherwise: 1, the number, its square (exactly), or 0 / 1 as for flag.
//
// Control: how a scanning kernel reports where it stopped (i32 each).
//   +0  position        address of the first byte not consumed; for kernels that write, see there
//   +4  detail          depends on the status
//   +8  records         words, rows, lines or records handled: added to, the caller clears it
//   +12 lines           newlines consumed (scanWords only): added to
//   +16 outPosition     end of the bytes written, for kernels that write
//
// Columns: parameters of scanColumns (i32 each).
//   +0 delimiter byte, +4 quote byte or -1, +8 key column, +12 value column or -1 (columns count from 0),
//   +16 columns every row must have, or 0 for any number
//
// Entry: one cell to be sorted. 16 bytes at a multiple of 8.
//   +0  u64 prefix      key bytes [keySkip, keySkip + 8), zero padded, as a big-endian number
//   +8  u32 cell pointer
//   +12 u32 partition
//
// Record: [varint keyLen][varint valLen][key][value], varints unsigned LEB128 of at most 32 bits.
//
// Merge: k sorted streams of records into one. At a multiple of 8.
//   +0  k               at least 1
//   +4  mode            MERGE_COPY or MERGE_COMBINE
//   +8  opsPtr, +12 opsCount, +16 slots   of the state rows (MERGE_COMBINE)
//   +20 streamsPtr      k stream structs
//   +24 treePtr         k x u32, the kernel's
//   +28 keySkip         leading bytes that all keys share
//   +32 outPosition     next byte to write; set to the window's start whenever the window is empty
//   +36 detail          depends on the status
//   +40 records         records written: added to
//   +44 .. 80           the kernel's
// Stream: 64 bytes at a multiple of 8.
//   +0  cur             next unread record; +4 end: of the window. The caller sets both
//   +8  state           the caller sets STREAM_EMPTY at the beginning, STREAM_ENDED when there is no more
//   +12 .. 64           the kernel's: the head record

export const PAGE_BYTES = 65536;
export const HEAP_START = 65536;
export const HEAP_SLACK = 64;

export const CELL_HASH = 0;
export const CELL_PARTITION = 4;
export const CELL_KEY_LEN = 8;
export const CELL_VAL_LEN = 12;
export const CELL_HEADER = 16;

/** The tag byte before the UTF-8 of a string key. Frozen: it is part of the run file format. */
export const KEY_TAG_STRING = 0x50;

/** The encoded values undefined and null: this one byte. Frozen as well. */
export const VALUE_UNDEFINED = 0;
export const VALUE_NULL = 1;

export const ARENA_START = 0;
export const ARENA_TOP = 4;
export const ARENA_END = 8;
export const ARENA_COUNT = 12;
export const ARENA_BYTES = 16;

export const TABLE_INDEX = 0;
export const TABLE_MASK = 4;
export const TABLE_INDEX_MAX = 8;
export const TABLE_ARENA = 12;
export const TABLE_ARENA_START = 12;
export const TABLE_ARENA_TOP = 16;
export const TABLE_ARENA_END = 20;
export const TABLE_COUNT = 24;
export const TABLE_SLOTS = 28;
export const TABLE_OPS = 32;
export const TABLE_OPS_COUNT = 36;
export const TABLE_INIT = 40;
export const TABLE_BYTES = 48;
export const INDEX_SLOT_BYTES = 8;

export const OP_COUNT = 1;
export const OP_SUM = 2;
export const OP_MIN = 3;
export const OP_MAX = 4;
export const OP_FLAG = 5;
/** Behind the op, in the byte's high half: what a number puts into it. 0: as said above. */
export const FOLD_ONE = 0x10;
export const FOLD_VALUE = 0x20;
export const FOLD_SQUARE = 0x30;
export const FOLD_INEXACT = 0x40;

export const CTL_POSITION = 0;
export const CTL_DETAIL = 4;
export const CTL_RECORDS = 8;
export const CTL_LINES = 12;
export const CTL_OUT_POSITION = 16;
export const CTL_BYTES = 24;

export const COLUMNS_DELIMITER = 0;
export const COLUMNS_QUOTE = 4;
export const COLUMNS_KEY = 8;
export const COLUMNS_VALUE = 12;
export const COLUMNS_COUNT = 16;
export const COLUMNS_BYTES = 24;

export const ENTRY_PREFIX = 0;
export const ENTRY_CELL = 8;
export const ENTRY_PARTITION = 12;
export const ENTRY_BYTES = 16;

export const MERGE_K = 0;
export const MERGE_MODE = 4;
export const MERGE_OPS = 8;
export const MERGE_OPS_COUNT = 12;
export const MERGE_SLOTS = 16;
export const MERGE_STREAMS = 20;
export const MERGE_TREE = 24;
export const MERGE_KEY_SKIP = 28;
export const MERGE_OUT_POSITION = 32;
export const MERGE_DETAIL = 36;
export const MERGE_RECORDS = 40;
export const MERGE_BUILT = 44;
export const MERGE_GROUP_KEY = 48;
export const MERGE_GROUP_KEY_LEN = 52;
export const MERGE_GROUP_ROW = 56;
export const MERGE_GROUP_END = 60;
export const MERGE_GROUP_PREFIX = 64;
export const MERGE_BYTES = 80;

/** Every record is written, equal keys in the order of their streams. */
export const MERGE_COPY = 0;
/** Records of equal keys become one, their values (state rows) merged in the order of their streams. */
export const MERGE_COMBINE = 1;

export const STREAM_CUR = 0;
export const STREAM_END = 4;
export const STREAM_STATE = 8;
export const STREAM_RECORD = 12;
export const STREAM_KEY = 16;
export const STREAM_KEY_LEN = 20;
export const STREAM_VAL = 24;
export const STREAM_VAL_LEN = 28;
export const STREAM_PREFIX = 32;
export const STREAM_BYTES = 64;

export const STREAM_EMPTY = 0;
export const STREAM_HEAD = 1;
export const STREAM_ENDED = 2;
/** The kernel's own: an ended stream that has left the games. */
export const STREAM_DRAINED = 3;

/** All input consumed; what may be the beginning of an unfinished record is left, see ctl.position. */
export const STATUS_DONE = 0;
/**
 * No room in the table or arena for the record at ctl.position. An empty one means: the record is too
 * large for it.
 */
export const STATUS_FULL = 1;
/** Fill the letter page ctl.detail (letters.ts) and call again from ctl.position. */
export const STATUS_NEED_PAGE = 2;
/**
 * The record at ctl.position (up to ctl.detail, when that is not 0) needs JavaScript; continue behind it.
 */
export const STATUS_NEED_JS = 3;
/** Invalid UTF-8; see the kernel. */
export const STATUS_INVALID = 4;
/** No room in the output window: flush it and call again. */
export const STATUS_OUT_FULL = 5;
/** The next record needs `detail` bytes, more than the whole output window. */
export const STATUS_TOO_BIG = 6;
/** Stream `detail` has no head and no bytes: refill or end it, then call again. */
export const STATUS_NEED = 7;

/** The bytes given are the last of the input: what ends with them is complete. */
export const FLAG_FINAL = 1;
/** scanWords: count words under their lower case (toLowerCase, not locale dependent). */
export const FLAG_LOWER_CASE = 2;
/** appendLines: stop at lines that are not valid UTF-8. */
export const FLAG_VALIDATE = 4;
/** appendLines: compute hashes (needed when there is more than one partition). */
export const FLAG_HASH = 8;

/**
 * One byte per page of 256 code points: 0 unknown, 1 no letters, 2 all letters, else the number of its
 * bitmap.
 */
export const LETTER_PAGES = 1024;
export const LETTER_PAGE_COUNT = 4352;
/** Bitmaps of 32 bytes, bit (code point & 7) of byte ((code point & 255) >> 3). */
export const LETTER_BITMAPS = 8192;
export const LETTER_BITMAPS_MAX = 256;

/** Histograms of 1 KiB, one for each level of the sort's recursion. */
export const SORT_SCRATCH = 16384;
export const SORT_LEVELS = 32;

/** scanWords: the words of a block, at most 33 of 24 bytes. */
export const WORD_SCRATCH = 49152;
export const WORD_SCRATCH_BYTES = 1024;

/** The seed of the key hash: the first fraction bits of pi. Frozen: hashes choose partitions. */
export const HASH_SEED = 0x243f6a88;
/** The multiplier of the key hash: 2^32 / golden ratio, odd. Frozen. */
export const HASH_MULTIPLIER = 0x9e3779b1;
/**
 * Added to a hash before it chooses a partition, so that partition and index slot are independent. Frozen.
 */
export const PARTITION_STEP = 0x9e3779b9;
