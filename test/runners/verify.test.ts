import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import type { RunDifference } from "#src/runners/compare-runs.js";
import { placesOf, variationOf, verifyJob } from "#src/runners/verify.js";
import type { VerifiedRun } from "#src/runners/verify.js";
import { sheaf, tempDir } from "../cli/support.js";

const input = Array.from({ length: 40 }, (_, i) => `k${i % 7} ${i}\n`).join("");

/** Runs the job at the places, by default twice in this thread: with one map task, then with three. */
async function verify(
  t: TestContext,
  source: string,
  options: { readonly on?: readonly string[]; readonly more?: object; readonly inputs?: string } = {},
): Promise<{ readonly runs: VerifiedRun[]; readonly differences: readonly RunDifference[] }> {
  const root = mkdtempSync(join(tmpdir(), "sheaf-verify-test-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const [file, inputs, directory] = [join(root, "job.ts"), join(root, "in.txt"), join(root, "temp")];
  writeFileSync(file, source);
  writeFileSync(inputs, options.inputs ?? input);
  mkdirSync(directory);
  const runs = await verifyJob({
    file,
    inputs: [inputs],
    external: [],
    places: placesOf(options.on ?? ["inline"]),
    directory,
    signal: new AbortController().signal,
    fixedSplits: false,
    optionsOf: () => Promise.resolve({ inputs: [inputs], partitions: 2, ...options.more }),
    began: () => undefined,
    warned: () => undefined,
    ended: () => undefined,
  });
  // The first output stays for its owner to remove; of the others nothing is left.
  assert.deepEqual(
    readdirSync(directory).filter((name) => !/^(?:0|state)$/.test(name)),
    [],
  );
  return { runs, differences: runs.at(-1)!.differences };
}

const job = (parts: string, top = ""): string => `
  import { job, text, jsonl, sum } from "sheaf";
  ${top}
  export default job({ input: text(), ${parts} });`;

const emitPairs = 'map(line, emit) { const [k, v] = line.split(" "); emit(k, Number(v)); },';
const reduce =
  "reduce(k: string, vs: Iterable<number>) { let s = 0; for (const v of vs) s += v; return s; },";

test("a job that depends on nothing is the same in threads and processes, with other splits and memory", async (t) => {
  const source = job(
    `map(line, emit, ctx) { ctx.count("lines"); emit(line.split(" ")[0]!, 1); }, reduce: sum()`,
  );
  const { runs } = await verify(t, source, { on: ["inline", "local", "local"] });
  assert.deepEqual(
    runs.map(({ differences, result }) => [result.status, differences]),
    [
      ["SUCCEEDED", []],
      ["SUCCEEDED", []],
      ["SUCCEEDED", []],
    ],
  );
  assert.deepEqual(
    runs.map(({ result }) => result.mapTasks),
    [1, 3, 5],
  );
  assert.deepEqual(
    runs.map(({ variation }) => variation.isolate),
    [undefined, "process", "thread"],
  );
});

test("each collection that depends on what it must not is found, its first key and both values named", async (t) => {
  const pair = 'const [k, v] = [line.split(" ")[0]!, Number(line.split(" ")[1])];';
  const source = `
    import { job, text, jsonl, sum } from "sheaf";
    let seen = 0;
    const add = (k: string, vs: Iterable<number>) => { let s = 0; for (const v of vs) s += v; return s; };
    const odd = { kind: "odd", extension: ".txt", encoder: () => ({
      write(key, value, sink) { sink.text(String(key) + Math.random() + "\\n"); } }) };
    export default job({
      input: text(),
      setup(ctx) { seen = 0; ctx.count("tasks"); return null; },
      collections: {
        same: { reduce: sum() },
        process: { reduce: add },
        state: { reduce: add },
        random: { reduce: add },
        key: { reduce: add },
        last: { reduce: add, order: "total", partitions: 1 },
        rounding: { reduce: add, combine: add },
        long: { reduce: (k: string, vs: Iterable<string>) => [...vs].at(-1) },
        nested: { reduce: (k: string, vs: Iterable<number>) => ({ list: ["x".repeat(5_000), add(k, vs)] }) },
        lines: { output: jsonl() },
        odd: { reduce: sum(), output: odd },
      },
      map(line, emit) {
        ${pair}
        seen++;
        emit.same(k, 1);
        emit.process(k, k === "k3" ? process.pid : 1);
        emit.state(k, k === "k5" ? seen : 1);
        emit.random(k, k === "k6" ? Math.random() : 1);
        emit.key(k, 1);
        emit.last(k, 1);
        emit.rounding("all", Math.sin(v));
        emit.long("k", "x".repeat(5_000) + seen + "y".repeat(5_000));
        emit.nested("n", seen);
        emit.lines(null, k === "k1" ? { line, seen } : { line });
        emit.odd(k, 1);
      },
      teardown(ctx, emit) {
        if (ctx.index !== 2) return;
        emit.key("k2b", 1);
        emit.last("z", 1);
      },
    });`;
  const { differences } = await verify(t, source, { on: ["inline", "local"] });
  type Record = Extract<RunDifference, { kind: "record" }>;
  const record = (name: string): Record => {
    const found = differences.find((one) => one.kind === "record" && one.collection === name);
    assert.ok(found, name);
    return found as Record;
  };
  const keys = (name: string) => [record(name).first?.key, record(name).other?.key];
  assert.deepEqual(keys("process"), ['"k3"', '"k3"']);
  assert.equal(record("process").first!.value, String(6 * process.pid));
  assert.deepEqual(keys("state"), ['"k5"', '"k5"']);
  assert.deepEqual(keys("random"), ['"k6"', '"k6"']);
  assert.equal(record("random").isRounding, false);
  assert.equal(record("key").onlyIn, "other");
  assert.deepEqual(record("key").other, { key: '"k2b"', value: "1" });
  const { first, other, onlyIn, index, part } = record("last");
  const z = { key: '"z"', value: "1" };
  assert.deepEqual(
    { first, other, onlyIn, index, part },
    {
      first: null,
      other: z,
      onlyIn: "other",
      index: 7,
      part: "last/part-00001.tsv",
    },
  );
  assert.equal(record("rounding").isRounding, true);
  assert.match(record("long").first!.value, /^…x+40y+…$/);
  assert.match(record("nested").first!.value, /^…x+', 820 \] \}$/);
  assert.match(record("lines").first!.value, /seen: \d+/);
  assert.equal(record("lines").part, "lines/part-00000.jsonl");
  const others = differences.filter(({ kind }) => kind !== "record");
  assert.deepEqual(
    others.map((one) => (one.kind === "bytes" ? [one.part, one.onlyIn] : one)),
    [
      ["odd/part-00000.txt", null],
      { kind: "count", name: "records written", first: 92, other: 94 },
      { kind: "count", name: "counter tasks", first: 1, other: 3 },
    ],
  );
});

test("a job that fails only in some splits is found", async (t) => {
  const source = job(
    `map(line, emit) { emit(line, 1); }, ${reduce} setup(ctx) { if (ctx.index === 2) throw new Error("no third task"); }`,
  );
  const { differences } = await verify(t, source, { more: { attempts: 1 } });
  assert.deepEqual(differences, [
    { kind: "status", first: "SUCCEEDED", other: "FAILED: no third task [USER_CODE]" },
  ]);
});

test("nothing is found in what may differ: files of map-only jobs, and what keeps input order", async (t) => {
  const source = `
    import { job, text, jsonl } from "sheaf";
    export default job({
      input: text(),
      collections: {
        lines: { output: jsonl() },
        floats: { reduce: (k: string, vs: Iterable<number>) => [...vs].reduce((a, b) => a + b, 0) },
        values: { reduce: (k: string, vs: Iterable<string>) => [...vs].join() },
      },
      map(line, emit) {
        emit.lines(null, { line });
        emit.floats("all", Math.sin(Number(line.split(" ")[1])));
        emit.values(line.split(" ")[0]!, line);
      },
    });`;
  assert.deepEqual((await verify(t, source)).differences, []);
  assert.deepEqual((await verify(t, source, { inputs: "" })).differences, []);
});

test("a job that cannot begin is tried once", async (t) => {
  const { runs } = await verify(t, job(`${emitPairs} reduce: sum()`), { more: { params: { nope: 1 } } });
  assert.deepEqual(
    runs.map(({ result }) => result.error?.code),
    ["USAGE"],
  );
});

test("places are names of runners and URLs; one alone is used twice", () => {
  assert.deepEqual(
    placesOf(["local"]).map(({ name, on, runner }) => [name, on, runner]),
    [
      ["local", "local", "local"],
      ["local (2)", "local", "local"],
    ],
  );
  assert.deepEqual(
    placesOf(["inline", "https://head:7077"]).map(({ runner }) => runner),
    ["local", "cluster"],
  );
  assert.deepEqual(
    placesOf(["hadoop", "spark"]).map(({ runner }) => runner),
    ["hosted", "hosted"],
  );
  for (const name of ["Spark", "flink", "", "Local", "ftp://x", "workers"])
    assert.throws(() => placesOf(["inline", name]), { code: "USAGE" }, name);
});

test("no two runs have the same number of map tasks, unless the caller has said which", () => {
  const place = placesOf(["local", "local"])[0]!;
  for (const mapTasks of [0, 1, 2, 7, 100]) {
    const counts = [0, 1, 2, 3].map((n) => variationOf(place, n, mapTasks, false).mappers ?? mapTasks);
    assert.equal(new Set(counts).size, 4, String(counts));
  }
  assert.equal(variationOf(place, 1, 5, true).mappers, undefined);
});

test("the command says what differs, and leaves nothing", async (t) => {
  const root = tempDir(t);
  const file = join(root, "job.ts");
  const inputs = join(root, "in.txt");
  writeFileSync(inputs, input);
  writeFileSync(
    file,
    job(
      `map(line, emit, ctx) { ctx.count("lines"); emit(line.split(" ")[0]!, seen++); }, setup() { seen = 0; }, ${reduce}`,
      "let seen = 0;",
    ),
  );
  const temp = join(root, "temp");
  mkdirSync(temp);
  const env = { SHEAF_STATE: join(root, "state") };
  const args = ["verify", file, inputs, "--on", "inline", "-p", "1", "--temp", temp];
  const told = await sheaf(args, { env });
  assert.equal(told.code, 1, told.stderr);
  assert.match(told.stderr, /part +part-00000\.tsv, result 1\n/);
  assert.match(told.stderr, /key +"k0"\n +inline +105\n +inline \(2\) +\d+\n/);
  const json = await sheaf([...args, "--json", "--mappers", "1"], { env });
  assert.equal(json.code, 0, json.stderr);
  assert.equal((JSON.parse(json.stdout) as { same: boolean }).same, true);
  assert.deepEqual(readdirSync(temp), []);
  assert.deepEqual(readdirSync(root).sort(), ["in.txt", "job.ts", "temp"]);
  const refused = await sheaf(["verify", file, "-", "--on", "inline"], { env });
  assert.equal(refused.code, 2, refused.stderr);
  assert.match(refused.stderr, /standard input can be read only once/);
});
