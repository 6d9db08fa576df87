import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { isSheafError } from "#src/base/errors.js";
import type { GenerateRequest, Generator } from "#src/generate/index.js";
import { generators } from "#src/generate/index.js";
import { permutation } from "#src/generate/pairs.js";

const generator = (kind: string): Generator => {
  const found = generators.find((one) => one.kind === kind);
  assert.ok(found, `no generator ${kind}`);
  return found;
};
const bytesOf = (kind: string, request: GenerateRequest): Buffer =>
  Buffer.concat([...generator(kind).write(request)]);
const linesOf = (kind: string, request: GenerateRequest): string[] =>
  bytesOf(kind, request).toString("utf8").split("\n").slice(0, -1);
const usage = (message: RegExp) => (error: unknown) =>
  isSheafError(error) && error.code === "USAGE" && message.test(`${error.message} ${error.hint}`);

/**
 * SHA-1 of the first 300,000 bytes of seed 1. Frozen: data made by an older version must stay reproducible.
 */
const FROZEN: Readonly<Record<string, string>> = {
  text: "6a9465ad49247bef292bc450c4d2a6a1d66acdf4",
  terasort: "85770d69d00a5bc70d06524500ea61dcfffd2c84",
  measurements: "7e99f27e2e2b17ab2a5304fd8b5937816b853476",
  csv: "2f61910fb1374c1024a4339fe7a3a84c4869a20b",
  jsonl: "07183137acab1c292937033f4d26d98ab24d677f",
  accesslog: "c96a2251e1a4ec438cdb5158ea849de0067b9bdf",
  pairs: "49539b54f3de67a1654926801d32d5d2a772ed81",
};

test("every kind gives the frozen bytes for seed 1", () => {
  const got = Object.fromEntries(
    generators.map(({ kind }) => [
      kind,
      createHash("sha1")
        .update(bytesOf(kind, { seed: 1, bytes: 300_000 }).subarray(0, 300_000))
        .digest("hex"),
    ]),
  );
  assert.deepEqual(got, FROZEN);
});

for (const { kind } of generators) {
  test(`${kind}: another seed gives other bytes, a larger size the same bytes and more`, () => {
    const small = bytesOf(kind, { seed: 5, bytes: 20_000 });
    assert.notDeepEqual(small, bytesOf(kind, { seed: 6, bytes: 20_000 }));
    const large = bytesOf(kind, { seed: 5, bytes: 2_500_000 });
    assert.deepEqual(small, large.subarray(0, small.length));
  });

  test(`${kind}: the size is passed by less than a record, and records are whole`, () => {
    for (const bytes of [1, 99, 100, 4096, 1_048_576, 1_048_577, 3_000_000]) {
      const data = bytesOf(kind, { seed: 2, bytes });
      assert.ok(data.length >= bytes && data.length < bytes + 512, `${data.length} for ${bytes}`);
      assert.equal(data.at(-1), 10);
    }
  });

  test(`${kind}: a record count is kept, and may end before the size`, () => {
    const header = kind === "csv" ? 1 : 0;
    for (const records of [0, 1, 2, 1000]) {
      const request = { seed: 3, records, ...(kind === "csv" ? { options: { multiline: 0 } } : {}) };
      assert.equal(linesOf(kind, request).length, records === 0 ? 0 : records + header);
      assert.deepEqual(bytesOf(kind, { ...request, bytes: 10_000_000 }), bytesOf(kind, request));
    }
    assert.equal(bytesOf(kind, { seed: 3, bytes: 0 }).length, 0);
  });

  test(`${kind}: chunks are the caller's to keep`, () => {
    const kept: Uint8Array[] = [];
    const hash = createHash("sha1");
    for (const chunk of generator(kind).write({ seed: 4, bytes: 3_000_000 })) {
      kept.push(chunk);
      hash.update(chunk);
    }
    assert.ok(kept.length >= 3);
    assert.equal(createHash("sha1").update(Buffer.concat(kept)).digest("hex"), hash.digest("hex"));
  });

  test(`${kind}: every option takes its bounds and its default is inside`, () => {
    for (const option of generator(kind).options) {
      assert.ok(option.default >= option.min && option.default <= option.max, option.name);
      assert.ok(bytesOf(kind, { seed: 1, records: 10, options: { [option.name]: option.min } }).length > 0);
      for (const wrong of [option.min - 1, option.max + 1, Number.NaN]) {
        const write = () => generator(kind).write({ seed: 1, records: 1, options: { [option.name]: wrong } });
        assert.throws(write, usage(new RegExp(option.name)));
      }
    }
  });
}

