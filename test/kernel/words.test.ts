import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "#src/base/random.js";
import {
  FLAG_FINAL,
  FLAG_LOWER_CASE,
  LETTER_PAGES,
  LETTER_PAGE_COUNT,
  STATUS_DONE,
  STATUS_FULL,
  STATUS_INVALID,
  STATUS_NEED_JS,
  STATUS_NEED_PAGE,
  TABLE_COUNT,
} from "#src/kernel/layout.js";
import { fillLetterPage } from "#src/kernel/letters.js";
import { Bench, KINDS } from "./support.ts";

interface Scan {
  readonly bytes: Uint8Array;
  readonly lowerCase: boolean;
  /** Bytes given to the kernel at a time. */
  readonly window: number;
  readonly arena: number;
  readonly align: number;
}

interface Counts {
  readonly words: Record<string, number>;
  readonly records: number;
  readonly lines: number;
}

/** Drives scanWords as a task does: in windows, answering every status. */
function scan(bench: Bench, s: Scan): Counts {
  bench.reset();
  const table = bench.table({ indexSlots: 2, indexSlotsMax: 64, arena: s.arena });
  const ctl = bench.ctl();
  const text = bench.put(s.bytes, s.align);
  const end = text + s.bytes.length;
  const words = new Map<string, number>();
  let byJs = 0;
  const count = (word: string, by: number): void => void words.set(word, (words.get(word) ?? 0) + by);
  const drain = (): void => {
    for (const [key, [n]] of bench.rows(table)) {
      assert.equal(key[0], "P");
      count(Buffer.from(key.slice(1), "latin1").toString("utf8"), n!);
    }
    bench.kernels.tableReset(table);
  };
  let at = text;
  let window = s.window;
  while (at < end) {
    const stop = Math.min(at + window, end);
    const flags = (s.lowerCase ? FLAG_LOWER_CASE : 0) | (stop === end ? FLAG_FINAL : 0);
    const status = bench.kernels.scanWords(table, ctl, at, stop, flags);
    const { position, detail } = bench.readCtl(ctl);
    assert.ok(position >= at && position <= stop);
    if (status === STATUS_DONE) {
      window = position === at ? window + s.window : s.window;
      at = position;
      continue;
    }
    at = position;
    if (status === STATUS_FULL) {
      assert.ok(bench.get32(table + TABLE_COUNT) > 0, "a word does not fit into an empty table");
      drain();
    } else if (status === STATUS_NEED_PAGE) fillLetterPage(bench.heap, detail);
    else if (status === STATUS_NEED_JS) {
      count(Buffer.from(bench.bytes(position, detail)).toString("utf8").toLowerCase(), 1);
      byJs++;
      at = detail;
    } else {
      assert.equal(status, STATUS_INVALID);
      at += detail;
    }
  }
  drain();
  const { records, lines } = bench.readCtl(ctl);
  return { words: Object.fromEntries([...words].sort()), records: records + byJs, lines };
}

function naive(bytes: Uint8Array, lowerCase: boolean): Counts {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  const words = new Map<string, number>();
  const found = text.match(/\p{L}+/gu) ?? [];
  for (const raw of found) {
    const word = lowerCase ? raw.toLowerCase() : raw;
    words.set(word, (words.get(word) ?? 0) + 1);
  }
  return {
    words: Object.fromEntries([...words].sort()),
    records: found.length,
    lines: bytes.filter((byte) => byte === 10).length,
  };
}

const PIECES: readonly string[] = [
  "the",
  "a",
  "I",
  "Word",
  "eightful",
  "sevenly",
  "ninechars",
  "incomprehensibilities",
  "don't",
  "x1y",
  "123",
  "\n",
  "\r\n",
  " ",
  "  ",
  ". ",
  "—",
  "“quoted”",
  "é",
  "ÉCOLE",
  "naïve",
  "Ärger",
  "ΟΔΟΣ",
  "İstanbul",
  "привет",
  "ПРИВЕТ",
  "漢字",
  "한국어",
  "😀",
  "𝒳𝓎",
  "e\u0301",
  "\u{10ffff}",
  "\ufeff",
  "ǅ",
  "x".repeat(70),
];
const JUNK: readonly number[][] = [
  [0xff],
  [0xc3],
  [0xe2, 0x80],
  [0xf0, 0x9f, 0x98],
  [0x80],
  [0xed, 0xa0, 0x80],
  [0xc0, 0xaf],
];

