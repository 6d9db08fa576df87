import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "#src/base/random.js";
import { ENTRY_BYTES, ENTRY_CELL } from "#src/kernel/layout.js";
import { partitionOf } from "#src/kernel/typescript/hash.js";
import { Bench, KINDS, decodeRecords, latin1, show } from "./support.ts";
import type { KeyValue } from "./support.ts";

interface Case {
  readonly keys: readonly Uint8Array[];
  /** Of each key; undefined: chosen by the hash. */
  readonly partition?: readonly number[];
  readonly partitions: number;
  readonly keySkip: number;
  /** Bytes of the output window. */
  readonly window: number;
}

/** makeEntries, sortEntries, gather: the records of each partition, in order. */
function sortWith(bench: Bench, c: Case): KeyValue[][] {
  bench.reset();
  const window = bench.alloc(c.window);
  const ctl = bench.ctl();
  for (const key of c.keys) bench.put(key);
  const start = bench.alloc(0);
  // Cells must lie without gaps: hash them first, then write them.
  let top = start;
  c.keys.forEach((key, i) => {
    const value = latin1(`${i}`);
    const size = Math.ceil((16 + key.length + value.length) / 8) * 8;
    const at = bench.alloc(size);
    bench.heap.u8.fill(0, at, at + size);
    bench.set32(at + 4, c.partition?.[i] ?? 0);
    bench.set32(at + 8, key.length);
    bench.set32(at + 12, value.length);
    bench.heap.u8.set(value, at + 16);
    bench.heap.u8.set(key, at + 16 + value.length);
    bench.set32(at, bench.kernels.hashKey(at + 16 + value.length, key.length));
    top = at + size;
  });
  const entries = bench.alloc(c.keys.length * ENTRY_BYTES);
  const tmp = bench.alloc(c.keys.length * ENTRY_BYTES);
  const n = bench.kernels.makeEntries(start, top, entries, c.keySkip, c.partition ? 0 : c.partitions);
  assert.equal(n, c.keys.length);
  const sorted = bench.kernels.sortEntries(entries, tmp, n, c.keySkip);
  const result: KeyValue[][] = Array.from({ length: c.partitions }, () => []);
  let done = 0;
  while (done < n) {
    const partition = bench.get32(sorted + done * ENTRY_BYTES + 12);
    const next = bench.kernels.gather(sorted, done, n, window, window + c.window, ctl);
    const { out, detail } = bench.readCtl(ctl);
    assert.equal(detail, next === done ? detail : 0);
    assert.ok(next > done, `window of ${c.window} too small for ${detail}`);
    assert.ok(bench.get32(sorted + done * ENTRY_BYTES + ENTRY_CELL) >= start);
    result[partition]!.push(...decodeRecords(bench.bytes(window, out)));
    done = next;
  }
  return result;
}

function sortNaively(bench: Bench, c: Case): KeyValue[][] {
  const result: KeyValue[][] = Array.from({ length: c.partitions }, () => []);
  c.keys.forEach((key, i) => {
    const hash = bench.kernels.hashKey(bench.put(key), key.length);
    result[c.partition?.[i] ?? partitionOf(hash, c.partitions)]!.push({ key, value: latin1(`${i}`) });
  });
  for (const part of result) part.sort((a, b) => Buffer.compare(a.key, b.key));
  return result;
}

function check(bench: Bench, c: Case, note: string): void {
  const want = sortNaively(bench, c).map(show);
  assert.deepEqual(sortWith(bench, c).map(show), want, note);
}

for (const kind of KINDS) {
  test(`${kind}: sorts every set of three short keys over two letters, stably`, () => {
    const bench = new Bench(kind);
    const keys: Uint8Array[] = [];
    for (const length of [1, 2, 3]) {
      for (let bits = 0; bits < 1 << length; bits++) {
        keys.push(Uint8Array.from({ length }, (_, i) => (bits >> i) & 1));
      }
    }
    for (const a of keys) {
      for (const b of keys) {
        for (const c of keys) check(bench, { keys: [a, b, c], partitions: 1, keySkip: 0, window: 8 }, "");
      }
    }
  });

  const shapes: Readonly<Record<string, (below: (n: number) => number) => Uint8Array>> = {
    "random bytes": (below) => Uint8Array.from({ length: 1 + below(20) }, () => below(256)),
    "few distinct keys": (below) =>
      latin1(["a", "b", "aa", "common prefix one", "common prefix two"][below(5)]!),
    "long common prefixes": (below) => latin1(`${"x".repeat(5 + 20 * below(3))}${below(50)}`),
    "prefixes longer than one look": (below) =>
      latin1(`${"y".repeat(250 + 300 * below(2))}${"z".repeat(below(12))}`),
    "zeros, padding look-alikes": (below) => new Uint8Array(1 + below(40)),
    "zeros and ones": (below) => Uint8Array.from({ length: 1 + below(30) }, () => below(20) >> 4),
    "prefixes of one string": (below) =>
      latin1("abcdefghijklmnopqrstuvwxyzabcdefghijkl".slice(0, 1 + below(38))),
    "decimal numbers": (below) => latin1(`${below(1e6)}`),
  };
  for (const [shape, make] of Object.entries(shapes)) {
    test(`${kind}: sorts ${shape}`, () => {
      const bench = new Bench(kind, 4 << 20);
      for (let seed = 1; seed <= 12; seed++) {
        const random = seededRandom(seed);
        const keySkip = random.below(3);
        const skipped = new Uint8Array(keySkip).fill(80);
        const keys = Array.from({ length: [2, 24, 25, 300, 2000][seed % 5]! }, () =>
          Buffer.concat([skipped, make(random.below)]),
        );
        const partitions = [1, 2, 7, 300][seed % 4]!;
        const own = seed % 3 === 0 ? { partition: keys.map(() => random.below(partitions)) } : {};
        const window = 700 + random.below(3000);
        check(bench, { keys, partitions, keySkip, window, ...own }, `${shape}, seed ${seed}`);
      }
    });
  }

  test(`${kind}: gather fills windows of every size and tells what a record needs`, () => {
    const bench = new Bench(kind);
    const key = new Uint8Array(200).fill(1);
    const value = new Uint8Array(130).fill(2);
    const cell = bench.cell(key, value);
    const entries = bench.alloc(16);
    bench.kernels.makeEntries(cell, cell + 352, entries, 0, 1);
    const ctl = bench.ctl();
    const size = 2 + 2 + 330;
    for (let window = 0; window <= size + 1; window++) {
      const out = bench.heap.end - 1024;
      bench.heap.u8.fill(7, out, out + 400);
      const next = bench.kernels.gather(entries, 0, 1, out, out + window, ctl);
      const fits = window >= size;
      assert.deepEqual([next, bench.readCtl(ctl).detail], fits ? [1, 0] : [0, size]);
      assert.ok(
        bench.bytes(out + (fits ? size : 0), out + 400).every((byte) => byte === 7),
        "nothing behind",
      );
      if (fits) assert.deepEqual(show(decodeRecords(bench.bytes(out, out + size))), show([{ key, value }]));
    }
  });
}
