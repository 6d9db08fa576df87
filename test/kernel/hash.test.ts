import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "#src/base/random.js";
import { HASH_SEED } from "#src/kernel/layout.js";
import { finishHash, hashBytes, mixWord, partitionOf } from "#src/kernel/typescript/hash.js";
import { Bench, KINDS, latin1 } from "./support.ts";

test("the hash is frozen: these values are in run files", () => {
  const vectors: readonly (readonly [string, number, number])[] = [
    ["P", 0x565a13c, 36],
    ["Pa", 0xb5a8b6d3, 515],
    ["Pthe", 0xb29cc72f, 109],
    ["Pseven77", 0x8159aeea, 984],
    ["Peight888", 0x64d7397e, 89],
    ["PThe quick brown fox jumps", 0xd3fbc0d0, 886],
  ];
  for (const [key, hash, partition] of vectors) {
    const got = hashBytes(latin1(key), 0, key.length);
    assert.deepEqual([key, got, partitionOf(got, 1000)], [key, hash, partition]);
  }
});

for (const kind of KINDS) {
  test(`${kind}: hashKey agrees with the definition at every length and alignment`, () => {
    const bench = new Bench(kind);
    const random = seededRandom(1);
    for (let length = 0; length <= 70; length++) {
      const key = Uint8Array.from({ length }, () => random.below(256));
      const words = new Uint32Array(
        new Uint8Array([...key, ...new Uint8Array((8 - (length % 8)) % 8)]).buffer,
      );
      let h: number = HASH_SEED;
      for (const word of words) h = mixWord(h, word);
      const at = bench.put(key, length % 8);
      assert.equal(bench.kernels.hashKey(at, length), finishHash(h, length), `length ${length}`);
    }
  });
}

test("partitions are all used, evenly, also for keys that share an index slot", () => {
  const partitions = 16;
  const counts = Array.from({ length: partitions }, () => 0);
  for (let i = 0; i < 200_000; i++) {
    const key = latin1(`P${i}`);
    const hash = hashBytes(key, 0, key.length);
    if ((hash & 7) === 3) counts[partitionOf(hash, partitions)]!++;
  }
  const expected = 200_000 / 8 / partitions;
  for (const count of counts) assert.ok(Math.abs(count - expected) < expected * 0.12, counts.join(" "));
});
