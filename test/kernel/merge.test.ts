import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "#src/base/random.js";
import {
  MERGE_BYTES,
  MERGE_COMBINE,
  MERGE_COPY,
  MERGE_DETAIL,
  MERGE_K,
  MERGE_KEY_SKIP,
  MERGE_MODE,
  MERGE_OPS,
  MERGE_OPS_COUNT,
  MERGE_OUT_POSITION,
  MERGE_RECORDS,
  MERGE_SLOTS,
  MERGE_STREAMS,
  MERGE_TREE,
  STATUS_DONE,
  STATUS_NEED,
  STATUS_OUT_FULL,
  STATUS_TOO_BIG,
  STREAM_BYTES,
  STREAM_CUR,
  STREAM_EMPTY,
  STREAM_END,
  STREAM_ENDED,
  STREAM_STATE,
} from "#src/kernel/layout.js";
import { Bench, KINDS, decodeRecords, encodeRecord, latin1, show } from "./support.ts";
import type { KeyValue } from "./support.ts";

interface Case {
  readonly streams: readonly (readonly KeyValue[])[];
  readonly ops?: readonly number[];
  readonly keySkip: number;
  /** Records per refill. */
  readonly batch: number;
  /** Bytes of the output window at first. */
  readonly window: number;
}

const WINDOW_MAX = 4096;

function mergeWith(bench: Bench, c: Case): KeyValue[] {
  bench.reset();
  const m = bench.alloc(MERGE_BYTES);
  const streams = bench.alloc(c.streams.length * STREAM_BYTES);
  const windows = c.streams.map(() => bench.alloc(WINDOW_MAX));
  const out = bench.alloc(WINDOW_MAX);
  let outSize = c.window;
  bench.set32(m + MERGE_K, c.streams.length);
  bench.set32(m + MERGE_MODE, c.ops ? MERGE_COMBINE : MERGE_COPY);
  bench.set32(m + MERGE_OPS, bench.put(Uint8Array.from(c.ops ?? [])));
  bench.set32(m + MERGE_OPS_COUNT, c.ops?.length ?? 0);
  bench.set32(m + MERGE_SLOTS, 0);
  bench.set32(m + MERGE_STREAMS, streams);
  bench.set32(m + MERGE_TREE, bench.alloc(c.streams.length * 4));
  bench.set32(m + MERGE_KEY_SKIP, c.keySkip);
  bench.set32(m + MERGE_OUT_POSITION, out);
  bench.set32(m + MERGE_RECORDS, 0);
  const taken = c.streams.map(() => 0);
  const refill = (s: number): void => {
    const records = c.streams[s]!.slice(taken[s]!, taken[s]! + c.batch);
    taken[s]! += records.length;
    const bytes = Buffer.concat(records.map(encodeRecord));
    bench.heap.u8.fill(0xa5, windows[s]!, windows[s]! + WINDOW_MAX);
    bench.heap.u8.set(bytes, windows[s]!);
    const struct = streams + s * STREAM_BYTES;
    bench.set32(struct + STREAM_CUR, windows[s]!);
    bench.set32(struct + STREAM_END, windows[s]! + bytes.length);
    if (records.length === 0) bench.set32(struct + STREAM_STATE, STREAM_ENDED);
  };
  c.streams.forEach((_, s) => {
    bench.set32(streams + s * STREAM_BYTES + STREAM_STATE, STREAM_EMPTY);
    bench.set32(streams + s * STREAM_BYTES + STREAM_CUR, windows[s]!);
    bench.set32(streams + s * STREAM_BYTES + STREAM_END, windows[s]!);
    if (s % 2 === 0) refill(s);
  });
  bench.kernels.mergeStart(m);
  const result: KeyValue[] = [];
  const flush = (): void => {
    result.push(...decodeRecords(bench.bytes(out, bench.get32(m + MERGE_OUT_POSITION))));
    bench.heap.u8.fill(0xa5, out, out + outSize);
    bench.set32(m + MERGE_OUT_POSITION, out);
  };
  for (;;) {
    const status = bench.kernels.mergeRun(m, out, out + outSize);
    const detail = bench.get32(m + MERGE_DETAIL);
    if (status === STATUS_NEED) refill(detail);
    else if (status === STATUS_OUT_FULL) {
      assert.ok(bench.get32(m + MERGE_OUT_POSITION) > out);
      flush();
    } else if (status === STATUS_TOO_BIG) {
      assert.ok(detail > outSize);
      outSize = detail;
    } else {
      assert.equal(status, STATUS_DONE);
      flush();
      assert.equal(bench.get32(m + MERGE_RECORDS), result.length);
      return result;
    }
  }
}

