import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { badFilesIn, readBadRecords } from "#src/engine/bad-list.js";
import { findJob } from "#src/engine/job-history.js";
import { planMend, planRetry, runMend, runRetry } from "#src/runner/retry-bad.js";
import { runJob } from "#src/runner/run.js";
import { tempDir } from "../cli/support.js";

const partsOf = (directory: string): string => readFileSync(join(directory, "part-00000.tsv"), "utf8");

test("bad records of a job without reduce are merged into its output, where each file is of one map", async (t) => {
  const root = tempDir(t);
  const [file, stateDirectory, logs] = [join(root, "job.ts"), join(root, "state"), join(root, "logs")];
  const code = (limit: number): string => `
    import { job, jsonl, route, text } from "sheaf";
    export default job({
      input: text(),
      collections: { all: {}, some: { output: route((key: string) => key, jsonl()) } },
      map(line, emit, ctx) {
        ctx.count("lines");
        if (Number(line) > ${limit}) throw new Error("above");
        emit.all(line, 1);
        if (line.endsWith("3")) emit.some("day-" + line.slice(0, 1), Number(line));
      },
    });`;
  writeFileSync(file, code(25));
  mkdirSync(logs);
  for (const day of [0, 1, 2, 3]) {
    const lines = Array.from({ length: 10 }, (_, i) => `${10 * day + i}\n`).join("");
    writeFileSync(join(logs, `${day}.txt`), lines);
  }
  const [output, whole] = [join(root, "out"), join(root, "whole")];
  const common = { stateDirectory, isolate: "inline" } as const;
  const run = (to: string) =>
    runJob(file, { ...common, inputs: logs, output: to, splitSize: 30, maxBad: 20 });
  const first = await run(output);
  assert.deepEqual([first.badRecords, first.mapTasks], [14, 4], first.error?.report);
  writeFileSync(file, code(35));
  const second = await runMend(await planMend(await findJob(stateDirectory, "@")), common);
  assert.equal(second.status, "SUCCEEDED", second.error?.report);
  // Of the second and third day; the others were not looked into.
  assert.deepEqual([second.stats.recordsIn, second.badRecords, second.counters["lines"]], [20, 4, 36]);
  await run(whole);
  const tree = (directory: string): [string, string][] =>
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name !== "_SUCCESS")
      .map((entry): [string, string] => {
        const path = join(entry.parentPath, entry.name);
        return [path.slice(directory.length), readFileSync(path, "utf8")];
      })
      .sort(([a], [b]) => (a < b ? -1 : 1));
  assert.deepEqual(tree(output), tree(whole));
  const manifest = (directory: string): unknown =>
    JSON.parse(readFileSync(join(directory, "_SUCCESS"), "utf8"));
  assert.deepEqual(manifest(output), manifest(whole));

  // From the output as it is now; and only of the input that it is of.
  writeFileSync(file, code(99));
  const mended = await findJob(stateDirectory, second.jobId);
  const more = join(logs, "4.txt");
  writeFileSync(more, "1\n");
  const refused = await runMend(await planMend(mended), common);
  assert.equal(refused.error?.message, `${more} was not read by the job`);
  rmSync(more);
  writeFileSync(file, code(99).replace("all: {}", "all: { output: jsonl() }"));
  const other = await runMend(await planMend(mended), common);
  assert.match(other.error?.message ?? "", /the job's reduce or output is another one by now/);
  writeFileSync(file, code(99));
  const third = await runMend(await planMend(mended), common);
  assert.deepEqual([third.stats.recordsIn, third.badRecords], [10, 0], third.error?.report);
  await runJob(file, { ...common, inputs: logs, output: whole, overwrite: true, splitSize: 30 });
  assert.deepEqual(tree(output), tree(whole));
});

