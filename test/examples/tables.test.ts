import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { packageRoot, sheaf, tempDir } from "../cli/support.ts";
import { generated, linesOf, runExample, tally } from "./support.ts";

test("join.ts pairs every order with the name of its customer", async (t) => {
  const orders = [
    [2, 10],
    [1, 5],
    [2, 7.5],
    [9, 1],
    [1, 5],
  ].map(([customer, amount]) => ({ customer, amount }));
  const lines = orders.map((order) => `${JSON.stringify(order)}\n`);
  const run = await runExample(t, "join.ts", {
    "orders=1.jsonl": lines.slice(0, 3).join(""),
    "customers=list.csv": 'name,id\n"Ada, the first",1\nBo,2\nCy,3\n',
    "orders=2.jsonl": lines.slice(3).join(""),
  });
  const ada = "1\tAda, the first\t5";
  assert.deepEqual(run.lines(), [ada, ada, "2\tBo\t10", "2\tBo\t7.5"]);
});

test("top-k.ts finds the dearest orders of each city", async (t) => {
  const orders = generated("csv", { seed: 4, records: 5000, options: { multiline: 0.1 } });
  const expected = new Map<string, { id: string; price: number }[]>();
  // Rows begin with a number and a date; the rest of a row of several lines has no price to find.
  for (const match of orders.matchAll(
    /^(\d+),\d{4}-\d\d-\d\d,([^,]+),(?:"[^"]*(?:""[^"]*)*"|[^",]*),\d,(\d+\.\d\d),/gm,
  )) {
    const [, id = "", city = "", price = ""] = match;
    const seen = expected.get(city) ?? [];
    seen.push({ id, price: Number(price) });
    expected.set(city, seen);
  }
  for (const [city, seen] of expected)
    expected.set(city, seen.toSorted((a, b) => b.price - a.price).slice(0, 3));
  const run = await runExample(t, "top-k.ts", { "orders.csv": orders });
  const got = new Map(
    [...run.table()].map(([city, list]) => [city, JSON.parse(`[${list.replaceAll("\t", ",")}]`) as unknown]),
  );
  assert.deepEqual(got, expected);
});

test("access-log.ts counts statuses and pages, and refuses a log with too many broken lines", async (t) => {
  const log = generated("accesslog", { seed: 5, records: 4000, options: { broken: 0.03, pages: 300 } });
  const good = linesOf(log).flatMap((line) => {
    const match = /^\S+ - \S+ \[.{26}\] "\w+ (\/[^ ?]*)[^ ]* HTTP\/1\.1" (\d+) (\S+) /.exec(line);
    return match === null ? [] : [{ page: match[1]!, status: match[2]!, bytes: Number(match[3]) || 0 }];
  });
  const run = await runExample(t, "access-log.ts", { "access.log": log });
  const statuses = tally(good.map((line) => line.status));
  assert.deepEqual(
    new Map([...run.table("status")].map(([status, requests]) => [status, Number(requests)])),
    statuses,
  );
  const pages = new Map<string, { requests: number; bytes: number; errors: number }>();
  for (const { page, status, bytes } of good) {
    const seen = pages.get(page) ?? { requests: 0, bytes: 0, errors: 0 };
    pages.set(page, {
      requests: seen.requests + 1,
      bytes: seen.bytes + bytes,
      errors: seen.errors + Number(status >= "400"),
    });
  }
  const got = run.lines("page").map((line) => JSON.parse(line) as { key: string; value: unknown });
  assert.deepEqual(
    new Map(got.map(({ key, value }) => [key, value])),
    new Map([...pages].map(([page, p]) => [page, { ...p, errors: p.errors / p.requests }])),
  );

  const directory = tempDir(t);
  writeFileSync(
    join(directory, "bad.log"),
    generated("accesslog", { seed: 5, records: 400, options: { broken: 0.2 } }),
  );
  const job = join(packageRoot, "examples/access-log.ts");
  const failed = await sheaf(["run", job, "bad.log", "-o", "out"], { cwd: directory });
  assert.notEqual(failed.code, 0);
  assert.match(failed.stderr + failed.stdout, /of 400 lines are no log lines/);
});

test("one-billion-row.ts gives min, mean and max of every station", async (t) => {
  const input = generated("measurements", { seed: 6, records: 30_000 });
  const expected = new Map<string, number[]>();
  for (const line of linesOf(input)) {
    const [station = "", temperature] = line.split(";");
    expected.set(station, [...(expected.get(station) ?? []), Number(temperature)]);
  }
  const { table } = await runExample(t, "one-billion-row.ts", { "measurements.txt": input });
  const got = table();
  assert.deepEqual([...got.keys()].toSorted(), [...expected.keys()].toSorted());
  for (const [station, text] of got) {
    const [min = 0, mean = 0, max = 0] = text.split("\t").map(Number);
    const all = expected.get(station)!;
    assert.equal(min, Math.min(...all), station);
    assert.equal(max, Math.max(...all), station);
    assert.ok(Math.abs(mean - all.reduce((a, b) => a + b, 0) / all.length) < 1e-9, station);
  }
});

test("secondary-sort.ts sees events in the order of time and cuts sessions at pauses", async (t) => {
  const events = linesOf(generated("jsonl", { seed: 7, records: 3000, options: { users: 150 } })).map(
    (line) => {
      const event = JSON.parse(line) as { user: string; time: number; kind: string };
      // Spread over days, so that there are pauses; no two at one time, so that the order is clear.
      return { ...event, time: event.time * 500 };
    },
  );
  const shuffled = events
    .map((event, i) => ({ event, at: (i * 7919) % 3001 }))
    .toSorted((a, b) => a.at - b.at);
  const expected = new Map<string, string>();
  for (const user of new Set(events.map((event) => event.user))) {
    const own = events.filter((event) => event.user === user).toSorted((a, b) => a.time - b.time);
    const text = own.map((event, i) => {
      if (i === 0) return event.kind;
      return event.time - own[i - 1]!.time > 1_800_000 ? ` ${event.kind}` : `>${event.kind}`;
    });
    expected.set(user, text.join(""));
  }
  const input = shuffled.map(({ event }) => `${JSON.stringify(event)}\n`).join("");
  const run = await runExample(t, "secondary-sort.ts", { "events.jsonl": input }, ["--split-size", "40000"]);
  const got = run.table();
  assert.deepEqual(got, expected);
  assert.ok([...expected.values()].some((text) => text.includes(" ")));
});

test("collections.ts writes word counts and a table by age from one reading", async (t) => {
  const letters = [
    { author: "Ada", age: 36, text: "It is. It was!" },
    { author: "Bo", age: 36, text: "was it" },
    { author: "Cy", age: 7, text: "été" },
  ];
  const input = letters.map((letter) => `${JSON.stringify(letter)}\n`).join("");
  const run = await runExample(t, "collections.ts", { "letters.jsonl": input });
  assert.deepEqual(
    run.table("wordcounts"),
    new Map(
      [
        ["is", "1"],
        ["it", "3"],
        ["was", "2"],
        ["été", "1"],
      ].toSorted() as [string, string][],
    ),
  );
  const rows = run.lines("byage").filter((line) => /^\d/.test(line));
  assert.deepEqual(rows.toSorted(), ["36,2,3", "7,1,1"]);
});

test("custom-format.ts reads paragraphs and writes an HTML table", async (t) => {
  const paragraphs = Array.from({ length: 500 }, (_, i) => {
    const section = i % 7 === 0 ? "" : `Section: s${i % 7}\n`;
    return `Package: p${i}\n${section}Description: a line\n and more\nInstalled-Size: ${i}\n`;
  });
  const run = await runExample(t, "custom-format.ts", { status: paragraphs.join("\n") }, [
    "--split-size",
    "1000",
  ]);
  const totals = new Map<string, [number, number]>();
  paragraphs.forEach((_, i) => {
    const section = i % 7 === 0 ? "none" : `s${i % 7}`;
    const [packages, kilobytes] = totals.get(section) ?? [0, 0];
    totals.set(section, [packages + 1, kilobytes + i]);
  });
  const rows = [...totals].map(
    ([section, cells]) => `<tr><td>${[section, ...cells].join("</td><td>")}</td></tr>`,
  );
  assert.deepEqual(
    run
      .lines()
      .filter((line) => line.startsWith("<tr>"))
      .toSorted(),
    rows.toSorted(),
  );
  assert.equal(run.lines()[0], "<table>");
  assert.equal(run.lines().at(-1), "</table>");
});
