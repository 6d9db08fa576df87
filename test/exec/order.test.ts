import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { seededRandom } from "#src/base/random.js";
import type { LocalRunOptions } from "#src/engine/options.js";
import { count, exec, type ExecOptions, type Job, job, jsonl, sum, text, tsv } from "#src/index.js";
import { runJob } from "#src/runner/run.js";
import { errorOf, file, many, root } from "./support.js";

let runs = 0;

/** The parts of each collection. */
async function partsOf(
  what: Job,
  input: string,
  options: LocalRunOptions = {},
): Promise<Record<string, string[]>> {
  const output = join(root, `order-${runs++}`);
  const result = await runJob(what, {
    inputs: [input],
    output,
    stateDirectory: null,
    attempts: 1,
    ...options,
  });
  result.throwIfFailed();
  await result.dispose();
  const found: Record<string, string[]> = {};
  for (const name of readdirSync(output, { recursive: true, encoding: "utf8" }).sort()) {
    const [, collection = "", part] = /^(?:(.+)\/)?(part-.*)$/.exec(name) ?? [];
    if (part !== undefined) (found[collection] ??= []).push(readFileSync(join(output, name), "latin1"));
  }
  return found;
}

/** As sort(1) has it. */
function sortedBy(path: string, ...options: string[]): string {
  const given = ["-t\t", ...options, path];
  return execFileSync("sort", given, { env: { LC_ALL: "C" }, encoding: "latin1", maxBuffer: 1 << 28 });
}

const total = { order: "total" as const, partitions: 4 };
const raw = text({ invalid: "bytes" });

describe("a total order of what programs write", () => {
  const random = seededRandom(20261129);
  const odd = file(
    "order.txt",
    Buffer.from(
      Array.from({ length: 3_000 }, (_, i) => {
        const key = Array.from({ length: random.below(4) }, () => "ab\xff\xe9\0 z"[random.below(7)]).join("");
        return `${key}\t${random.below(50)}\t${i}\n`;
      }).join(""),
      "latin1",
    ),
  );

  test("is that of the bytes of their keys, part after part, however splits are cut", async () => {
    const expected = sortedBy(odd, "-s", "-k1,1");
    const { "": parts = [] } = await partsOf(job({ input: raw, map: exec(["cat"]), ...total }), odd);
    assert.equal(parts.join(""), expected);
    assert.ok(parts.length === 4 && parts.every((part) => part.length > 1_000), "parts of about one size");
    const reduced = job({
      input: raw,
      map: exec(["cat"]),
      combine: exec(["cat"]),
      reduce: exec(["cat"]),
      ...total,
    });
    assert.deepEqual((await partsOf(reduced, odd, { mappers: 5 }))[""], parts);
  });

  test("is that of sort, and what is equal in its fields is in one part", async () => {
    const map = exec(["cat"], { keyFields: 3, sort: "-k2,2nr" });
    const { "": parts = [] } = await partsOf(job({ input: raw, map, reduce: exec(["cat"]), ...total }), odd);
    assert.equal(parts.join(""), sortedBy(odd, "-k2,2nr"));
    const numbers = parts.map(
      (part) =>
        new Set(
          part
            .split("\n")
            .slice(0, -1)
            .map((line) => line.split("\t")[1]),
        ),
    );
    assert.equal(
      numbers.reduce((all, one) => all + one.size, 0),
      50,
    );
    assert.ok(numbers.every(({ size }) => size > 5));
  });

  test("goes by a sample of what is large, of one program for each file", async () => {
    const line = (n: number): string =>
      `${String((n * 7_919) % 100_003).padStart(6, "0")}\t${"x".repeat(40)}\n`;
    const large = file("large.txt", Array.from({ length: 100_003 }, (_, n) => line(n)).join(""));
    // It writes when all is read, as a mapper does that adds up first.
    const late = exec(["sh", "-c", 'sort; echo "reporter:counter:G,started,1" >&2']);
    const { "": parts = [] } = await partsOf(job({ input: text(), map: late, ...total }), large);
    assert.equal(parts.join(""), sortedBy(large, "-k1,1"));
    for (const part of parts)
      assert.ok(Math.abs(part.length - 4_800_000 / 4) < 120_000, `${part.length} bytes`);
  });

  const programs: readonly [name: string, protocol: ExecOptions["protocol"], program: string][] = [
    [
      "JSON",
      "json",
      "import sys, json\nfor line in sys.stdin: print(json.dumps([sum(map(ord, json.loads(line))) % 23 - 11, line]))",
    ],
    [
      "bytes",
      "bytes",
      "import sys\nfor one in iter(lambda: sys.stdin.buffer.read(4), b''):\n  data = sys.stdin.buffer.read(int.from_bytes(one, 'big'))\n  sys.stdout.buffer.write(b'\\0\\0\\0\\1' + bytes([sum(data) % 251]) + b'\\0\\0\\0\\0')",
    ],
  ];
  for (const [name, protocol, program] of programs) {
    test(`of ${name}: keys are in order over all parts`, async () => {
      const what = job({
        input: text(),
        map: exec(["python3", "-c", program], { protocol: protocol! }),
        reduce: count(),
        ...total,
        output: jsonl(),
      });
      const { "": parts = [] } = await partsOf(what, many);
      const keys = parts
        .map((part) => part.split("\n").slice(0, -1))
        .map((some) => some.map((one) => JSON.parse(one).key));
      const all = keys.flat().map((key) => (typeof key === "number" ? key : Buffer.from(key, "base64")[0]!));
      assert.deepEqual(
        all,
        [...new Set(all)].sort((a, b) => a - b),
      );
      assert.ok(keys.filter((some) => some.length > 0).length > 2, JSON.stringify(keys));
    });
  }

  test("a program that stops early is fine; one that fails, or is not there, is told by the map", async () => {
    const first = job({ input: text(), map: exec(["sed", "-n", "1,3p;3q"]), ...total });
    const { "": parts = [] } = await partsOf(first, many, { mappers: 1 });
    assert.equal(parts.join("").split("\n").length, 4);
    const fails = job({ input: text(), map: exec(["sh", "-c", "head -5; exit 3"]), ...total });
    assert.match((await errorOf(fails, many)).report, /map-0000\d failed[^]*exit code 3/);
    const missing = job({ input: text(), map: exec(["no-such-program"]), ...total });
    assert.match((await errorOf(missing, many)).message, /no program no-such-program|no-such-program/);
  });
});

