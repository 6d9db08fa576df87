import fc from "fast-check";
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { decodeKey } from "#src/codec/key-codec.js";
import { textReader } from "#src/format/text-reader.js";
// As users have it: a module of its own in this process.
import { count, desc as descending, job, none, run, topK } from "#src/index.js";
import type { RunResult } from "#src/index.js";
import { copyKey, desc, plainKey } from "#src/job/descending.js";
import { compareKeys } from "#src/job/key-order.js";
import type { Key } from "#src/job/key.js";
import { testJob } from "#src/testing.js";
import { tempDir } from "../cli/support.ts";
import { arbitraryKey, encoded, normal } from "./support.ts";

/** All texts of up to three of these: prefixes of each other, NULs, the highest units. */
const units = ["\0", "a", "\u00ff", "\u{10ffff}"];
const texts = [0, 1, 2].reduce(
  (all) => [...new Set([...all, ...all.flatMap((text) => units.map((unit) => text + unit))])],
  [""],
);
const numbers = [
  -Infinity,
  -1e300,
  -1.5,
  -1,
  -Number.MIN_VALUE,
  0,
  Number.MIN_VALUE,
  0.1,
  1,
  255,
  256,
  Infinity,
];
const bytes = [[], [0], [0, 0], [0, 255], [1], [255], [255, 255]].map((list) => Uint8Array.from(list));
const small: readonly Key[] = [null, false, true, ...numbers, ...texts, ...bytes];
const arrays: readonly Key[] = [[], ...small.map((key) => [key]), ["a", 1], ["a", [1]], [["a"], 1], [[], []]];
const every: readonly Key[] = [...small, ...arrays];

test("desc() turns the order of every two keys round, alone, in arrays and in itself", () => {
  for (const a of every) {
    for (const b of every) {
      const order = Math.sign(compareKeys(a, b));
      const bytesOf = (wrap: (key: Key) => Key): number => Buffer.compare(encoded(wrap(a)), encoded(wrap(b)));
      assert.equal(bytesOf(desc), -order || 0);
      assert.equal(Math.sign(compareKeys(desc(a), desc(b))), -order || 0);
      assert.equal(
        bytesOf((key) => [desc(key), 1]),
        -order || 0,
      );
      assert.equal(
        bytesOf((key) => desc([desc(key), "x"])),
        order,
      );
      assert.equal(
        bytesOf((key) => desc(desc(key))),
        order,
      );
    }
  }
});

test("what follows a descending element is sorted as ever, whatever the element", () => {
  for (const key of every) {
    const [low, high] = [encoded([desc(key), 1]), encoded([desc(key), 2])];
    assert.equal(Buffer.compare(low, high), -1);
    assert.deepEqual(decodeKey(low, 0, low.length), [key, 1]);
  }
});

test("a key that is kept is as it was, whatever becomes of the one that was emitted", () => {
  fc.assert(
    fc.property(arbitraryKey, (key) => {
      const kept = copyKey(key);
      assert.deepEqual(encoded(kept), encoded(key));
      assert.deepEqual(plainKey(kept), normal(key));
    }),
    { seed: 20261128 },
  );
  const key = ["a", 1];
  const kept = copyKey(desc(key));
  key[1] = 2;
  assert.deepEqual(plainKey(kept), ["a", 1]);
});

const rows = Array.from({ length: 300 }, (_, i) => ({
  city: ["Ulm", "Ulma", "", "Bonn", "Bonn 2"][(i * 7) % 5]!,
  price: ((i * 37) % 41) / 4 - 5,
  id: i,
}));

function inputFile(t: Parameters<typeof tempDir>[0]): string {
  const file = join(tempDir(t), "rows.jsonl");
  writeFileSync(file, rows.map((row) => JSON.stringify(row)).join("\n"));
  return file;
}

async function all(result: RunResult): Promise<(readonly [Key, unknown])[]> {
  const records: (readonly [Key, unknown])[] = [];
  for await (const record of result.records()) records.push(record as readonly [Key, unknown]);
  return records;
}