test("a wrong request says what is wrong before any data is made", () => {
  assert.throws(() => generator("text").write({ seed: 1 }), usage(/no end/));
  assert.throws(() => generator("text").write({ seed: -1, bytes: 1 }), usage(/seed is -1/));
  assert.throws(() => generator("text").write({ seed: 1, bytes: 1.5 }), usage(/size is 1.5/));
  assert.throws(
    () => generator("text").write({ seed: 1, bytes: 1, options: { word: 3 } }),
    usage(/no option "word".*Did you mean "words"/),
  );
});

test("text: words follow Zipf's law, lines are about 70 long, sentences begin with a capital", () => {
  const text = bytesOf("text", { seed: 1, bytes: 1_000_000 }).toString("utf8");
  const counts = new Map<string, number>();
  const words = text.match(/[a-z]+/gi)!;
  for (const word of words) counts.set(word.toLowerCase(), (counts.get(word.toLowerCase()) ?? 0) + 1);
  const top = [...counts.values()].toSorted((a, b) => b - a);
  // p(rank) = 1 / (rank + 1.7): rank 1 against rank 10 is 11.7 / 2.7.
  assert.ok(Math.abs(top[0]! / top[9]! - 11.7 / 2.7) < 0.6, `${top[0]} and ${top[9]}`);
  assert.ok(counts.size > 10_000 && counts.size <= 40_000, `${counts.size} different words`);
  const lines = text.split("\n");
  assert.ok(Math.max(...lines.map((line) => line.length)) < 90);
  const full = lines.filter((line) => line.length >= 64).length;
  assert.ok(full > lines.length / 2, `${full} full lines of ${lines.length}`);
  assert.equal(/[.?] [a-z]/.exec(text), null);
  assert.equal(/\S[.?,]\S/.exec(text), null);
  assert.equal(/\P{ASCII}/u.exec(text), null);
});

test("text: a share of the words can be non-ASCII, a vocabulary of any size is full", () => {
  const text = bytesOf("text", {
    seed: 1,
    bytes: 300_000,
    options: { "non-ascii": 0.1, words: 5000 },
  }).toString("utf8");
  assert.equal(text.includes("\ufffd"), false);
  const words = text.toLowerCase().match(/\p{L}+/gu)!;
  const different = new Set(words);
  const foreign = [...different].filter((word) => /\P{ASCII}/u.test(word)).length;
  assert.ok(Math.abs(foreign / different.size - 0.1) < 0.02, `${foreign} of ${different.size}`);
  assert.ok(different.size > 4500 && different.size <= 5000);
  const one = bytesOf("text", { seed: 1, records: 50, options: { words: 1 } }).toString("utf8");
  assert.equal(new Set(one.toLowerCase().match(/[a-z]+/g)).size, 1);
});

test("terasort: 100-byte records with printable keys and a row number", () => {
  linesOf("terasort", { seed: 1, records: 2000 }).forEach((line, i) => {
    assert.match(line, /^[ -~]{10} {2}\d{32} {2}([A-Z])\1{3}(([A-Z])\3{3}){12}X$/);
    assert.equal(Number(line.slice(12, 44)), i);
    assert.equal(line.length, 99);
  });
});

