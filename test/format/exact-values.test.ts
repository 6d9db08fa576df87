import fc from "fast-check";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { csv } from "#src/format/csv.js";
import { parseIsoDate } from "#src/format/iso-date.js";
import { jsonArray } from "#src/format/json-array.js";
import { type JsonReaderOptions } from "#src/format/jsonl-reader.js";
import { jsonl } from "#src/format/jsonl.js";
import { tsv } from "#src/format/tsv.js";
import type { Reader } from "#src/job/reader.js";
import { badOf, pythonOf, readContent } from "./support.ts";

test("a date column reads ISO 8601, in UTC where no offset is given, and nothing else", async (t) => {
  const good: readonly (readonly [string, string])[] = [
    ["2023-11-05", "2023-11-05T00:00:00.000Z"],
    ["2023-11", "2023-11-01T00:00:00.000Z"],
    ["20231105", "2023-11-05T00:00:00.000Z"],
    ["2023-11-05T01:30", "2023-11-05T01:30:00.000Z"],
    ["2023-11-05 01:30:59", "2023-11-05T01:30:59.000Z"],
    ["2023-11-05t01:30:59.9999z", "2023-11-05T01:30:59.999Z"],
    ["2023-11-05T01:30:59,5Z", "2023-11-05T01:30:59.500Z"],
    ["2023-11-05T01:30:59.123456789-05:00", "2023-11-05T06:30:59.123Z"],
    ["2023-11-05 01:30:59+00", "2023-11-05T01:30:59.000Z"],
    ["20231105T013059+0530", "2023-11-04T20:00:59.000Z"],
    ["2023-12-31T24:00", "2024-01-01T00:00:00.000Z"],
    ["2000-02-29", "2000-02-29T00:00:00.000Z"],
    ["0000-02-29", "0000-02-29T00:00:00.000Z"],
    ["0099-12-31", "0099-12-31T00:00:00.000Z"],
    ["+275760-09-13", "+275760-09-13T00:00:00.000Z"],
    ["-000001-01-01T00:00:00Z", "-000001-01-01T00:00:00.000Z"],
  ];
  const content = good.map(([text]) => `"${text}"\n`).join("");
  for (const zone of ["UTC", "America/New_York", "Asia/Kathmandu"]) {
    const before = process.env["TZ"];
    process.env["TZ"] = zone;
    try {
      const read = await readContent(t, csv({ header: false, columns: { at: "date" } }), content);
      assert.deepEqual(
        read.records.map(({ at }) => at.toISOString()),
        good.map(([, iso]) => iso),
      );
    } finally {
      if (before === undefined) delete process.env["TZ"];
      else process.env["TZ"] = before;
    }
  }
  const wrong =
    "2023-02-29|1900-02-29|2023-04-31|2023-13-01|2023-00-10|2023-01-00|2023-1-5|23-01-05|2023|2023-01-05T25:00|" +
    "2023-01-05T24:01|2023-01-05T23:60|2023-01-05T23:59:60|2023-01-05T1:30|2023-01-05T10:00 PST|2023-01-05 noon|" +
    " 2023-01-05|2023-01-05 |05/01/2023|Jan 5 2023|2023-W01-1|2023-005|2023-01-05T10:00+24:00|2023-01-05T10:00+2|" +
    "2023-01-05Z|2023-0105|20230105T10:00|1673000000|+275760-09-14|-000000-01-01|２０２３-01-05|2023-01-05\u2028";
  const bad = await badOf(t, tsv({ columns: { at: "date" } }), `${wrong.replaceAll("|", "\n")}\n\n`);
  assert.equal(bad.length, wrong.split("|").length + 1);
  assert.match(bad[0]!, /column "at": "2023-02-29" is not a date of the calendar in ISO 8601 \(YYYY-MM-DD/);
});

test("dates are those of Python's datetime.fromisoformat", { skip: pythonOf() === null }, () => {
  const two = (max: number) => fc.integer({ min: 0, max }).map((n) => String(n).padStart(2, "0"));
  const pieces = fc.record({
    year: fc.integer({ min: 1, max: 9999 }).map((n) => String(n).padStart(4, "0")),
    month: two(13),
    day: two(32),
    time: fc.option(fc.tuple(two(23), two(60), fc.option(fc.tuple(two(60), fc.stringMatching(/^\d{0,9}$/))))),
    zone: fc.option(
      fc.oneof(fc.constant("Z"), fc.tuple(fc.constantFrom("+", "-"), two(24), fc.option(two(59)))),
    ),
    basic: fc.boolean(),
  });
  const cases = fc.sample(pieces, { numRuns: 2000, seed: 20_241 }).map((p) => {
    const [dash, colon] = p.basic ? ["", ""] : ["-", ":"];
    let text = p.year + dash + p.month + dash + p.day;
    if (p.time === null) return text;
    text += `T${p.time[0]}${colon}${p.time[1]}`;
    if (p.time[2] !== null) {
      const [second, fraction] = p.time[2];
      text += colon + second + (fraction === "" ? "" : `.${fraction}`);
    }
    if (p.zone === null) return text;
    if (typeof p.zone === "string") return text + p.zone;
    return text + p.zone[0] + p.zone[1] + (p.zone[2] === null ? "" : colon + p.zone[2]);
  });
  const script = `
import json, sys
from datetime import datetime, timezone, timedelta
def ms(text):
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=timezone.utc)
    return (at - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(milliseconds=1)
if sys.version_info < (3, 11):
    print("null")
else:
    print(json.dumps([ms(text) for text in json.load(sys.stdin)]))
`;
  const { stdout } = spawnSync(pythonOf()!, ["-c", script], {
    input: JSON.stringify(cases),
    encoding: "utf8",
  });
  const expected = JSON.parse(stdout) as (number | null)[] | null;
  if (expected === null) return;
  assert.ok(expected.filter((ms) => ms !== null).length > 500);
  for (const [i, text] of cases.entries()) {
    const ms = parseIsoDate(text);
    assert.equal(Number.isNaN(ms) ? null : ms, expected[i], text);
  }
});

test("csv and tsv refuse to round integers", async (t) => {
  const content =
    "9007199254740991\n-9007199254740991\n9007199254740993\n-9007199254740992\n1e300\n0.1\n1e20\n";
  const read = await readContent(t, csv({ header: false, columns: { n: "number" } }), content);
  assert.deepEqual(
    read.records.map(({ n }) => n),
    [9007199254740991, -9007199254740991, 1e300, 0.1, 1e20],
  );
  assert.equal(read.bad.length, 2);
  const [why] = await badOf(t, tsv({ columns: { n: "number" } }), "72057594037927937\n");
  assert.match(why!, /integers beyond 2\^53 take the type "bigint"/);
  const kept = await readContent(t, tsv({ columns: { n: "bigint" } }), "72057594037927937\n-1\n");
  assert.deepEqual(kept.records, [{ n: 72057594037927937n }, { n: -1n }]);
  assert.equal((await badOf(t, tsv({ columns: { n: "integer" } }), "9007199254740992\n")).length, 1);
});

test("JSON numbers that no double holds are refused with their place; the largest are read", async (t) => {
  const digits = "9".repeat(309);
  const refused = {
    "1e309": "1e309",
    '{"a":[0,-1E+400]}': "a[1]: the number -1E+400",
    '{"a": 17.9e307, "b":1.8e308}': "b: the number 1.8e308",
    [`[${digits}.5]`]: "the number 9999",
  };
  for (const bigints of ["fail", "bigint", "string"] as const) {
    for (const [line, message] of Object.entries(refused)) {
      const [why] = await badOf(t, jsonl({ bigints }), `${line}\n`);
      assert.ok(why?.includes(message) && why.length < 300, why);
    }
  }
  const fine = [
    "1.7976931348623157e308",
    "-1e0308",
    "1e-400",
    '"1e400"',
    '{"1e400":"x, 1e400 [1e999"}',
    "0e999",
  ];
  const { records, bad } = await readContent(t, jsonl(), `${fine.join("\n")}\n`);
  assert.deepEqual(bad, []);
  assert.deepEqual(
    records,
    fine.map((line): unknown => JSON.parse(line)),
  );
});

test("long integers are found beside strings of megabytes, and quotes and backslashes in them", async (t) => {
  const long = '\\"'.repeat(5_000_000);
  for (const string of [
    JSON.stringify(long),
    JSON.stringify("x".repeat(20_000_000)),
    '"\\\\"',
    '"\\\\\\\""',
  ]) {
    const read = await readContent(
      t,
      jsonl({ bigints: "string" }),
      `{"s":${string},"n":18446744073709551615}\n`,
    );
    assert.deepEqual(read.bad, []);
    assert.deepEqual(read.records, [{ s: JSON.parse(string) as string, n: "18446744073709551615" }]);
  }
});

test("JSON integers beyond 2^53 are refused with their place, or kept as asked", async (t) => {
  const line =
    '{"user":{"ids":[1,18446744073709551615]},"s":"18446744073709551615","x":0.12345678901234567890}';
  const array = `[${line}]`;
  const readers: ((options?: JsonReaderOptions<unknown>) => Reader<unknown>)[] = [jsonl, jsonArray];
  for (const reader of readers) {
    const content = reader === jsonl ? `${line}\n` : array;
    const [why] = await badOf(t, reader(), content);
    assert.match(why!, /user\.ids\[1\]: the integer 18446744073709551615 is beyond 2\^53/);
    for (const bigints of ["bigint", "string", "number"] as const) {
      const big = { bigint: 18446744073709551615n, string: "18446744073709551615", number: 2 ** 64 }[bigints];
      const seen: unknown[] = [];
      const parse = (value: unknown): unknown => (seen.push(value), value);
      const { records } = await readContent(t, reader({ bigints, parse }), content);
      assert.deepEqual(records, [
        { user: { ids: [1, big] }, s: "18446744073709551615", x: 0.12345678901234568 },
      ]);
      assert.deepEqual(seen, records);
    }
  }
  assert.throws(() => jsonl({ bigints: "text" as "string" }), { code: "JOB_INVALID" });
  const [twice] = await badOf(t, jsonl(), '{"a":18446744073709551615,"a":1}\n');
  assert.match(twice!, /the integer 18446744073709551615 is beyond/);
});

test("numbers with a fraction or an exponent are doubles; what JSON refuses stays refused", async (t) => {
  const kept =
    '12345678901234567890.0|1e20|123456789012345678e2|-0|9007199254740991|"\\u00009007199254740993"';
  const { records, bad } = await readContent(t, jsonl(), `${kept.replaceAll("|", "\n")}\n`);
  assert.deepEqual(bad, []);
  assert.deepEqual(records, [
    Number("12345678901234567890"),
    1e20,
    Number("123456789012345678e2"),
    -0,
    2 ** 53 - 1,
    "\0" + "9007199254740993",
  ]);
  const marked = await readContent(
    t,
    jsonl({ bigints: "bigint" }),
    '["\\u00001","\\u0000\\u00002",9007199254740993]\n',
  );
  assert.deepEqual(marked.records, [["\0" + "1", "\0\0" + "2", 9007199254740993n]]);
  const named = await readContent(
    t,
    jsonl({ bigints: "bigint" }),
    '{"__proto__":9007199254740993,"a":1,"a":2}\n',
  );
  assert.deepEqual(Object.entries(named.records[0]!), [
    ["__proto__", 9007199254740993n],
    ["a", 2],
  ]);
  for (const wrong of [
    "09007199254740993",
    "9007199254740993x",
    "+9007199254740993",
    "[9007199254740993,]",
  ]) {
    assert.equal((await badOf(t, jsonl({ bigints: "bigint" }), `${wrong}\n`)).length, 1, wrong);
  }
});

test("integers of any length and place come out by their digits", async (t) => {
  const digits = fc
    .tuple(fc.constantFrom("", "-"), fc.stringMatching(/^[1-9]\d{0,24}$/))
    .map((p) => p.join(""));
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      digits.map((d) => ({ json: d, value: Number.isSafeInteger(Number(d)) ? Number(d) : BigInt(d) })),
      digits.map((d) => ({ json: `"${d}"`, value: d })),
      digits.map((d) => ({ json: `${d}.5`, value: Number(`${d}.5`) })),
      fc.array(tie("value"), { maxLength: 4 }).map((items) => ({
        json: `[${(items as Pair[]).map((item) => item.json).join(", ")}]`,
        value: (items as Pair[]).map((item) => item.value),
      })),
      fc.dictionary(fc.string(), tie("value"), { maxKeys: 4, noNullPrototype: true }).map((fields) => ({
        json: `{${Object.entries(fields as Record<string, Pair>)
          .map(([name, field]) => `${JSON.stringify(name)}:${field.json}`)
          .join(",")}}`,
        value: Object.fromEntries(
          Object.entries(fields as Record<string, Pair>).map(([name, field]) => [name, field.value]),
        ),
      })),
    ),
  }));
  await fc.assert(
    fc.asyncProperty(
      fc.array(value as fc.Arbitrary<Pair>, { minLength: 20, maxLength: 40 }),
      async (pairs) => {
        const content = pairs.map(({ json }) => `${json}\n`).join("");
        const { records } = await readContent(t, jsonl({ bigints: "bigint" }), content);
        assert.deepEqual(
          records,
          pairs.map((pair) => pair.value),
        );
      },
    ),
    { numRuns: 40 },
  );
});

interface Pair {
  readonly json: string;
  readonly value: unknown;
}
