import assert from "node:assert/strict";
import { test } from "node:test";
import { collect } from "#src/aggregate/collect.js";
import { sum } from "#src/aggregate/sum.js";
import { seededRandom } from "#src/base/random.js";
import { KiB, MiB } from "#src/base/size.js";
import type { Aggregator } from "#src/job/aggregator.js";
import type { Key } from "#src/job/key.js";
import type { Collector } from "#src/shuffle/collector.js";
import type { Partitioning } from "#src/shuffle/partitioning.js";
import { StateCollector } from "#src/shuffle/state-collector.js";
import { TableCollector } from "#src/shuffle/table-collector.js";
import { Shelf, decoded, nameOf, one, place, randomKey, tempDir } from "./support.js";

const throwing: Partitioning = {
  kind: "each",
  partitions: 2,
  choose: (_memory, _at, length, key) => {
    if (typeof key === "string" && key.startsWith("no")) throw new RangeError("partition");
    return length % 2;
  },
};
/** A collect() of one value a key and run that refuses null. */
const picky = {
  ...collect(),
  add(state: { values: unknown[] }, value: unknown) {
    if (value === null) throw new RangeError("null");
    return collect().add(state as never, value);
  },
} as unknown as Aggregator<unknown, unknown>;

for (const [partitions, partitioning] of [
  ["hash", one],
  ["each", throwing],
] as const) {
  for (const kind of ["table", "states"]) {
    test(`refused pairs leave nothing in ${kind} of ${partitions} partitions, over spills`, (t) => {
      const shelf = new Shelf(tempDir(t), 1 * MiB);
      const at = place(shelf, 64 * KiB, partitioning);
      const collector: Collector =
        kind === "table"
          ? new TableCollector(at, sum().numeric as never)
          : new StateCollector(at, picky, shelf.output, shelf.writer);
      const random = seededRandom(`refused ${kind}`);
      const wanted = new Map<string, number>();
      let refused = 0;
      for (let i = 0; i < 20_000; i++) {
        const short = `${random.below(4) === 0 ? "no" : "k"}${random.below(3000)}`;
        const key: Key = random.below(3) === 0 ? randomKey(random) : short;
        const bad = random.below(3) === 0;
        const name = nameOf(key);
        try {
          collector.emit(key, bad ? null : 1);
          assert.ok(!bad, "a value was not refused");
          wanted.set(name, (wanted.get(name) ?? 0) + 1);
        } catch (error) {
          if (error instanceof assert.AssertionError) throw error;
          assert.ok(bad || (partitioning === throwing && String(error).includes("partition")), String(error));
          refused++;
        }
      }
      collector.finish();
      assert.ok(refused > 5000);
      assert.ok(collector.runs > 1);
      const found = new Map<string, number>();
      for (const { records } of shelf.runs()) {
        for (const [key, value] of records) {
          const name = key.toString("hex");
          const by =
            kind === "table" ? value.readDoubleLE(0) : (decoded([key, value])[1] as unknown[]).length;
          assert.ok(by > 0, `${name} came out with nothing in it`);
          found.set(name, (found.get(name) ?? 0) + by);
        }
      }
      assert.deepEqual(found, wanted);
    });
  }
}