for (const kind of KINDS) {
  test(`${kind}: finds the words of every short string of bytes, at the edge of a block`, () => {
    const bench = new Bench(kind);
    const alphabet = [0x61, 0x5a, 0x20, 0x0a, 0xc3, 0xa9, 0xe4, 0xb8];
    for (let code = 0; code < alphabet.length ** 3; code++) {
      const three = [0, 1, 2].map(
        (i) => alphabet[Math.floor(code / alphabet.length ** i) % alphabet.length]!,
      );
      for (const [filler, length] of [
        [0x20, 0],
        [0x78, 62],
        [0x20, 61],
        [0x0a, 63],
      ] as const) {
        const bytes = Uint8Array.from([...new Uint8Array(length).fill(filler), ...three]);
        for (const lowerCase of [false, true]) {
          const got = scan(bench, { bytes, lowerCase, window: 1000, arena: 4096, align: 1 });
          assert.deepEqual(got, naive(bytes, lowerCase), `${bytes.join(" ")}, lowerCase ${lowerCase}`);
        }
      }
    }
  });

  test(`${kind}: counts the words of any text with any window, table size and stop`, () => {
    for (let seed = 1; seed <= 150; seed++) {
      const random = seededRandom(seed);
      const bench = new Bench(kind, 1 << 18);
      const pieces: Uint8Array[] = [];
      for (let i = 0; i < 20 + random.below(200); i++) {
        const junk = seed % 3 === 0 && random.below(10) === 0;
        if (junk) pieces.push(Uint8Array.from(JUNK[random.below(JUNK.length)]!));
        // Some seeds have few wide letters, so that whole blocks are ASCII.
        const some = seed % 2 === 0 ? PIECES.length : 16;
        pieces.push(Buffer.from(PIECES[random.below(some)]!));
        if (random.below(3) > 0) pieces.push(Buffer.from(" "));
      }
      const bytes = Buffer.concat(pieces);
      const lowerCase = seed % 4 < 2;
      const window = [1, 7, 64, 100, 1_000_000][random.below(5)]!;
      const arena = [128, 300, 8192][random.below(3)]!;
      const got = scan(bench, { bytes, lowerCase, window, arena, align: random.below(8) + 1 });
      assert.deepEqual(got, naive(bytes, lowerCase), `seed ${seed}`);
    }
  });

  test(`${kind}: counts more words than the caches hold`, () => {
    const bench = new Bench(kind, 16 << 20);
    const names = Array.from({ length: 50_000 }, (_, i) =>
      i.toString(36).replace(/[0-9]/g, (d) => "QRSTUVWXYZ"[+d]!),
    );
    const bytes = Buffer.from([...names, ...names.toReversed()].join(" "));
    const table = bench.table({ indexSlotsMax: 1 << 18, arena: 4 << 20 });
    const ctl = bench.ctl();
    const text = bench.put(bytes);
    assert.equal(bench.kernels.scanWords(table, ctl, text, text + bytes.length, FLAG_FINAL), STATUS_DONE);
    const rows = bench.rows(table);
    assert.equal(rows.size, names.length);
    for (const name of names) assert.deepEqual(rows.get(`P${name}`), [2], name);
  });

  test(`${kind}: a word as long as the input, and none at all`, () => {
    const bench = new Bench(kind);
    for (const length of [1, 7, 8, 15, 16, 63, 64, 65, 127, 128, 129, 1000]) {
      for (const fill of [0x71, 0x20]) {
        const bytes = new Uint8Array(length).fill(fill);
        const got = scan(bench, { bytes, lowerCase: false, window: 4096, arena: 4096, align: 3 });
        assert.deepEqual(got, naive(bytes, false), `${length} x ${fill}`);
      }
    }
  });
}

test("the letters of all Unicode pages fit, and are what the regular expression says", () => {
  const { heap } = new Bench("typescript", 0);
  for (let page = 0; page < LETTER_PAGE_COUNT; page++) fillLetterPage(heap, page);
  const kinds = heap.u8.subarray(LETTER_PAGES, LETTER_PAGES + LETTER_PAGE_COUNT);
  assert.ok(!kinds.includes(0));
  assert.equal(kinds[0x4f], 2, "U+4F00 .. U+4FFF are all letters");
  assert.equal(kinds[0x1000], 1, "U+100000 is for private use");
});
