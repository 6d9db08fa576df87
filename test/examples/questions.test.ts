import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { seededRandom } from "#src/base/random.js";
import { wordPairs } from "../../examples/word-pairs.ts";
import { tempDir } from "../cli/support.ts";
import { generated, linesOf, runExample, tally } from "./support.ts";

/* Questions that people ask first, each against the plain way to answer it. */

test("visitors.ts counts the different users of each day, exactly and about", async (t) => {
  const events = generated("jsonl", { seed: 5, records: 20_000, options: {} });
  const users = new Map<string, Set<string>>();
  for (const line of linesOf(events)) {
    const { user, time } = JSON.parse(line) as { user: string; time: number };
    const day = new Date(time).toISOString().slice(0, 10);
    users.set(day, (users.get(day) ?? new Set()).add(user));
  }
  const run = await runExample(t, "visitors.ts", { "events.jsonl": events });
  const found = run
    .lines()
    .map((line) => JSON.parse(line) as { key: string; value: { exact: number; about: number } });
  assert.deepEqual(
    found.map(({ key, value }) => [key, value.exact]).toSorted(),
    [...users].map(([day, all]) => [day, all.size]).toSorted(),
  );
  for (const { key, value } of found)
    assert.ok(
      Math.abs(value.about - value.exact) <= Math.max(2, value.exact * 0.04),
      `${key}: ${JSON.stringify(value)}`,
    );
});

test("newest.ts keeps the newest row of each id, the first of equally new ones", async (t) => {
  const random = seededRandom(11);
  const rows = Array.from({ length: 3_000 }, (_, n) => ({
    id: `id${random.below(400)}`,
    updated: new Date(Date.UTC(2024, 0, 1 + random.below(30))).toISOString(),
    n,
  }));
  const newest = new Map<string, (typeof rows)[number]>();
  for (const row of rows) {
    const known = newest.get(row.id);
    if (known === undefined || row.updated > known.updated) newest.set(row.id, row);
  }
  const text = (some: typeof rows): string => some.map((row) => `${JSON.stringify(row)}\n`).join("");
  const files = { "a.jsonl": text(rows.slice(0, 1_700)), "b.jsonl": text(rows.slice(1_700)) };
  const run = await runExample(t, "newest.ts", files, ["--split-size", "4KiB"]);
  const found = run.lines().map((line) => JSON.parse(line) as { key: string; value: (typeof rows)[number] });
  assert.deepEqual(new Map(found.map(({ key, value }) => [key, value])), newest);
});

test("latency.ts finds the percentiles of each path in compressed logs", async (t) => {
  const random = seededRandom(12);
  const took = new Map<string, number[]>();
  const log = (lines: number): Uint8Array => {
    let text = "";
    for (let n = 0; n < lines; n++) {
      const path = `/p${random.below(3)}`;
      const ms = Math.round(1 + 1_000 * random.next() ** 3);
      took.set(path, [...(took.get(path) ?? []), ms]);
      text += `2024-05-01T10:00:00Z GET ${path} 200 ${ms}\n`;
    }
    return gzipSync(`${text}not a request\n`);
  };
  const run = await runExample(t, "latency.ts", { "a.log.gz": log(900), "b.log.gz": log(600) });
  const found = run
    .lines()
    .map((line) => JSON.parse(line) as { key: string; value: { requests: number; ms: number[] } });
  assert.equal(found.length, 3);
  for (const { key, value } of found) {
    const all = took.get(key)!.toSorted((a, b) => a - b);
    assert.equal(value.requests, all.length);
    for (const [index, share] of [0.5, 0.9, 0.99].entries()) {
      const at = share * (all.length - 1);
      const [low, high] = [all[Math.floor(at)]!, all[Math.ceil(at)]!];
      const is = value.ms[index]!;
      assert.ok(
        is >= low * 0.985 - 1 && is <= high * 1.015 + 1,
        `${key} ${share}: ${is}, not ${low} to ${high}`,
      );
    }
  }
});

test("by-date.ts writes the orders of each day to a directory of its own", async (t) => {
  const random = seededRandom(14);
  const days = new Map<string, object[]>();
  let text = "id,date,city,price\n";
  for (let n = 0; n < 500; n++) {
    const order = {
      id: `o${n}`,
      date: `2024-05-${10 + random.below(9)}`,
      city: "Ulm, Old Town",
      price: n / 4,
    };
    days.set(order.date, [...(days.get(order.date) ?? []), order]);
    text += `${order.id},${order.date},"${order.city}",${order.price}\n`;
  }
  const run = await runExample(t, "by-date.ts", { "orders.csv": text }, ["--split-size", "2KiB"]);
  const out = join(run.directory, "out");
  const found = readdirSync(out).filter((name) => name.startsWith("2024"));
  assert.deepEqual(found.toSorted(), [...days.keys()].toSorted());
  for (const [day, orders] of days)
    assert.deepEqual(
      run.lines(day).map((line) => JSON.parse(line) as object),
      orders,
      day,
    );
});

test("networks.ts counts by network with a package from npm, IPv6 too", async (t) => {
  const lines = [
    "10.1.2.3 - -",
    "10.1.9.9 - -",
    "10.2.0.1 - -",
    "2001:db8:1:2::1 - -",
    "2001:db8:1:9::5 - -",
    "- -",
  ];
  const run = await runExample(t, "networks.ts", { "access.log": `${lines.join("\n")}\n` });
  assert.deepEqual(run.lines().toSorted(), ["10.1.0.0/16\t2", "10.2.0.0/16\t1", "2001:db8:1::/48\t2"]);
});

test("word-pairs.ts gives each pair of words its mutual information", async (t) => {
  const random = seededRandom(13);
  const lines = Array.from({ length: 400 }, () =>
    Array.from({ length: 6 }, () => `w${String.fromCharCode(97 + Math.floor(12 * random.next() ** 2))}`).join(
      " ",
    ),
  );
  const file = join(tempDir(t), "lines.txt");
  writeFileSync(file, `${lines.join("\n")}\n`);
  const least = 8;
  const sets = lines.map((line) => [...new Set(line.split(" "))].sort());
  const words = tally(sets.flat());
  const pairs = tally(
    sets.flatMap((set) => set.flatMap((one, at) => set.slice(at + 1).map((two) => `${one} ${two}`))),
  );
  const expected = [...pairs]
    .filter(([pair, both]) => both >= least && pair.split(" ").every((word) => words.get(word)! >= least))
    .map(([pair, both]) => {
      const [one = "", two = ""] = pair.split(" ");
      return [one, two, Math.log2((both * lines.length) / (words.get(one)! * words.get(two)!))] as const;
    });
  const found = await wordPairs(file, least);
  const sorted = (some: readonly (readonly [string, string, number])[]) =>
    some.toSorted((a, b) => (`${a}` < `${b}` ? -1 : 1));
  assert.ok(expected.length > 20);
  assert.deepEqual(sorted(found), sorted(expected));
  assert.ok(
    found.every(([, , pmi], at) => at === 0 || pmi <= found[at - 1]![2]),
    "highest first",
  );
});
