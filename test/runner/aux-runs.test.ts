import assert from "node:assert/strict";
import { readFileSync, rmSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import { csv, job, sum, text } from "#src/index.js";
import { replay } from "#src/runner/replay.js";
import { runHere } from "#src/runner/run.js";
import { addStore } from "#src/storage/stores.js";
import { testJob } from "#src/testing.js";
import { MemoryStore } from "../storage/memory-store.js";
import { Bench } from "./support.ts";

const joining = `import { csv, job, sum, text, jsonl } from "sheaf";
  export default job({ input: text(), order: "total", reduce: sum(),
    params: { loads: 2 },
    aux: { names: csv("data/*.csv", { columns: { id: "integer", name: "string" } }).by("id"),
      model: { file: "model.bin", as: "bytes" }, word: "x",
      rates: jsonl<{ id: number; rate: number }>("rates.jsonl.gz").by((row) => { loaded++; return row.id; }) },
    map(line, emit, ctx) {
      const id = Number(line);
      const shared = ctx.aux.model.buffer instanceof SharedArrayBuffer ? 1 : 0;
      emit(ctx.aux.names.get(id)?.name ?? "?", ctx.aux.rates.get(id)?.rate ?? 0);
      emit("bytes " + ctx.aux.model.length + " " + ctx.aux.model[3], 1);
      ctx.count("shared", shared);
      if (id === 99) throw new Error("cannot take " + ctx.aux.names.get(1)?.name);
      if (loaded > ctx.params.loads) throw new Error("loaded " + loaded);
    } });
  let loaded = 0;`;

function withJoining(t: TestContext): Bench {
  const bench = new Bench(t);
  bench.file("data/a.csv", "id,name\n1,Ann\n");
  bench.file("data/b.csv", "id,name\n2,Zoë\n");
  bench.file("model.bin", Uint8Array.from([1, 2, 3, 4, 5]));
  bench.file("rates.jsonl.gz", gzipSync('{"id":1,"rate":10}\n{"id":2,"rate":100}\n'));
  bench.file("in/a.txt", "1\n2\n2\n");
  bench.file("in/b.txt", "3\n1\n");
  return bench;
}

test("a job has its side data in every kind of worker, once in each, bytes shared by threads", async (t) => {
  const bench = withJoining(t);
  const inputs = join(bench.root, "in");
  for (const isolate of ["thread", "process", "inline"] as const) {
    const result = await bench.run(joining, { inputs, isolate, overwrite: true, mappers: 2, workers: 1 });
    assert.equal(result.status, "SUCCEEDED", result.error?.report);
    assert.deepEqual(bench.lines(), ["?\t0", "Ann\t20", "Zoë\t200", "bytes 5 4\t5"]);
    assert.equal(result.counters["shared"], isolate === "thread" ? 5 : 0);
  }
});

test("what is wrong with side data ends the run before its first task", async (t) => {
  const bench = withJoining(t);
  const inputs = join(bench.root, "in");
  bench.file("data/b.csv", "id,name\n2,Zoë\nx,Bob\n");
  const result = await bench.run(joining, { inputs });
  assert.deepEqual([result.status, result.error?.code], ["FAILED", "RECORD_INVALID"]);
  assert.match(result.error!.message, /^aux\.names: data\/b\.csv, line 3: column "id"/);
  assert.equal(bench.of("attempt-started").length, 0);
  assert.deepEqual(bench.left(), []);
  bench.file("data/b.csv", "id,name\n2,Zoë\n");
  const small = await bench.run(joining, { inputs, maxAux: 10 });
  assert.equal(small.error?.code, "LIMIT_EXCEEDED");
});

test("side data that changes while the job runs fails it; a run that looks for its like sees the change", async (t) => {
  const bench = withJoining(t);
  const inputs = join(bench.root, "in");
  // The module stays in this process, and counts on.
  const once = { inputs, once: true, overwrite: true, on: "inline", params: { loads: 100 } } as const;
  const first = await bench.run(joining, once);
  assert.equal((await bench.run(joining, once)).sameAs, first.jobId);
  const { mtime } = statSync(join(bench.root, "data/a.csv"));
  bench.file("data/a.csv", "id,name\n1,Bob\n");
  utimesSync(join(bench.root, "data/a.csv"), mtime, mtime);
  assert.equal((await bench.run(joining, once)).sameAs, null, "same size and time, other content");
  // A file more is a change as well.
  bench.file("data/c.csv", "id,name\n3,Cy\n");
  assert.equal((await bench.run(joining, once)).sameAs, null);
  assert.ok(bench.lines().includes("Cy\t0"));
  // Workers find something else.
  const changed = await bench.run(joining, {
    inputs,
    overwrite: true,
    workers: 2,
    mappers: 2,
    onEvent: (event) => {
      if (event.kind === "planned") bench.file("data/c.csv", "id,name\n3,Di\n");
    },
  });
  assert.equal(changed.error?.code, "INPUT_CHANGED");
  assert.match(changed.error.message, /^aux\.names: data\/c\.csv has changed since the job was planned/);
});

test("a replay has the side data of the task, or says that it has changed", async (t) => {
  const bench = withJoining(t);
  const inputs = bench.file("in/bad.txt", "99\n");
  const failed = await bench.run(joining, { inputs, attempts: 1 });
  assert.match(failed.error!.message, /cannot take Ann/);
  const again = await replay(failed.jobId, { stateDirectory: bench.state });
  assert.ok(again.result.kind === "failure" && /cannot take Ann/.test(again.result.message));
  bench.file("data/a.csv", "id,name\n1,Eve\n");
  const changed = { code: "INPUT_CHANGED", message: /^data\/a\.csv, side data of the job, has changed/ };
  await assert.rejects(replay(failed.jobId, { stateDirectory: bench.state }), changed);
  rmSync(join(bench.root, "data/a.csv"));
  const gone = { code: "INPUT_CHANGED", message: /is gone/ };
  await assert.rejects(replay(failed.jobId, { stateDirectory: bench.state }), gone);
});

test("a Job object finds its side data from the current directory", async (t) => {
  const bench = new Bench(t);
  const inputs = bench.file("in.txt", "dependencies\nnone\n");
  const made = job({
    input: text(),
    aux: { manifests: { files: "package.json" }, lines: text("package.json") },
    map(line, emit, ctx) {
      const manifest = ctx.aux.manifests.get("package.json") as object;
      if (line in manifest) emit(line, ctx.aux.lines.length);
    },
    reduce: sum(),
  });
  const result = await runHere(made, { inputs, stateDirectory: null });
  const lines = readFileSync("package.json", "utf8").split("\n").length - 1;
  for await (const [key, value] of result.records()) assert.deepEqual([key, value], ["dependencies", lines]);
  assert.equal(result.stats.recordsOut, 1);
  await result.dispose();
});

test("side data of a store is fetched once for a run, and kept with what a replay needs", async (t) => {
  const bench = new Bench(t);
  const asked: string[] = [];
  const store = new MemoryStore({ request: (what, address) => void asked.push(`${what} ${address}`) });
  addStore("auxmem", () => Promise.resolve({ createStore: () => store }));
  store.set("auxmem://b/t/one.csv.gz", gzipSync("id,name\n1,Ann\n"));
  store.set("auxmem://b/t/two.csv", "id,name\n2,Bob\n");
  store.set("auxmem://b/t/.hidden", "no");
  store.set("auxmem://b/rate.json", '{"rate":3}');
  const inputs = bench.file("in.txt", "1\n2\n2\n");
  const joined = job({
    input: text(),
    aux: {
      names: csv("auxmem://b/t/", { columns: { id: "integer", name: "string" } }).by("id"),
      rate: { file: "auxmem://b/rate.json" },
      several: { files: "auxmem://b/t/*.csv*", as: "bytes" },
    },
    map(line, emit, ctx) {
      ctx.count([...ctx.aux.several.keys()].join());
      emit(ctx.aux.names.get(Number(line))!.name, (ctx.aux.rate as { rate: number }).rate);
    },
    reduce: sum(),
  });
  const result = await runHere(joined, { inputs, stateDirectory: null, mappers: 3 });
  const results: unknown[] = [];
  for await (const one of result.records()) results.push(one);
  await result.dispose();
  assert.deepEqual(results, [
    ["Ann", 3],
    ["Bob", 6],
  ]);
  assert.deepEqual(result.counters, { "auxmem://b/t/one.csv.gz,auxmem://b/t/two.csv": 3 });
  const reads = asked.filter((one) => one.startsWith("read")).sort();
  assert.deepEqual(reads, [
    "read auxmem://b/rate.json",
    "read auxmem://b/t/one.csv.gz",
    "read auxmem://b/t/two.csv",
  ]);
  const refused = async (aux: Record<string, unknown>): Promise<string> => {
    const made = job({ input: text(), aux, reduce: sum() } as never);
    return runHere(made, { inputs, stateDirectory: null, maxAux: 20 }).then(
      () => "",
      ({ code, message }: { code: string; message: string }) => `${code} ${message}`,
    );
  };
  assert.match(
    await refused({ t: { file: "auxmem://b/none" } }),
    /^INPUT_MISSING aux\.t: .*auxmem:\/\/b\/none/,
  );
  assert.match(await refused({ t: { file: "auxmem://b/t" } }), /^INPUT_MISSING aux\.t: .* it is a directory/);
  assert.match(await refused({ t: csv("auxmem://b/t/") }), /^LIMIT_EXCEEDED aux\.t: .* more than 20 B/);
  const code = `import { job, text } from "sheaf";
    export default job({ input: text(), aux: { rate: { file: "auxmem://b/rate.json" } },
      map(line, emit, ctx) { throw new Error("rate " + ctx.aux.rate.rate); } });`;
  const failed = await bench.run(code, { inputs, on: "inline", attempts: 1 });
  assert.match(failed.error!.message, /rate 3/);
  store.files.clear();
  const again = await replay(failed.jobId, { stateDirectory: bench.state });
  assert.ok(again.result.kind === "failure" && /rate 3/.test(again.result.message));
});

test("testJob is given rows, or Maps, or reads the files", async (t) => {
  const bench = new Bench(t);
  bench.file("names.csv", "id,name\n1,Ann\n2,Bob\n");
  const made = job({
    input: text(),
    aux: { names: csv("names.csv", { columns: { id: "integer", name: "string" } }).by("id") },
    map: (line, emit, ctx) => emit(ctx.aux.names.get(Number(line))?.name ?? "?", 1),
    reduce: sum(),
  });
  const options = { rounds: 2 };
  const rows = [
    { id: 1, name: "Cy" },
    { id: 3, name: "Di" },
  ];
  const byRows = await testJob(made, ["1", "2", "3"], { ...options, aux: { names: rows } });
  assert.deepEqual(byRows.results, [
    ["?", 1],
    ["Cy", 1],
    ["Di", 1],
  ]);
  const names = new Map([[2, { id: 2, name: "Eve" }]]);
  assert.deepEqual((await testJob(made, ["2"], { ...options, aux: { names } })).results, [["Eve", 1]]);
  const file = bench.file("job.ts", "");
  assert.deepEqual((await testJob(made, ["1", "2"], { ...options, file })).results, [
    ["Ann", 1],
    ["Bob", 1],
  ]);
  await assert.rejects(testJob(made, ["1"], options), { code: "INPUT_MISSING", message: /^aux\.names: / });
  const twice = { ...options, aux: { names: [...rows, rows[0]] } };
  await assert.rejects(testJob(made, ["1"], twice), {
    code: "RECORD_INVALID",
    message: /two rows of aux\.names/,
  });
});