test("measurements: known stations, one decimal, temperatures from -60 to 85", () => {
  const names = new Set<string>();
  for (const line of linesOf("measurements", { seed: 1, records: 20_000 })) {
    const match = /^([^;]+);(-?\d{1,2}\.\d)$/.exec(line);
    assert.ok(match, line);
    names.add(match[1]!);
    assert.ok(Number(match[2]) > -60 && Number(match[2]) < 85, line);
  }
  assert.ok(names.size > 380 && names.has("Zürich") && names.has("東京"), `${names.size} stations`);
  const many = linesOf("measurements", { seed: 1, records: 30_000, options: { stations: 1000 } });
  assert.equal(new Set(many.map((line) => line.split(";")[0])).size, 1000);
});

test("csv: rows have seven fields, some with quotes, commas and newlines in them", () => {
  const text = bytesOf("csv", { seed: 1, records: 3000, options: { multiline: 0.1 } }).toString("utf8");
  const rows = parseCsv(text);
  assert.deepEqual(rows[0], ["id", "date", "city", "product", "quantity", "price", "note"]);
  assert.equal(rows.length, 3001);
  rows.slice(1).forEach((row, i) => {
    assert.equal(row.length, 7);
    assert.equal(row[0], String(i + 1));
    assert.match(row[1]!, /^20\d\d-\d\d-\d\d$/);
    assert.match(row[5]!, /^\d+\.\d\d$/);
  });
  assert.ok(rows.some((row) => row[3] === 'Desk, 4" drawer'));
  const multiline = rows.filter((row) => row[6]!.includes("\n")).length;
  assert.ok(multiline > 200 && multiline < 400, `${multiline} rows of several lines`);
});

test("jsonl: every line is an event, times do not go back", () => {
  let time = 0;
  const events = linesOf("jsonl", { seed: 1, records: 2000 }).map((line) => {
    const event = JSON.parse(line) as { id: number; time: number; kind: string; amount?: number };
    assert.equal(JSON.stringify(event), line);
    assert.equal(event.amount !== undefined, event.kind === "buy");
    assert.ok(event.time >= time);
    time = event.time;
    return event;
  });
  assert.deepEqual(
    events.map((event) => event.id),
    events.map((_, i) => i + 1),
  );
});

test("accesslog: lines are in the combined format, a share of them broken on request", () => {
  const format =
    /^(\d{1,3}\.){3}\d{1,3} - (-|alice) \[\d\d\/\w{3}\/\d{4}(:\d\d){3} \+0000\] "[A-Z]+ \S+ HTTP\/1\.1" \d{3} (\d+|-) "[^"]*" ".*"$/;
  for (const line of linesOf("accesslog", { seed: 1, records: 2000 })) assert.match(line, format);
  const some = linesOf("accesslog", { seed: 1, records: 4000, options: { broken: 0.1 } });
  const broken = some.filter((line) => !format.test(line)).length;
  assert.ok(broken > 300 && broken < 500, `${broken} broken lines`);
});

test("pairs: every key comes up equally often, 2.5 keys a line", () => {
  const counts = new Map<string, number>();
  for (const line of linesOf("pairs", { seed: 1, records: 4000, options: { distinct: 5000 } })) {
    assert.equal(line.length, 99);
    for (const key of line.slice(0, line.indexOf("\t")).split(" "))
      counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  assert.equal(counts.size, 5000);
  assert.deepEqual(new Set(counts.values()), new Set([2]));
});

test("permutation is a bijection of any size", () => {
  for (const size of [1, 2, 3, 4, 5, 16, 17, 1000, 4097]) {
    const permute = permutation(size, size * 7);
    const seen = new Set(Array.from({ length: size }, (_, n) => permute(n)));
    assert.equal(seen.size, size);
    assert.ok([...seen].every((n) => Number.isInteger(n) && n >= 0 && n < size));
  }
});

/** The whole of RFC 4180, by hand: an expectation that shares nothing with the code under test. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  for (const match of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\n)/g)) {
    row.push(match[1]?.replaceAll('""', '"') ?? match[2]!);
    if (match[3] === "\n") {
      rows.push(row);
      row = [];
    }
  }
  return rows;
}
