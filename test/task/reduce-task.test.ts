import assert from "node:assert/strict";
import { test } from "node:test";
import { collect } from "#src/aggregate/collect.js";
import { sum } from "#src/aggregate/sum.js";
import { seededRandom } from "#src/base/random.js";
import { encodeKey, keySizeMax } from "#src/codec/key-codec.js";
import { text } from "#src/format/text.js";
import { job } from "#src/job/define.js";
import { compareKeys } from "#src/job/key-order.js";
import type { Key } from "#src/job/key.js";
import { PAIR_LINES, Stage, pairs } from "./support.js";

const reductions: [
  name: string,
  reduce: (key: string, values: Iterable<number>) => unknown,
  output: string,
][] = [
  ["a value", (_, values) => [...values].reduce((a, b) => a + b), "a\t2\nb\t9\nc\t4\n"],
  [
    "a string, which is one value",
    (key, values) => `${key}${[...values].join("")}`,
    "a\ta2\nb\tb135\nc\tc4\n",
  ],
  ["an array, which is one value", (_, values) => [...values], "a\t2\nb\t1\t3\t5\nc\t4\n"],
  ["a Set, which is one value", (_, values) => new Set(values), "a\t[2]\nb\t[1,3,5]\nc\t[4]\n"],
  ["undefined, for nothing", (key) => (key === "b" ? undefined : 1), "a\t1\nc\t1\n"],
  ["null, for an empty column", () => null, "a\t\nb\t\nc\t\n"],
  [
    "a generator",
    function* (_, values) {
      for (const value of values) if (value > 1) yield value;
    },
    "a\t2\nb\t3\nb\t5\nc\t4\n",
  ],
  [
    "a generator of arrays",
    function* (_, values) {
      yield [...values];
      yield [];
    },
    "a\t2\na\nb\t1\t3\t5\nb\nc\t4\nc\n",
  ],
  [
    "an async generator",
    async function* (_, values) {
      for (const value of values) {
        await Promise.resolve();
        yield value;
      }
    },
    "a\t2\nb\t1\nb\t3\nb\t5\nc\t4\n",
  ],
  ["a promise", (_, values) => Promise.resolve([...values].length), "a\t1\nb\t3\nc\t1\n"],
  ["a promise of nothing", (key) => Promise.resolve(key === "b" ? 1 : undefined), "b\t1\n"],
  [
    "values it awaits between",
    async (_, values) => {
      let n = 0;
      for (const value of values) {
        await Promise.resolve();
        n += value;
      }
      return n;
    },
    "a\t2\nb\t9\nc\t4\n",
  ],
  ["the values themselves, as an iterator", (_, values) => values, "a\t2\nb\t1\nb\t3\nb\t5\nc\t4\n"],
];

for (const [name, reduce, output] of reductions) {
  test(`reduce returns ${name}`, async (t) => {
    const stage = new Stage(t).file("in.txt", PAIR_LINES);
    const made = job({ input: text(), map: pairs, reduce: reduce as () => number });
    for (const splitSize of [3, 100]) assert.equal((await stage.ok(made, { splitSize })).text(), output);
  });
}

test("reduce may leave values unread, and emit under other keys", async (t) => {
  const stage = new Stage(t).file("in.txt", PAIR_LINES);
  const made = job({
    input: text(),
    map: pairs,
    reduce(key: string, values: Iterable<number>, ctx) {
      for (const value of values) {
        ctx.emit(["first", key], value);
        break;
      }
      ctx.count("groups");
      return key === "a" ? "end" : undefined;
    },
  });
  const played = await stage.ok(made);
  assert.equal(played.text(), "first\ta\t2\na\tend\nfirst\tb\t1\nfirst\tc\t4\n");
  assert.deepEqual(played.counters, { groups: 3 });
  assert.deepEqual(
    [
      played.reduces[0]!.stats.groups,
      played.reduces[0]!.stats.recordsIn,
      played.reduces[0]!.stats.recordsOut,
    ],
    [3, 5, 4],
  );
});

test("ctx.emit after the reduce task has ended is refused", async (t) => {
  const stage = new Stage(t).file("in.txt", PAIR_LINES);
  let late: ((key: string, value: number) => void) | undefined;
  await stage.ok(
    job({
      input: text(),
      map: pairs,
      reduce(_: string, values: Iterable<number>, ctx) {
        late = (key, value) => ctx.emit(key, value);
        return [...values].length;
      },
    }),
  );
  assert.throws(() => late!("k", 1), { code: "EMIT_LATE" });
});