const parse = (line: string): (typeof rows)[number] => JSON.parse(line) as (typeof rows)[number];
const text = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

test("a total order goes from large to small through all parts, equal keys in input order", async (t) => {
  const sorted = job({
    input: textReader(),
    map(line, emit) {
      const { city, price, id } = parse(line);
      emit([descending(price), city], id);
    },
    order: "total",
    partitions: 4,
    output: none(),
  });
  const expected = [...rows].sort((a, b) => b.price - a.price || text(a.city, b.city) || a.id - b.id);
  for (const splitSize of [700, 1 << 20]) {
    const result = await run(sorted, { inputs: [inputFile(t)], splitSize, memory: 8 << 20, maxBad: 1 });
    const got = await all(result);
    assert.deepEqual(
      got,
      expected.map(({ city, price, id }) => [[price, city], id]),
    );
    await result.dispose();
  }
});

test("groups and their values begin with the largest; user functions see plain keys", async (t) => {
  const seen = new Set<unknown>();
  const grouped = job({
    input: textReader(),
    map(line, emit) {
      const { city, price, id } = parse(line);
      emit([descending(city), descending(price)], [price, id]);
    },
    groupBy: 1,
    partitions: 3,
    partition(key: Key, partitions: number) {
      for (const element of key as readonly Key[]) seen.add(typeof element);
      return (key as readonly string[])[0]!.length % partitions;
    },
    combine(key: readonly (string | number)[], values: Iterable<readonly [number, number]>) {
      for (const element of key) seen.add(typeof element);
      return (function* () {
        yield* values;
      })();
    },
    reduce(key: readonly (string | number)[], values: Iterable<readonly [number, number]>) {
      assert.equal(typeof key[0], "string");
      return [...values].map(([, id]) => id);
    },
  });
  const expected = [...new Set(rows.map(({ city }) => city))].map((city) => {
    const ids = rows.filter((row) => row.city === city).sort((a, b) => b.price - a.price || a.id - b.id);
    return [[city], ids.map(({ id }) => id)] as const;
  });
  const byPart = [0, 1, 2].flatMap((part) =>
    expected.filter(([[city]]) => city!.length % 3 === part).sort(([[a]], [[b]]) => text(b!, a!)),
  );
  const result = await run(grouped, { inputs: [inputFile(t)], splitSize: 900 });
  assert.deepEqual(await all(result), byPart);
  assert.deepEqual([...seen].toSorted(), ["number", "string"]);
  await result.dispose();
  const { results } = await testJob(
    grouped,
    rows.map((row) => JSON.stringify(row)),
  );
  assert.deepEqual(
    results,
    expected.toSorted(([[a]], [[b]]) => text(b!, a!)),
  );
});

test("aggregators count by descending keys, and map-only jobs write plain ones", async (t) => {
  const counted = job({
    input: textReader(),
    map: (line, emit) => emit(descending(parse(line).price)),
    reduce: count(),
  });
  const { results } = await testJob(
    counted,
    rows.map((row) => JSON.stringify(row)),
  );
  const prices = [...new Set(rows.map(({ price }) => price))].sort((a, b) => b - a);
  assert.deepEqual(
    results.map(([price]) => price),
    prices,
  );
  const mapOnly = job({ input: textReader(), map: (line, emit) => emit([descending(parse(line).id)]) });
  const result = await run(mapOnly, {
    inputs: [inputFile(t)],
    output: join(tempDir(t), "out"),
    collect: true,
  });
  const records = await all(result);
  assert.deepEqual(
    records.map(([key]) => key),
    rows.map(({ id }) => [id]),
  );
});

test("topK does not take descending measures, and says what to do", () => {
  const cheapest = topK<(typeof rows)[number]>(3, { by: ({ price, id }) => [descending(price), id] });
  assert.throws(() => cheapest.add(cheapest.empty(), rows[0]!), /topK.*measure/s);
});