describe("collections of a program", () => {
  const words = file(
    "words.txt",
    Array.from({ length: 400 }, (_, i) => `${"abcdefghij".slice(0, 1 + ((i * i) % 10))}\n`).join(""),
  );
  const expected = new Map<string, number>();
  for (const word of readFileSync(words, "utf8").split("\n").slice(0, -1))
    expected.set(word, (expected.get(word) ?? 0) + 1);
  const sorted = [...expected].sort();

  test("lines begin with the name of theirs: reduced, sorted and without a shuffle", async () => {
    const script =
      '{ print "counts\\t" $1 "\\t1"; print "order\\t" length($1) % 4 "\\t" $1; print "seen\\t" $1 "\\t\\t" NR }';
    const add =
      '$1 != key { if (NR > 1) print key "\\t" n; key = $1; n = 0 } { n += $2 } END { print key "\\t" n }';
    const found = await partsOf(
      job({
        input: text(),
        collections: {
          counts: { reduce: exec(["awk", "-F\t", add]), partitions: 1 },
          order: { order: "total", partitions: 2 },
          seen: {},
        },
        map: exec(["awk", script]),
      }),
      words,
      { mappers: 2, isolate: "inline" },
    );
    assert.equal(found["counts"]!.join(""), sorted.map(([word, n]) => `${word}\t${n}\n`).join(""));
    const order = found["order"]!.map((part) =>
      part
        .split("\n")
        .slice(0, -1)
        .map((line) => line[0]),
    );
    assert.deepEqual(order.flat(), order.flat().toSorted());
    assert.equal(order.flat().length, 400);
    assert.equal(new Set(order[0]).size + new Set(order[1]).size, 3);
    assert.match(found["seen"]!.join(""), /^abcdefghij|^a+b*\S*\t\t1\n/);
    assert.equal(found["seen"]!.join("").split("\n").length, 401);
  });

  test("JSON, of a Python program with the helper; aggregators and tables", async () => {
    const helper = fileURLToPath(new URL("../../../python/sheaf_worker.py", import.meta.url));
    const program = file(
      "several.py",
      `import sheaf_worker
def each(line):
    yield "counts", line, 1
    yield "lengths", len(line), [line]
sheaf_worker.main(map=each)
`,
    );
    const what = (protocol: "json" | "lines"): Job =>
      job({
        input: text(),
        files: [program, helper],
        collections: {
          counts: { reduce: sum(), output: tsv(), partitions: 1 },
          lengths: { output: jsonl() },
        },
        map: exec(["python3", "several.py", "map", "--protocol", protocol], {
          protocol,
          ...(protocol === "lines" && { values: "number" }),
        }),
      });
    const found = await partsOf(what("json"), words, { mappers: 1 });
    assert.equal(found["counts"]!.join(""), sorted.map(([word, n]) => `${word}\t${n}\n`).join(""));
    const first = JSON.parse(found["lengths"]!.join("").split("\n")[0]!) as { key: number; value: string[] };
    assert.deepEqual([first.key, first.value[0]!.length], [first.value[0]!.length, first.key]);
    // Without collections a triple is no pair.
    const plain = job({
      input: text(),
      files: [program, helper],
      map: exec(["python3", "several.py", "map"]),
    });
    assert.match((await errorOf(plain, words)).message, /no \(key, value\)/);
  });

  test("what names no collection is refused with its line; so are combiners, and protocols without lines", async () => {
    const what = (script: string, options: ExecOptions = {}): Job =>
      job({
        input: text(),
        collections: { counts: { reduce: exec(["cat"]) }, other: {} },
        map: exec(["awk", script], options),
      });
    const stray = await errorOf(what('{ print "count\\t" $1 "\\t1" }'), words);
    assert.match(stray.message, /awk .*count\\t\w+\\t1.*is for no collection of the job/);
    assert.match(stray.report, /Did you mean counts\?/);
    assert.match((await errorOf(what('{ print "counts" }'), words)).message, /is for no collection/);
    const json = await errorOf(what('{ print "{\\"counts\\": 1}" }', { protocol: "json" }), words);
    assert.match(json.report, /\[NAME, KEY, VALUE\]/);
    assert.throws(
      () => what("{ print }", { protocol: "bytes" }),
      /among bytes nothing tells which collection/,
    );
  });
});