const failing: [name: string, reduce: (key: string, values: Iterable<number>) => unknown][] = [
  [
    "throws",
    (key) => {
      if (key === "b") throw new Error("no");
    },
  ],
  [
    "rejects",
    async (key) => {
      await Promise.resolve();
      if (key === "b") throw new Error("no");
    },
  ],
  [
    "yields and throws",
    function* (key, values) {
      yield* values;
      if (key === "b") throw new Error("no");
    },
  ],
  [
    "throws while reading values",
    (key, values) => {
      for (const value of values) if (value === 3) throw new Error("no");
      return key;
    },
  ],
];

for (const [name, reduce] of failing) {
  test(`a reduce that ${name} fails with its key`, async (t) => {
    const stage = new Stage(t).file("in.txt", PAIR_LINES);
    const failure = await stage.fails(job({ input: text(), map: pairs, reduce: reduce as () => number }));
    assert.deepEqual(
      [failure.code, failure.phase, failure.key, failure.message, failure.record, failure.path],
      ["USER_CODE", "reduce", '"b"', "no", null, null],
    );
  });
}

test("what the writer cannot write fails with the key", async (t) => {
  const stage = new Stage(t).file("in.txt", PAIR_LINES);
  const failure = await stage.fails(
    job({ input: text(), map: pairs, reduce: (key: string) => (key === "b" ? NaN : 1) }),
  );
  assert.deepEqual([failure.code, failure.phase, failure.key], ["VALUE_INVALID", "write", '"b"']);
});

test("a sum beyond 2^53 - 1 fails with its key, on the native path too", async (t) => {
  const stage = new Stage(t).file("in.txt", `a 1\nb ${Number.MAX_SAFE_INTEGER}\nb 5\n`);
  const failure = await stage.fails(job({ input: text(), map: pairs, reduce: sum() }));
  assert.deepEqual([failure.code, failure.key], ["NUMBER_RANGE", '"b"']);
});

test("combine: any number of times, in several tasks, over spills, with the same result", async (t) => {
  const random = seededRandom("combine");
  const numbers = Array.from(
    { length: 20_000 },
    () => [`k${random.below(3000)}`, random.below(100)] as const,
  );
  const stage = new Stage(t).file("in.txt", numbers.map(([key, value]) => `${key} ${value}\n`).join(""));
  let combined = 0;
  const reduce = (_: string, values: Iterable<number>): number => [...values].reduce((a, b) => a + b, 0);
  const plain = await stage.ok(job({ input: text(), map: pairs, reduce }));
  for (const combine of [
    (_: string, values: Iterable<number>): number => {
      combined++;
      return [...values].reduce((a, b) => a + b, 0);
    },
    function* (_: string, values: Iterable<number>): Generator<number> {
      let total = 0;
      for (const value of values) {
        if (total > 50) {
          yield total;
          total = 0;
        }
        total += value;
      }
      yield total;
    },
    (_: string, values: Iterable<number>): number | undefined =>
      [...values].reduce((a, b) => a + b, 0) || undefined,
  ]) {
    const made = job({
      input: text(),
      map: pairs,
      combine,
      reduce: (key: string, values: Iterable<number>) => reduce(key, values),
    });
    for (const splitSize of [Infinity, 30_000])
      assert.equal((await stage.ok(made, { splitSize, partitions: 1 })).text().length > 0, true);
    const withCombine = await stage.ok(made, { splitSize: 30_000 });
    assert.deepEqual(totals(withCombine.text()), totals(plain.text()));
  }
  assert.ok(combined > 0);
});

function totals(output: string): Map<string, number> {
  const rows = output
    .trimEnd()
    .split("\n")
    .map((line) => line.split("\t") as [string, string]);
  return new Map(rows.filter(([, value]) => value !== "0").map(([key, value]) => [key, Number(value)]));
}

for (const [name, combine] of [
  [
    "throws",
    (key: string) => {
      if (key === "b") throw new Error("no");
      return 1;
    },
  ],
  [
    "yields and throws",
    function* (key: string) {
      yield 1;
      if (key === "b") throw new Error("no");
    },
  ],
] as const) {
  test(`a combine that ${name} is told apart from the record that made it run`, async (t) => {
    const stage = new Stage(t).file("in.txt", PAIR_LINES);
    const failure = await stage.fails(
      job({
        input: text(),
        map: pairs,
        combine: combine as () => number,
        reduce: (_: string, values: Iterable<number>) => [...values].length,
      }),
    );
    assert.deepEqual(
      [failure.code, failure.phase, failure.key, failure.message, failure.record, failure.offset],
      ["USER_CODE", "combine", '"b"', "no", null, null],
    );
  });
}