test("bad records of a join are tried again alone, or with all of another input besides", async (t) => {
  const root = tempDir(t);
  const [file, stateDirectory] = [join(root, "job.ts"), join(root, "state")];
  const code = (broken: string): string => `
    import { csv, job, jsonl } from "sheaf";
    export default job({
      inputs: { names: csv({ columns: { id: "integer", name: "string" } }), orders: jsonl<{ id: number; n: number }>() },
      map: {
        names(row, emit) { if (row.name === "${broken}") throw new Error("broken"); emit(row.id, row.name); },
        orders(order, emit) { if (order.n < 0 && "${broken}" !== "") throw new Error("below"); emit(order.id, order.n); },
      },
      *reduce(_id: number, sides: Iterable<string | number>) {
        const [name, ...all] = sides;
        if (typeof name === "string") for (const n of all) yield [name, n];
      },
    });`;
  writeFileSync(file, code("x"));
  writeFileSync(join(root, "names.csv"), "id,name\n1,a\n2,b\n3,c\n");
  writeFileSync(
    join(root, "orders.jsonl"),
    '{"id":1,"n":10}\n{"id":2,"n":-5}\n{"id":3,"n":-7}\n{"id":9,"n":-1}\n',
  );
  const inputs = [`names=${join(root, "names.csv")}`, `orders=${join(root, "orders.jsonl")}`];
  const common = { stateDirectory, isolate: "inline", partitions: 1 } as const;
  const output = join(root, "out");
  const first = await runJob(file, { ...common, inputs, output, maxBad: 3 });
  assert.equal(first.badRecords, 3, first.error?.report);
  const [bad] = badFilesIn(output);
  for await (const { input } of readBadRecords(bad!)) assert.equal(input, "orders");
  writeFileSync(file, code(""));
  const job = await findJob(stateDirectory, "@");
  const alone = await planRetry(job, root);
  assert.deepEqual([alone.options.inputs, alone.partly], [[inputs[1]!], ["names", "orders"]]);
  const none = await runRetry(alone, { ...common, output: join(root, "alone") });
  assert.deepEqual([none.status, none.stats.recordsIn, none.stats.recordsOut], ["SUCCEEDED", 3, 0]);
  const joined = await planRetry(job, root, ["names"]);
  assert.deepEqual([joined.options.inputs, joined.partly], [inputs.toReversed(), ["orders"]]);
  const late = await runRetry(joined, { ...common, output: join(root, "late") });
  assert.equal(late.status, "SUCCEEDED", late.error?.report);
  assert.equal(partsOf(join(root, "late")), "2\tb\t-5\n3\tc\t-7\n");
  await assert.rejects(planRetry(job, root, ["order"]), { code: "USAGE", hint: /Did you mean orders/ });
});

test("one file as two inputs: the record is tried again by the map that it failed in", async (t) => {
  const root = tempDir(t);
  const [file, stateDirectory] = [join(root, "job.ts"), join(root, "state")];
  const code = (limit: number): string => `
    import { job, sum, text } from "sheaf";
    export default job({
      inputs: { a: text(), b: text() },
      map: {
        a: (line, emit) => emit("a", Number(line)),
        b(line, emit) { if (Number(line) > ${limit}) throw new Error("above"); emit("b", Number(line)); },
      },
      reduce: sum(),
    });`;
  writeFileSync(file, code(2));
  writeFileSync(join(root, "n.txt"), "1\n2\n3\n4\n");
  const inputs = ["a", "b"].map((name) => `${name}=${join(root, "n.txt")}`);
  const common = { stateDirectory, isolate: "inline", partitions: 1 } as const;
  await runJob(file, { ...common, inputs, output: join(root, "out"), maxBad: 2 });
  writeFileSync(file, code(3));
  const retry = await planRetry(await findJob(stateDirectory, "@"), root);
  const result = await runRetry(retry, { ...common, output: join(root, "again") });
  assert.deepEqual([result.status, result.badRecords], ["SUCCEEDED", 1]);
  assert.equal(partsOf(join(root, "again")), "b\t3\n");
});
