import assert from "node:assert/strict";
import { isUtf8 } from "node:buffer";
import { test } from "node:test";
import { seededRandom } from "#src/base/random.js";
import {
  COLUMNS_BYTES,
  COLUMNS_COUNT,
  COLUMNS_DELIMITER,
  COLUMNS_KEY,
  COLUMNS_QUOTE,
  COLUMNS_VALUE,
  FLAG_FINAL,
  STATUS_DONE,
  STATUS_FULL,
  STATUS_NEED_JS,
  TABLE_COUNT,
} from "#src/kernel/layout.js";
import { Bench, KINDS, latin1 } from "./support.ts";

interface Scan {
  readonly text: string;
  readonly delimiter: string;
  readonly quote: boolean;
  readonly keyColumn: number;
  readonly valueColumn: number;
  /** Columns every row must have; 0: any number. */
  readonly columns: number;
  readonly window: number;
  readonly arena: number;
}

interface Result {
  /** Key to count, sum, flag, min, max. */
  readonly rows: Record<string, number[]>;
  /** Rows left to JavaScript. */
  readonly left: string[];
}

/** count, sum and its flag, min, max. */
const OPS = [1, 2, 5, 3, 4];

function scan(bench: Bench, s: Scan): Result {
  bench.reset();
  const table = bench.table({ ops: OPS, indexSlots: 2, indexSlotsMax: 64, arena: s.arena });
  const ctl = bench.ctl();
  const columns = bench.alloc(COLUMNS_BYTES);
  bench.set32(columns + COLUMNS_DELIMITER, s.delimiter.charCodeAt(0));
  bench.set32(columns + COLUMNS_QUOTE, s.quote ? 34 : -1);
  bench.set32(columns + COLUMNS_KEY, s.keyColumn);
  bench.set32(columns + COLUMNS_VALUE, s.valueColumn);
  bench.set32(columns + COLUMNS_COUNT, s.columns);
  const bytes = latin1(s.text);
  const text = bench.put(bytes, 5);
  const end = text + bytes.length;
  const rows = new Map<string, number[]>();
  const left: string[] = [];
  const drain = (): void => {
    for (const [key, row] of bench.rows(table)) {
      const old = rows.get(key.slice(1));
      assert.deepEqual(row.slice(2, 5), [0, 0, 0], "these sums need no more than their first part");
      rows.set(key.slice(1), old ? mergeRows(old, dropLow(row)) : dropLow(row));
    }
    bench.kernels.tableReset(table);
  };
  let at = text;
  let window = s.window;
  while (at < end) {
    const stop = Math.min(at + window, end);
    const status = bench.kernels.scanColumns(table, ctl, at, stop, columns, stop === end ? FLAG_FINAL : 0);
    const { position, detail } = bench.readCtl(ctl);
    window = status === STATUS_DONE && position === at ? window + s.window : s.window;
    at = position;
    if (status === STATUS_FULL) {
      assert.ok(bench.get32(table + TABLE_COUNT) > 0);
      drain();
    } else if (status === STATUS_NEED_JS) {
      left.push(Buffer.from(bench.bytes(at, detail)).toString("latin1"));
      at = Math.min(detail + 1, end);
    } else assert.equal(status, STATUS_DONE);
  }
  drain();
  const counted = [...rows.values()].reduce((sum, row) => sum + row[0]!, 0);
  assert.equal(bench.readCtl(ctl).records, counted);
  return { rows: Object.fromEntries([...rows].sort()), left };
}

const dropLow = (row: readonly number[]): number[] => row.filter((_, i) => i < 2 || i > 4);

function mergeRows(a: readonly number[], b: readonly number[]): number[] {
  return [
    a[0]! + b[0]!,
    a[1]! + b[1]!,
    Math.max(a[2]!, b[2]!),
    Math.min(a[3]!, b[3]!),
    Math.max(a[4]!, b[4]!),
  ];
}

function naive(s: Scan): Result {
  const lines = s.text.split("\n");
  const last = lines.pop()!;
  const rows = new Map<string, number[]>();
  const left: string[] = [];
  for (const [line, ended] of [
    ...lines.map((l) => [l, true] as const),
    ...(last ? [[last, false] as const] : []),
  ]) {
    const row = ended ? line.replace(/\r$/, "") : line;
    const fields = row.split(s.delimiter);
    const key = fields[s.keyColumn];
    const value = s.valueColumn < 0 ? "0" : fields[s.valueColumn];
    const digits = value?.replace(/[^0-9]/g, "").length ?? 0;
    const refused =
      row === "" ||
      row.endsWith("\r") !== (ended && line.endsWith("\r\r")) ||
      (s.quote && row.includes('"')) ||
      (s.columns > 0 && fields.length !== s.columns) ||
      key === undefined ||
      value === undefined ||
      !/^[+-]?\d+(\.\d+)?$/.test(value) ||
      digits > 15 ||
      !isUtf8(latin1(row));
    if (refused) left.push(line);
    else {
      const x = Number(value) + 0;
      const one = [1, x, Number.isSafeInteger(x) ? 0 : 1, x, x];
      rows.set(key, rows.has(key) ? mergeRows(rows.get(key)!, one) : one);
    }
  }
  return { rows: Object.fromEntries([...rows].sort()), left };
}

