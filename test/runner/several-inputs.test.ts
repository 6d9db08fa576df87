import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import type { LocalRunOptions } from "#src/engine/options.js";
import { MapSplits } from "#src/runner/map-splits.js";
import { replay } from "#src/runner/replay.js";
import type { SplitPiece, SplitPlace } from "#src/task/split.js";
import { Bench } from "./support.ts";

const customers = Array.from({ length: 300 }, (_, i) => ({ id: (i * 7) % 300, name: `name, "${i}"` }));
const orders = Array.from({ length: 2_000 }, (_, i) => ({ customer: (i * 31) % 350, amount: i }));
const csvOf = (rows: typeof customers): string =>
  `id,name\n${rows.map(({ id, name }) => `${id},"${name.replaceAll('"', '""')}"\n`).join("")}`;
const jsonlOf = (rows: readonly unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

/** Customer, name, and amounts in the order of the files; also for those of whom nothing is known. */
const joined = Array.from({ length: 350 }, (_, id) => {
  const name = customers.find((customer) => customer.id === id)?.name ?? null;
  return {
    id,
    sides: [name, ...orders.filter(({ customer }) => customer === id).map(({ amount }) => amount)],
  };
});

const joinJob = (more = ""): string => `
  import { csv, job, jsonl } from "sheaf";
  export default job({
    inputs: {
      orders: jsonl<{ customer: number; amount: number }>(),
      customers: csv({ columns: { id: "integer", name: "string" } }),
    },
    setup: (ctx) => ctx.input,
    map: {
      customers(row, emit, ctx) {
        if (ctx.input !== "customers" || ctx.state !== "customers") throw new Error("wrong input");
        ctx.count("customers");
        emit([row.id, 0], row.name);
      },
      orders(order, emit, ctx) {
        if (ctx.input !== "orders" || !ctx.path.includes("orders")) throw new Error("wrong input");
        if (order.customer < 0) throw new Error("no such customer: " + order.customer);
        ctx.count("orders");
        emit([order.customer, 1], order.amount);
      },
    },
    groupBy: 1,
    reduce([id]: readonly number[], sides: Iterable<string | number>, ctx) {
      if (ctx.input !== "") throw new Error("a reduce is of no input");
      const [first, ...rest] = sides;
      return { id: id!, sides: typeof first === "string" ? [first, ...rest] : [null, first, ...rest] };
    },
    output: jsonl({ shape: "record" }),
    ${more}
  });`;

function filesOf(bench: Bench): { customers: string; orders: string } {
  bench.file("orders/1.jsonl", jsonlOf(orders.slice(0, 700)));
  bench.file("orders/2.jsonl.gz", gzipSync(jsonlOf(orders.slice(700, 1_500))));
  bench.file("orders/3.jsonl", jsonlOf(orders.slice(1_500)));
  return { customers: bench.file("customers=all.csv", csvOf(customers)), orders: join(bench.root, "orders") };
}

function results(bench: Bench): { id: number }[] {
  const parts = readdirSync(bench.output).filter((name) => name.startsWith("part-"));
  const lines = parts
    .toSorted()
    .flatMap((name) => readFileSync(join(bench.output, name), "utf8").split("\n"));
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as { id: number });
}

const ways: readonly [name: string, options: LocalRunOptions, more?: string][] = [
  ["on threads", { isolate: "thread" }],
  ["in small splits, several partitions", { splitSize: 1_000, partitions: 3, isolate: "thread" }],
  ["in one split of each", { mappers: 1, workers: 1, isolate: "inline" }],
  ["in total order, by a sample", { partitions: 4, splitSize: 5_000, isolate: "thread" }, `order: "total",`],
];
for (const [name, options, more] of ways) {
  test(`two inputs of different formats are joined: ${name}`, async (t) => {
    const bench = new Bench(t);
    const result = await bench.run(joinJob(more), { inputs: filesOf(bench), ...options });
    const got = results(bench);
    const wanted = more === undefined ? got.toSorted((a, b) => a.id - b.id) : got;
    assert.deepEqual(wanted, joined);
    assert.deepEqual(result.counters, { customers: 300, orders: 2_000 });
    assert.equal(result.stats.recordsIn, 2_300);
  });
}

test("equal keys come in the order the inputs are declared in, whatever is given first; one file may be both", async (t) => {
  const bench = new Bench(t);
  const file = bench.file("a.txt", "k 1\nk 2\nj 3\n".repeat(50));
  const inputs = [`second=${file}`, `first=${file}`, `second=${file}`];
  const text = `
    import { job, text } from "sheaf";
    const of = (side: string) => (line: string, emit: (key: string, value: string) => void) =>
      emit(line.slice(0, 1), side + line.slice(2));
    export default job({
      inputs: { first: text(), second: text() },
      map: { first: of("a"), second: of("b") },
      reduce: (_key: string, values: Iterable<string>) => [...values].join(""),
    });`;
  await bench.run(text, { inputs, splitSize: 20, isolate: "inline" });
  const [j, k] = ["3", "12"].map((values) => {
    const [a, b] = ["a", "b"].map((side) =>
      [...values]
        .map((value) => side + value)
        .join("")
        .repeat(50),
    );
    // A path that comes twice for one input is read once, as in every job.
    return `${a}${b}`;
  });
  const lines = readFileSync(join(bench.output, "part-00000.tsv"), "utf8").split("\n");
  assert.deepEqual(lines, [`j\t${j}`, `k\t${k}`, ""]);
});

