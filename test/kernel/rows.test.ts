import assert from "node:assert/strict";
import { test } from "node:test";
import { foldNumber, planFolds } from "#src/aggregate/fold-number.js";
import { initRow, mergeNumericRow, slotsOf } from "#src/aggregate/numeric-row.js";
import { seededRandom } from "#src/base/random.js";
import type { NumberFold, NumericOp } from "#src/job/aggregator.js";
import {
  COLUMNS_BYTES,
  COLUMNS_COUNT,
  COLUMNS_DELIMITER,
  COLUMNS_KEY,
  COLUMNS_QUOTE,
  COLUMNS_VALUE,
  FLAG_FINAL,
  MERGE_BYTES,
  MERGE_COMBINE,
  MERGE_OUT_POSITION,
  STATUS_DONE,
  STREAM_BYTES,
  STREAM_CUR,
  STREAM_END,
  STREAM_EMPTY,
  STREAM_ENDED,
  STREAM_STATE,
  STATUS_NEED,
  TABLE_INIT,
} from "#src/kernel/layout.js";
import { Bench, KINDS, decodeRecords, encodeRecord, latin1 } from "./support.ts";

const OPS: readonly NumericOp[] = ["count", "sum", "max", "min", "max", "sum", "count", "sum"];
const FOLDS: readonly NumberFold[] = [
  "one",
  "value",
  "inexact",
  "value",
  "value",
  "square",
  "inexact",
  "one",
];
const PLAN = planFolds(OPS, FOLDS);
const OP_CODES = { count: 1, sum: 2, min: 3, max: 4 } as const;
const FOLD_CODES = { one: 0x10, value: 0x20, square: 0x30, inexact: 0x40 } as const;
const CODES = OPS.map((op, i) => OP_CODES[op] | FOLD_CODES[FOLDS[i]!]);

/** Numbers of all sizes with at most 15 digits, as text. */
function numbers(random: ReturnType<typeof seededRandom>, count: number): string[] {
  return Array.from({ length: count }, () => {
    const more = Array.from({ length: random.below(14) }, () => random.below(10));
    const digits = `${1 + random.below(9)}${more.join("")}`;
    const zeros = digits.length < 8 && random.below(2) === 0 ? `0.${"0".repeat(random.below(7))}` : "";
    return `${random.below(2) === 0 ? "-" : ""}${random.below(9) === 0 ? "0" : zeros + digits}`;
  });
}

const bits = (row: ArrayLike<number>): bigint[] => [...new BigInt64Array(Float64Array.from(row).buffer)];

for (const kind of KINDS) {
  test(`${kind}: numbers taken from bytes go into rows as foldNumber puts them, bit for bit`, () => {
    const bench = new Bench(kind);
    for (let seed = 1; seed <= 40; seed++) {
      bench.reset();
      const table = bench.table({ ops: CODES.map((code) => code & 15) });
      const init = new Float64Array(slotsOf(OPS));
      initRow(OPS, init, 0);
      bench.set32(table + TABLE_INIT, bench.putRow([...init]));
      bench.heap.u8.set(CODES, bench.get32(table + 32));
      const values = numbers(seededRandom(seed), 50);
      const text = latin1(values.map((value) => `k,${value}\n`).join(""));
      const at = bench.put(text);
      const columns = bench.alloc(COLUMNS_BYTES);
      bench.set32(columns + COLUMNS_DELIMITER, 44);
      bench.set32(columns + COLUMNS_QUOTE, -1);
      bench.set32(columns + COLUMNS_KEY, 0);
      bench.set32(columns + COLUMNS_VALUE, 1);
      bench.set32(columns + COLUMNS_COUNT, 0);
      const ctl = bench.ctl();
      assert.equal(
        bench.kernels.scanColumns(table, ctl, at, at + text.length, columns, FLAG_FINAL),
        STATUS_DONE,
      );
      const want = init.slice();
      for (const value of values) foldNumber(PLAN, want, 0, Number(value));
      assert.deepEqual(bits(bench.rows(table).get("Pk")!), bits(want), `seed ${seed}`);
    }
  });

  test(`${kind}: rows merge as mergeRow merges them, bit for bit`, () => {
    const bench = new Bench(kind);
    const slots = slotsOf(OPS);
    let lossy = false;
    for (let seed = 1; seed <= 60; seed++) {
      bench.reset();
      const random = seededRandom(seed);
      const rows = Array.from({ length: 2 + random.below(8) }, () => {
        const row = new Float64Array(slots);
        initRow(OPS, row, 0);
        for (const value of numbers(random, random.below(5))) {
          // Near each other, or of all sizes: then three parts do not hold them.
          const power = seed % 2 === 0 ? random.below(100) - 50 : random.below(1120) - 700;
          foldNumber(PLAN, row, 0, Number(value) * 2 ** power);
        }
        return row;
      });
      const want = rows[0]!.slice();
      for (const row of rows.slice(1)) mergeNumericRow(OPS, want, 0, row, 0);
      lossy ||= want[4]! > 0;

      const m = bench.alloc(MERGE_BYTES);
      const streams = bench.alloc(rows.length * STREAM_BYTES);
      const out = bench.alloc(1024);
      const ops = bench.put(Uint8Array.from(CODES));
      const tree = bench.alloc(rows.length * 4);
      [rows.length, MERGE_COMBINE, ops, CODES.length, slots, streams, tree, 1, out].forEach((x, i) => {
        bench.set32(m + i * 4, x);
      });
      rows.forEach((row, s) => {
        const record = encodeRecord({ key: latin1("Pkey"), value: new Uint8Array(row.buffer) });
        const at = bench.put(record, s % 8);
        bench.set32(streams + s * STREAM_BYTES + STREAM_CUR, at);
        bench.set32(streams + s * STREAM_BYTES + STREAM_END, at + record.length);
        bench.set32(streams + s * STREAM_BYTES + STREAM_STATE, STREAM_EMPTY);
      });
      bench.kernels.mergeStart(m);
      while (bench.kernels.mergeRun(m, out, out + 1024) === STATUS_NEED) {
        bench.set32(streams + bench.get32(m + 36) * STREAM_BYTES + STREAM_STATE, STREAM_ENDED);
      }
      const records = decodeRecords(bench.bytes(out, bench.get32(m + MERGE_OUT_POSITION)));
      assert.equal(records.length, 1);
      assert.deepEqual(bits(new Float64Array(records[0]!.value.buffer)), bits(want), `seed ${seed}`);
    }
    assert.ok(lossy, "no sum lost anything");
  });
}