test("groupBy: one call for a prefix, values in the order of the whole key, in any number of partitions", async (t) => {
  const random = seededRandom("groupBy");
  const rows = Array.from({ length: 2000 }, (_, i) => `u${random.below(30)} ${random.below(50)} ${i}`);
  const stage = new Stage(t).file("in.txt", `${rows.join("\n")}\n`);
  const map = (line: string, emit: (key: [string, number], value: number) => void): void => {
    const [user, time, row] = line.split(" ");
    emit([user!, Number(time)], Number(row));
  };
  const expected = new Map<string, [number, number][]>();
  for (const row of rows) {
    const [user, time, number] = row.split(" ");
    expected.set(user!, [...(expected.get(user!) ?? []), [Number(time), Number(number)]]);
  }
  const wanted = [...expected]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(
      ([user, list]) =>
        `${user}\t${list
          .sort((a, b) => a[0] - b[0] || a[1] - b[1])
          .map(([, row]) => row)
          .join("\t")}`,
    );
  const forms = [
    job({
      input: text(),
      map,
      groupBy: 1,
      reduce: (key: readonly [string, number], values: Iterable<number>) => {
        assert.equal(key.length, 1);
        return [...values];
      },
    }),
    job({ input: text(), map, groupBy: 1, reduce: collect<number>() as never }),
  ];
  for (const made of forms) {
    for (const partitions of [1, 4]) {
      for (const splitSize of [100, 5000, Infinity]) {
        const played = await stage.ok(made, { partitions, splitSize });
        assert.deepEqual(played.text().trimEnd().split("\n").sort(), [...wanted].sort());
        for (const file of played.files())
          assert.deepEqual(file.split("\n"), [...file.split("\n").slice(0, -1).sort(), ""]);
      }
    }
  }
});

test("groupBy in a total order: no bound goes through a group", async (t) => {
  const rows = Array.from({ length: 500 }, (_, i) => `u${i % 5} ${i}`);
  const stage = new Stage(t).file("in.txt", `${rows.join("\n")}\n`);
  const made = job({
    input: text(),
    map: (line: string, emit: (key: [string, number], value: number) => void) =>
      emit([line.split(" ")[0]!, Number(line.split(" ")[1])], 1),
    groupBy: 1,
    order: "total",
    reduce: (_: readonly [string, number], values: Iterable<number>) => [...values].length,
  });
  const bound = (key: Key): string => {
    const bytes = Buffer.alloc(keySizeMax(key));
    return bytes.toString("base64", 0, encodeKey(bytes, 0, key));
  };
  const settings = { bounds: [[bound(["u1", 200]), bound(["u3", 9]), bound(["u3", 300])]] };
  const played = await stage.ok(made, { partitions: 4, settings });
  assert.deepEqual(played.files(), ["u0\t100\n", "u1\t100\nu2\t100\n", "", "u3\t100\nu4\t100\n"]);
});

test("equal keys keep the order of map tasks and emits, and partitions their key order", async (t) => {
  const stage = new Stage(t);
  for (let file = 0; file < 5; file++)
    stage.file(
      `${file}.txt`,
      Array.from({ length: 200 }, (_, i) => `k${i % 17} ${file * 1000 + i}\n`).join(""),
    );
  const made = job({
    input: text(),
    map: pairs,
    reduce: (_: string, values: Iterable<number>) => [...values],
  });
  for (const partitions of [1, 3]) {
    const played = await stage.ok(made, { partitions, splitSize: 500, settings: { collect: true } });
    const results = played.collected() as [string, number[]][];
    assert.equal(results.length, 17);
    for (const [, values] of results)
      assert.deepEqual(
        values,
        [...values].sort((a, b) => a - b),
      );
    for (const file of played.files()) {
      const keys = file
        .trimEnd()
        .split("\n")
        .map((line) => line.split("\t")[0]!);
      assert.deepEqual(keys, [...keys].sort(compareKeys as (a: string, b: string) => number));
    }
  }
});
