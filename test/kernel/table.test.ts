import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "#src/base/random.js";
import { CELL_HEADER, TABLE_MASK } from "#src/kernel/layout.js";
import { Bench, KINDS, latin1 } from "./support.ts";

for (const kind of KINDS) {
  test(`${kind}: counting through the table equals counting in a Map`, () => {
    const bench = new Bench(kind, 4 << 20);
    const random = seededRandom(7);
    const table = bench.table({ ops: [1, 3], indexSlots: 2, indexSlotsMax: 1 << 16, arena: 1 << 20 });
    const scratch = bench.alloc(256);
    const expected = new Map<string, number[]>();
    for (let i = 0; i < 20_000; i++) {
      const key =
        "P" + String.fromCharCode(97 + random.below(2)).repeat(random.below(40)) + random.below(100);
      bench.heap.u8.set(latin1(key), scratch + (i % 8));
      const cell = bench.kernels.tableUpsert(table, scratch + (i % 8), key.length);
      assert.ok(cell > 0);
      bench.heap.f64[(cell + CELL_HEADER) / 8]! += 1;
      expected.set(key, [(expected.get(key)?.[0] ?? 0) + 1, Infinity]);
    }
    assert.deepEqual(bench.rows(table), expected);
  });

  test(`${kind}: keys that differ only by zero bytes at their end are different keys`, () => {
    const bench = new Bench(kind);
    const table = bench.table({});
    for (let length = 1; length < 40; length++) {
      const key = bench.put(new Uint8Array(length));
      bench.kernels.tableUpsert(table, key, length);
      bench.kernels.tableUpsert(table, key, length);
      assert.equal(bench.rows(table).size, length);
    }
  });

  test(`${kind}: the index grows at half load to its maximum, and is full at three quarters`, () => {
    const bench = new Bench(kind);
    const table = bench.table({ indexSlots: 4, indexSlotsMax: 16 });
    const sizes = [];
    for (let i = 0; i < 14; i++) {
      const key = latin1(`P${i}`);
      const cell = bench.kernels.tableUpsert(table, bench.put(key), key.length);
      sizes.push(cell === 0 ? 0 : bench.get32(table + TABLE_MASK) + 1);
    }
    assert.deepEqual(sizes, [4, 4, 8, 8, 16, 16, 16, 16, 16, 16, 16, 16, 0, 0]);
    const known = latin1("P3");
    assert.ok(bench.kernels.tableUpsert(table, bench.put(known), 2) > 0, "known keys still go in");
    bench.kernels.tableReset(table);
    assert.equal(bench.rows(table).size, 0);
    assert.ok(
      bench.kernels.tableUpsert(table, bench.put(latin1("P99")), 3) > 0,
      "after a reset there is room",
    );
  });

  test(`${kind}: a full arena refuses the key and stays as it was`, () => {
    const bench = new Bench(kind);
    for (let arena = 0; arena <= 64; arena += 8) {
      const table = bench.table({ arena });
      const key = bench.put(latin1("Pabcdefgh"));
      const fits = arena >= CELL_HEADER + 8 + 16;
      assert.equal(bench.kernels.tableUpsert(table, key, 9) > 0, fits, `arena of ${arena}`);
      assert.equal(bench.rows(table).size, fits ? 1 : 0);
    }
  });
}
