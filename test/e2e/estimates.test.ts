import assert from "node:assert/strict";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { count, csv, distinct, exec, job, jsonl, mean, route, run, stats, sum, text, tsv } from "sheaf";
import type { Job, RunOptions, Writer } from "sheaf";
import { tempDir } from "../cli/support.ts";

/** Lines "KEY NUMBER": key a is every second one, b every 10th, c every 100th, each with its number. */
function lines(count: number): string {
  const keyOf = (i: number): string => (i % 100 === 99 ? "c" : i % 10 === 9 ? "b" : i % 2 === 0 ? "a" : "d");
  return Array.from({ length: count }, (_, i) => `${keyOf(i)} ${i % 7}\n`).join("");
}

const valueOf = (line: string): number => Number(line.slice(2));
const counting = (seed: number): Job =>
  job({ input: text(), seed, map: (line, emit) => emit(line.slice(0, 1)), reduce: count() });

async function results(what: Job, options: RunOptions, collection?: string): Promise<Record<string, never>> {
  const result = await run(what, { stateDirectory: null, memory: "8MiB", ...options });
  const found: Record<string, unknown> = {};
  for await (const [key, value] of result.records(collection)) found[String(key)] = value;
  await result.dispose();
  return found as Record<string, never>;
}

test("the true count is in the interval of --sample 0.01 for at least 90 of 100 seeds", async (t) => {
  const input = join(tempDir(t), "in");
  writeFileSync(input, lines(20_000));
  const held = { a: 0, b: 0, all: 0 };
  for (let seed = 1; seed <= 100; seed++) {
    const found = await results(counting(seed), { inputs: input, sample: 0.01, estimate: true });
    const { a, b } = found as Record<string, { low: number; high: number; estimate: number }>;
    if (a!.low <= 10_000 && 10_000 <= a!.high) held.a++;
    if (b !== undefined && b.low <= 1800 && 1800 <= b.high) held.b++;
  }
  assert.ok(held.a >= 90 && held.b >= 90, JSON.stringify(held));
});

test("estimates are the same whatever the splits, memory, partitions and spelling of the path", async (t) => {
  const root = tempDir(t);
  mkdirSync(join(root, "data"));
  for (const name of ["x", "y"]) writeFileSync(join(root, "data", name), lines(3000));
  symlinkSync("data", join(root, "link"));
  const values = job({
    input: text(),
    map: (line, emit) => emit(line.slice(0, 1), valueOf(line) - 2.5),
    reduce: stats({ s: sum(), m: mean() }),
  });
  const common = { sample: 0.2, estimate: true } as const;
  const expected = await results(values, { ...common, inputs: join(root, "data") });
  assert.deepEqual(Object.keys(expected).sort(), ["a", "b", "c", "d"]);
  for (const more of [{ splitSize: 4000 }, { memory: "16MiB", splitSize: 999 }, { partitions: 3 }]) {
    assert.deepEqual(await results(values, { ...common, ...more, inputs: join(root, "link/*") }), expected);
  }
});

async function written(t: TestContext, output: Writer<string, unknown>, file: string): Promise<string> {
  const root = tempDir(t);
  writeFileSync(join(root, "in"), lines(400));
  const what = job({
    input: text(),
    map: (line, emit) => emit(line.slice(0, 1), { n: undefined, s: valueOf(line), d: valueOf(line) }),
    reduce: stats({ n: count(), s: sum(), d: distinct() }),
    output,
  });
  const result = await run(what, {
    inputs: join(root, "in"),
    output: join(root, "out"),
    sample: 0.5,
    estimate: true,
    stateDirectory: null,
  });
  assert.deepEqual(result.estimates, [
    { collection: "", column: "n", note: null },
    { collection: "", column: "s", note: null },
    { collection: "", column: "d", note: "how many the sample has: all records have as many or more" },
  ]);
  return readFileSync(join(root, "out", file), "utf8");
}

test("csv, tsv and jsonl name every column, also where the job names others or none", async (t) => {
  const names = ["key", "n", "n_low", "n_high", "s", "s_low", "s_high", "d"];
  const table = await written(
    t,
    csv({ header: ["letter", "n", "s", "d"], delimiter: ";" }),
    "part-00000.csv",
  );
  assert.match(table, new RegExp(`^${names.join(";")}\na;\\d+;\\d+;\\d+;\\d+;\\d+;\\d+;7\n`));
  const tabs = await written(t, tsv(), "part-00000.tsv");
  assert.equal(tabs.split("\n")[0], names.join("\t"));
  assert.equal(tabs.replaceAll("\t", ";"), table);
  const [first] = (await written(t, jsonl(), "part-00000.jsonl")).split("\n");
  assert.deepEqual(Object.keys((JSON.parse(first!) as { value: object }).value), names.slice(1));
});