const plain = {
  delimiter: ",",
  quote: true,
  keyColumn: 0,
  valueColumn: 1,
  columns: 0,
  window: 1e6,
  arena: 4096,
};

for (const kind of KINDS) {
  test(`${kind}: takes the numbers that Number() would read the same way, and no others`, () => {
    const bench = new Bench(kind);
    const taken = [
      "0",
      "-0",
      "+7",
      "007",
      "1.5",
      "-12.25",
      "0.1",
      "123456789012345",
      "0.00000000000001",
      "99999999999999.9",
    ];
    const refused = [
      "",
      "+",
      "-",
      ".5",
      "5.",
      "1e3",
      " 1",
      "1 ",
      "0x10",
      "1_0",
      "Infinity",
      "NaN",
      "--1",
      "1.2.3",
      "1,5",
      "1234567890123456",
      "0.000000000000001",
    ];
    for (const value of [...taken, ...refused]) {
      const text = `k;${value}\n`;
      const got = scan(bench, { ...plain, delimiter: ";", text });
      const x = Number(value) + 0;
      const row = [1, x, Number.isSafeInteger(x) ? 0 : 1, x, x];
      assert.deepEqual(
        got,
        taken.includes(value) ? { rows: { k: row }, left: [] } : { rows: {}, left: [`k;${value}`] },
      );
    }
  });

  test(`${kind}: decimal numbers are rounded as Number() does`, () => {
    const bench = new Bench(kind);
    const random = seededRandom(5);
    for (let i = 0; i < 3000; i++) {
      const digits = Array.from({ length: 1 + random.below(15) }, () => random.below(10)).join("");
      const point = 1 + random.below(digits.length);
      const value = `${digits.slice(0, point)}${point < digits.length ? "." : ""}${digits.slice(point)}`;
      const got = scan(bench, { ...plain, text: `k,${value}\n` });
      assert.equal(got.rows["k"]?.[3], Number(value), value);
    }
  });

  test(`${kind}: reads every short row`, () => {
    const bench = new Bench(kind);
    const alphabet = ["a", ",", "\n", "\r", "1", '"', "\xc3\xa9", "\xff"];
    for (let code = 0; code < alphabet.length ** 4; code++) {
      const letters = Array.from(
        { length: 4 },
        (_, i) => alphabet[Math.floor(code / alphabet.length ** i) % 8]!,
      );
      const s = {
        ...plain,
        arena: 512,
        valueColumn: code % 3 === 0 ? -1 : 1,
        columns: code % 5 === 0 ? 2 : 0,
        text: letters.join(""),
      };
      assert.deepEqual(scan(bench, s), naive(s), JSON.stringify(s.text));
    }
  });

  test(`${kind}: reads rows with any columns, windows and table sizes`, () => {
    const bench = new Bench(kind);
    for (let seed = 1; seed <= 150; seed++) {
      const random = seededRandom(seed);
      const columns = 1 + random.below(6);
      let text = "";
      for (let i = random.below(80); i > 0; i--) {
        const cells = Array.from({ length: columns - (random.below(10) === 0 ? 1 : 0) }, () =>
          random.below(2) === 0
            ? `${random.below(2000) - 1000}${random.below(2) ? `.${random.below(2) * 5}` : ""}`
            : ["abc", "", "key number one", "caf\xc3\xa9", "S\xe3o", 'say "x"', "x".repeat(random.below(80))][
                random.below(7)
              ]!,
        );
        text += cells.join(";") + (random.below(4) === 0 ? "\r\n" : "\n");
      }
      if (seed % 2 === 0) text = text.slice(0, -1);
      const s = {
        text,
        delimiter: ";",
        quote: seed % 3 > 0,
        keyColumn: random.below(columns),
        valueColumn: random.below(columns + 1) - 1,
        columns: seed % 5 === 0 ? columns : 0,
        window: 1 + random.below(400),
        arena: 200 + random.below(3000),
      };
      assert.deepEqual(scan(bench, s), naive(s), `seed ${seed}`);
    }
  });
}