function mergeNaively(streams: readonly (readonly KeyValue[])[]): KeyValue[] {
  return streams.flat().sort((a, b) => Buffer.compare(a.key, b.key));
}

function row(...numbers: number[]): Uint8Array {
  return new Uint8Array(new Float64Array(numbers).buffer);
}

for (const kind of KINDS) {
  test(`${kind}: merges every distribution of five records over up to three streams`, () => {
    const bench = new Bench(kind);
    const keys = ["a", "a", "ab", "b", "b"];
    for (let k = 1; k <= 3; k++) {
      for (let code = 0; code < k ** keys.length; code++) {
        const streams: KeyValue[][] = Array.from({ length: k }, () => []);
        keys.forEach((key, i) => {
          streams[Math.floor(code / k ** i) % k]!.push({ key: latin1(key), value: latin1(`${i}`) });
        });
        for (const batch of [1, 3]) {
          const got = mergeWith(bench, { streams, keySkip: 0, batch, window: 9 });
          assert.deepEqual(show(got), show(mergeNaively(streams)), `k ${k}, code ${code}, batch ${batch}`);
        }
      }
    }
  });

  test(`${kind}: merges random streams with any windows, equal keys in the order of streams`, () => {
    const bench = new Bench(kind);
    for (let seed = 1; seed <= 150; seed++) {
      const random = seededRandom(seed);
      const keySkip = random.below(2);
      const makeKey = [
        () => latin1(`P${random.below(30)}`),
        () => latin1(`P${"y".repeat(8 * random.below(4))}${random.below(3)}`),
        () => new Uint8Array(random.below(20)).fill(255),
        () => Buffer.concat([new Uint8Array(120 + random.below(20)), latin1(`${random.below(4)}`)]),
      ][seed % 4]!;
      const streams = Array.from({ length: 1 + random.below(9) }, (_, s) => {
        // Some seeds deal runs of neighbours to one stream, so that one stream wins many times in turn.
        const from = seed % 3 === 0 ? 1 : 0;
        return Array.from({ length: random.below(40) }, (_, i) => ({
          key: Buffer.concat([latin1("P".repeat(keySkip)), latin1(from ? `${s}` : ""), makeKey()]),
          value: latin1(`${s}/${i}${"v".repeat(random.below(3) * 70)}`),
        })).sort((a, b) => Buffer.compare(a.key, b.key));
      });
      const c = { streams, keySkip, batch: 1 + random.below(8), window: 1 + random.below(1000) };
      assert.deepEqual(show(mergeWith(bench, c)), show(mergeNaively(streams)), `seed ${seed}`);
    }
  });

  test(`${kind}: combines the rows of equal keys`, () => {
    const bench = new Bench(kind);
    const ops = [1, 2, 5, 3, 4];
    for (let seed = 1; seed <= 100; seed++) {
      const random = seededRandom(seed);
      const expected = new Map<string, number[]>();
      const streams = Array.from({ length: 1 + random.below(6) }, () => {
        const keys = new Set(
          Array.from({ length: random.below(20) }, () => `Pkey${"x".repeat(random.below(9))}`),
        );
        return [...keys].sort().map((key) => {
          const n = random.below(1000) - 500;
          const flag = random.below(2);
          const old = expected.get(key) ?? [0, 0, 0, 0, 0, 0, Infinity, -Infinity];
          expected.set(key, [
            old[0]! + 2,
            old[1]! + n,
            0,
            0,
            0,
            Math.max(old[5]!, flag),
            Math.min(old[6]!, n),
            Math.max(old[7]!, n),
          ]);
          return { key: latin1(key), value: row(2, n, 0, 0, 0, flag, n, n) };
        });
      });
      const window = 1 + random.below(300);
      const got = mergeWith(bench, { streams, ops, keySkip: 1, batch: 1 + random.below(4), window });
      const want = [...expected].sort(([a], [b]) => (a < b ? -1 : 1));
      assert.deepEqual(
        show(got),
        show(want.map(([key, numbers]) => ({ key: latin1(key), value: row(...numbers) }))),
        `seed ${seed}`,
      );
    }
  });

  test(`${kind}: sums keep what a plain sum loses`, () => {
    const bench = new Bench(kind);
    const parts = [1e16, 1, -1e16, 2 ** -30, 2 ** 60, 3, -(2 ** 60)];
    const streams = parts.map((x) => [{ key: latin1("P"), value: row(x, 0, 0, 0) }]);
    const got = mergeWith(bench, { streams, ops: [2], keySkip: 1, batch: 1, window: 64 });
    const sum = new Float64Array(got[0]!.value.buffer);
    assert.equal(sum[0]! + sum[1]! + sum[2]!, 4 + 2 ** -30);
    assert.equal(sum[3], 0);
  });
}