test("route() is asked with what the job made of the sample, the type it knows", async (t) => {
  const seen: unknown[] = [];
  const name = (key: string, value: unknown): string => {
    seen.push(value);
    return key;
  };
  const table = await written(t, route(name, csv()), "a/part-00000.csv");
  assert.match(table, /^key,n,n_low,/);
  for (const value of seen) assert.deepEqual(Object.keys(value as object), ["n", "s", "d"]);
});

test("collections that cannot be scaled are as the sample gives them, beside those that can", async (t) => {
  const input = join(tempDir(t), "in");
  writeFileSync(input, lines(2000));
  const what = job({
    input: text(),
    map(line, emit) {
      emit.counts(line.slice(0, 1));
      emit.kept(null, line);
      emit.free(line.slice(0, 1), 1);
      emit.grouped([line.slice(0, 1), valueOf(line)], 1);
    },
    collections: {
      counts: { reduce: count() },
      kept: {},
      free: { reduce: (_key: string, ones: Iterable<number>) => [...ones].length },
      grouped: { groupBy: 1, reduce: sum() },
    },
  });
  const options = { inputs: input, sample: 0.1, estimate: true };
  const [counts, free, grouped] = await Promise.all(
    ["counts", "free", "grouped"].map((name) => results(what, options, name)),
  );
  for (const key of ["a", "b"]) {
    const sampled = free![key] as unknown as number;
    assert.equal((counts![key] as unknown as { estimate: number }).estimate, sampled * 10);
    assert.equal(grouped![key], sampled);
  }
});

test("with --max-bad a record that fails is in no estimate, and the others are", async (t) => {
  const input = join(tempDir(t), "in");
  writeFileSync(input, lines(1000));
  const halves = job({
    input: text(),
    map(line, emit) {
      emit("all", 1);
      if (line.startsWith("b")) throw new Error("no b");
      emit("all", 1);
    },
    reduce: sum(),
  });
  const read = (options: RunOptions) => results(halves, { inputs: input, maxBad: "50%", ...options });
  const [exact, estimated] = [await read({ sample: 0.5 }), await read({ sample: 0.5, estimate: true })];
  assert.equal((estimated["all"] as unknown as { estimate: number }).estimate, exact["all"]! * 2);
});

test("what no estimate can be made of is refused, and what teardown emits", async (t) => {
  const input = join(tempDir(t), "in");
  writeFileSync(input, lines(100));
  const options = { inputs: input, sample: 0.5, estimate: true, stateDirectory: null } as const;
  const sorted = job({ input: text(), map: (line, emit) => emit(line), order: "total" });
  await assert.rejects(run(sorted, options), { code: "USAGE", message: /can be scaled/ });
  const upper = job({ input: text(), map: exec(["tr", "a-z", "A-Z"]), reduce: sum() });
  const both = job({
    inputs: { ours: text(), theirs: text() },
    map: { ours: (line, emit) => emit(line, 1), theirs: exec(["cat"]) },
    reduce: sum(),
  });
  for (const [one, inputs] of [
    [upper, input],
    [both, { theirs: input, ours: input }],
  ] as const)
    await assert.rejects(run(one, { ...options, inputs }), { code: "USAGE", message: /known of a program/ });
  const texts = job({ input: text(), map: (line, emit) => emit(line), reduce: count(), output: text() });
  await assert.rejects(run(texts, { ...options, output: join(tempDir(t), "out") }), {
    code: "USAGE",
    message: /writes text, which cannot name the columns/,
  });
  await assert.rejects(run(counting(1), { ...options, sample: 1 }), {
    code: "USAGE",
    message: /without a sample/,
  });
  await assert.rejects(run(counting(1), { ...options, sample: 1e-10 }), {
    code: "USAGE",
    message: /no record/,
  });
  const combining = job({
    input: text(),
    map: () => undefined,
    teardown: (_context, emit) => emit("all", 100),
    reduce: sum(),
  });
  await assert.rejects(run(combining, options), { code: "USER_CODE", message: /outside of any record/ });
});