test("columns of two tables go to one sum by kernels, each by its own header", async (t) => {
  const bench = new Bench(t);
  const inputs = {
    sold: bench.file("sold.csv", "day,city,n\n1,Bern,3\n2,Chur,4\n"),
    returned: bench.file("returned.tsv", "n\treason\tcity\n-1\tbroken\tBern\n-2\tlate\tZug\n"),
  };
  const text = `
    import { columns, csv, job, sum, tsv } from "sheaf";
    export default job({
      inputs: {
        sold: csv({ columns: { city: "string", n: "number" } }),
        returned: tsv({ header: true, columns: { city: "string", n: "number" } }),
      },
      map: { sold: columns("city", "n"), returned: columns("city", "n") },
      reduce: sum(),
    });`;
  await bench.run(text, { inputs, isolate: "inline" });
  assert.equal(readFileSync(join(bench.output, "part-00000.tsv"), "utf8"), "Bern\t2\nChur\t4\nZug\t-2\n");
});

test("a map of one of several inputs that fails is replayed with its reader and its map", async (t) => {
  const bench = new Bench(t);
  const inputs = filesOf(bench);
  const broken = bench.file("orders/4.jsonl", `{"customer":1,"amount":1}\n{"customer":-5,"amount":1}\n`);
  const { status, error } = await bench.run(joinJob(), { inputs, isolate: "thread" });
  assert.equal(status, "FAILED");
  assert.match(error?.message ?? "", /no such customer: -5/);
  assert.match(error?.report ?? "", /"customer":-5/);
  const again = await replay("@", { stateDirectory: bench.state });
  assert.ok(again.result.kind === "failure");
  assert.match(again.result.message, /no such customer: -5/);
  assert.deepEqual([again.result.path, again.result.offset], [broken, 26]);
});

test("a record that ends its worker is found and set aside, in the input it is of", async (t) => {
  const bench = new Bench(t);
  const inputs = { a: bench.file("a.txt", "1\n2\n3\n"), b: bench.file("b.txt", "1\n2\n3\n") };
  const text = `
    import { job, sum, text } from "sheaf";
    export default job({
      inputs: { a: text(), b: text() },
      map: {
        a: (line, emit) => emit("a", Number(line)),
        b(line, emit) { if (line === "2") process.exit(3); emit("b", Number(line)); },
      },
      reduce: sum(),
    });`;
  const result = await bench.run(text, { inputs, isolate: "process", attempts: 4, maxBad: 1 });
  assert.equal(readFileSync(join(bench.output, "part-00000.tsv"), "utf8"), "a\t6\nb\t4\n");
  assert.equal(result.stats.badRecords, 1);
});

test("paths with = in them are paths where a job has one input", async (t) => {
  const bench = new Bench(t);
  const inputs = [bench.file("day=1/a=b.txt", "x\n"), bench.file("day=2/c.txt", "y\n")];
  const text = `import { count, job, text } from "sheaf"; export default job({ input: text(), reduce: count() });`;
  await bench.run(text, { inputs, isolate: "inline" });
  assert.equal(readFileSync(join(bench.output, "part-00000.tsv"), "utf8"), "x\t1\ny\t1\n");
});

test("an output that holds an input is refused, whatever name stands before it", async (t) => {
  const bench = new Bench(t);
  const { customers: table } = filesOf(bench);
  const options = { output: join(bench.root, "orders"), overwrite: true } as const;
  for (const inputs of [
    [`customers=${table}`, `orders=${join(bench.root, "orders", "*.jsonl")}`],
    [`customers=${table}`, `orders=${join(bench.root, "orders", "1.jsonl")}`],
  ]) {
    const { error } = await bench.run(joinJob(), { inputs, isolate: "inline", ...options });
    assert.equal(error?.code, "OUTPUT_UNWRITABLE");
    assert.ok(readdirSync(options.output).includes("1.jsonl"));
  }
});

test("what a map hands over is of the input that the map is of", () => {
  const piece: SplitPiece = {
    kind: "file",
    path: "/a",
    name: "a",
    start: 0,
    end: 30,
    fileBytes: 30,
    mtimeMs: 1,
    compression: "none",
  };
  const splits = new MapSplits([
    { index: 0, pieces: [piece], bytes: 30, input: 0 },
    { index: 1, pieces: [piece], bytes: 30, input: 1 },
  ]);
  const at = (offset: number): SplitPlace => ({ piece: 0, offset });
  assert.ok(splits.takeRest(1, [at(10), at(20)]));
  assert.deepEqual(
    splits.all.map(({ index, input, bytes }) => [index, input, bytes]),
    [
      [0, 0, 30],
      [1, 1, 10],
      [2, 1, 10],
      [3, 1, 10],
    ],
  );
});
