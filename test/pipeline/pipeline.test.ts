import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { findJob } from "#src/engine/job-history.js";
import { run } from "#src/index.js";
import { byCount, lines, PipelineBench, wordPipeline } from "./support.js";

test("steps run as what they read is there, and the output is that of the last, whole", async (t) => {
  const bench = new PipelineBench(t);
  const inputs = bench.file("in.txt", lines);
  const result = await bench.pipeline(wordPipeline(), { inputs });
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.deepEqual(Object.keys(bench.ran()), ["words", "counts", "byCount"]);
  assert.deepEqual(bench.step("byCount"), byCount);
  assert.deepEqual(readdirSync(bench.output).sort(), ["_SUCCESS", "byCount"]);
  assert.deepEqual(
    bench.manifest().parts.map(({ file }) => file),
    ["byCount/part-00000.tsv"],
  );
  assert.deepEqual(result.counters, { "words.lines": 3 });
  assert.deepEqual(bench.left(), ["out"], "nothing lies beside the output");
  const { record } = await findJob(bench.state, "@");
  const told = record.steps?.map(({ name, status, recordsIn, recordsOut }) => [
    name,
    status,
    recordsIn,
    recordsOut,
  ]);
  assert.deepEqual(told, [
    ["words", "SUCCEEDED", 3, 10],
    ["counts", "SUCCEEDED", 10, 7],
    ["byCount", "SUCCEEDED", 7, 3],
  ]);
  // Its steps have histories of their own, below its.
  const step = await findJob(bench.state, record.steps![1]!.jobId!);
  assert.equal(step.record.name, "pipe.counts");
});

test("a failed pipeline goes on from the step that failed; what was done stays done", async (t) => {
  const bench = new PipelineBench(t);
  const inputs = bench.file("in.txt", lines);
  const failed = await bench.pipeline(wordPipeline({ byCount: `if (n === 2) throw new Error("two");` }), {
    inputs,
  });
  assert.equal(failed.status, "FAILED");
  assert.match(failed.error!.report, /^step byCount: [^]*two[^]*sheaf resume /);
  assert.ok(!existsSync(bench.output));

  bench.file("pipe.ts", wordPipeline());
  const result = await bench.resume();
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.deepEqual(bench.ran(), { byCount: "it was not done" });
  assert.deepEqual(bench.step("byCount"), byCount);
  assert.deepEqual(bench.left(), ["out"]);
  await assert.rejects(bench.resume(), /has succeeded: there is nothing to go on with/);
});

test("a step whose code, inputs or params have changed runs again, and the reason is told", async (t) => {
  const bench = new PipelineBench(t);
  const inputs = bench.file("in.txt", lines);
  const broken = `throw new Error("no");`;
  await bench.pipeline(wordPipeline({ byCount: broken }), { inputs });
  bench.file("pipe.ts", wordPipeline({ counts: "if (!word) return;", byCount: broken }));
  await bench.resume();
  // The output of `words` is gone since `counts` was done: it runs for `counts`, and for no other reason.
  const words = "its output is gone, and counts reads it";
  assert.deepEqual(bench.ran(), { words, counts: "its code has changed", byCount: "it was not done" });
  writeFileSync(inputs, `${lines}more\n`);
  await bench.resume();
  assert.equal(bench.ran()["words"], `its inputs have changed: ${inputs}`);
  bench.file("pipe.ts", wordPipeline());
  const result = await bench.resume({ params: { "words.upper": "true" } });
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.equal(bench.ran()["words"], "its params have changed");
  assert.equal(bench.step("byCount")[0], "1\tCAT,DOG,IT,MAT,MORE,SAT");
});

test("a step whose program outside of the job has changed runs again", async (t) => {
  const bench = new PipelineBench(t);
  const inputs = bench.file("in.txt", lines);
  const program = bench.file("elsewhere/pick.sh", "cat\n");
  const code = (end: string): string => `
    import { exec, from, job, pipeline, text } from "sheaf";
    const picked = job({ input: text(), map: exec(["sh", ${JSON.stringify(program)}]) });
    const ended = job({ input: from(picked), map(record, emit) { ${end} emit(String(record), 1); } });
    export default pipeline({ picked, ended });`;
  await bench.pipeline(code('throw new Error("no");'), { inputs });
  bench.file("pipe.ts", code('throw new Error("never");'));
  await bench.resume();
  assert.equal(bench.ran()["picked"], undefined);
  bench.file("elsewhere/pick.sh", "head -n 1\n");
  await bench.resume();
  assert.equal(bench.ran()["picked"], `its inputs have changed: ${program}`);
});

test("a step runs again when a variable that the code asks for has changed", async (t) => {
  const bench = new PipelineBench(t);
  const inputs = bench.file("in.txt", lines);
  t.after(() => delete process.env["SHEAF_TEST_STEP"]);
  const code = `
    import { from, job, pipeline, text } from "sheaf";
    const first = job({ input: text(), map: (line, emit) => emit(line, process.env.SHEAF_TEST_STEP ?? "") });
    const second = job({ input: from(first), map() { throw new Error("no"); } });
    export default pipeline({ first, second });`;
  await bench.pipeline(code, { inputs });
  await bench.resume();
  assert.equal(bench.ran()["first"], undefined);
  process.env["SHEAF_TEST_STEP"] = "1";
  await bench.resume();
  assert.equal(bench.ran()["first"], "its inputs have changed: variable SHEAF_TEST_STEP");
});

test("collections of a step are read one by one; several inputs may be steps and files", async (t) => {
  const bench = new PipelineBench(t);
  const orders = bench.file("orders.csv", "id,customer,amount\n1,a,5\n2,b,7\n3,a,8\n");
  const names = bench.file("names.csv", "id,name\na,Ann\nb,Bob\n");
  const text = `
    import { csv, from, job, pipeline, step, sum, collect } from "sheaf";
    const orders = job({
      input: csv({ columns: { id: "string", customer: "string", amount: "number" } }),
      collections: { byCustomer: { reduce: sum() }, large: {} },
      map(order, emit) {
        emit.byCustomer(order.customer, order.amount);
        if (order.amount > 6) emit.large(order.id, order);
      },
    });
    const large = job({ input: from(orders, "large"), map: ([id, order]) => [[id, order.amount]] });
    const joined = job({
      inputs: { sums: from(orders, "byCustomer"), names: csv() },
      map: {
        sums([customer, amount], emit) { emit(customer, { amount }); },
        names(row, emit) { emit(row.id, { name: row.name }); },
      },
      reduce(id: string, values: Iterable<object>) { return Object.assign({}, ...values); },
    });
    export default pipeline({ orders: step(orders, { keep: true }), large, joined });`;
  const missing = await bench.pipeline(text, { inputs: [`orders=${orders}`] });
  assert.match(
    missing.error?.message ?? "",
    /step joined reads files, and there is no path for its input "names"/,
  );
  const inputs = [`orders=${orders}`, `joined.names=${names}`];
  const result = await bench.pipeline(text, { inputs, partitions: 1 });
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.deepEqual(bench.lines("large").sort(), ["2\t7", "3\t8"]);
  assert.deepEqual(bench.lines("orders/byCustomer"), ["a\t13", "b\t7"]);
  assert.deepEqual(bench.lines("joined"), ["a\t13\tAnn", "b\t7\tBob"]);
  const collections = result.parts.map(({ collection }) => collection);
  assert.deepEqual([...new Set(collections)], ["orders/byCustomer", "orders/large", "large", "joined"]);
});

test("every kind of key and value comes to the next step as it was, and so does nothing at all", async (t) => {
  const bench = new PipelineBench(t);
  const result = await bench.pipeline(
    `import { collect, from, generate, job, pipeline } from "sheaf";
    const values = [undefined, null, 0, -0, NaN, 1.5, 2n ** 70n, "\\ud800", "é\\t\\n", new Date(5), [1, [2]],
      { a: { b: 1 } },
      new Map([[1, new Set(["x"])]]), new Uint8Array([0, 255]), new Float64Array([1, 2]), ""];
    const keys = ["", "a\\tb", 0, -1.5, ["x", 2], new Uint8Array([9])];
    const made = job({
      input: generate({ records: () => values.entries() }),
      map: ([index, value]) => [[keys[index % keys.length], value]],
    });
    const empty = job({ input: from(made), map: () => [] });
    const none = job({ input: from(empty), map: ([key, value]) => [[key, value]] });
    const told = job({
      input: from(made),
      map([key, value], emit, ctx) {
        const isObject = (one) => typeof one === "object" && one !== null;
        const isSame = (one) => JSON.stringify(show(one)) === JSON.stringify(show(value));
        const index = values.findIndex(
          (one, at) => Object.is(one, value) || (at > 8 && isObject(one) && isObject(value) && isSame(one)),
        );
        if (JSON.stringify(keys[index % keys.length]) !== JSON.stringify(key)) throw new Error("another key");
        emit(index, value?.constructor?.name ?? "");
      },
      reduce: collect(),
    });
    const show = (one) => one instanceof Map || one instanceof Set ? [...one].map(show) : one;
    export default pipeline({ made, empty, none, told });`,
    { partitions: 1 },
  );
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.equal(bench.step("told").length, 16);
  assert.deepEqual(bench.step("none"), []);
});

test("--until, --only and --from: what is there is used, and what is not is run first", async (t) => {
  const bench = new PipelineBench(t);
  const inputs = bench.file("in.txt", lines);
  const until = await bench.pipeline(wordPipeline(), { inputs, steps: { until: "counts" } });
  assert.equal(until.status, "SUCCEEDED", until.error?.report);
  assert.deepEqual(
    [Object.keys(bench.ran()), readdirSync(bench.output).sort()],
    [
      ["words", "counts"],
      ["_SUCCESS", "counts"],
    ],
  );
  assert.ok(bench.step("counts").includes("the\t3"));
  // The rest, of the same pipeline.
  const rest = await bench.resume({ steps: { from: "byCount" } });
  assert.equal(rest.status, "SUCCEEDED", rest.error?.report);
  assert.deepEqual(Object.keys(bench.ran()), ["byCount"]);
  assert.deepEqual(bench.step("byCount"), byCount);
  const only = await bench.pipeline(wordPipeline(), { overwrite: true, steps: { only: "byCount" } });
  assert.equal(only.status, "SUCCEEDED", only.error?.report);
  assert.equal(bench.ran()["byCount"], "--only byCount asks for it");
  assert.deepEqual(bench.step("byCount"), byCount);
});

test("records of the result are those of the last step, and run() of the package takes pipelines", async (t) => {
  const bench = new PipelineBench(t);
  const inputs = bench.file("in.txt", lines);
  const result = await run(bench.file("pipe.ts", wordPipeline()), {
    inputs,
    stateDirectory: null,
    workers: 2,
  });
  const records = [];
  for await (const record of result.records()) records.push(record);
  assert.deepEqual(
    records,
    byCount.map((line) => [Number(line.split("\t")[0]), line.split("\t")[1]]),
  );
  await result.dispose();
  assert.equal(result.directory, null);
  await assert.rejects(
    run(bench.file("job.ts", wordPipeline().replace("pipeline({ byCount, words, counts })", "words")), {
      inputs,
      steps: { only: "a" },
    }),
    /is no pipeline/,
  );
});

test("what cannot be right is refused before anything runs, saying where", async (t) => {
  const bench = new PipelineBench(t);
  const define = (steps: string): string => `import { from, job, pipeline, step, text } from "sheaf";
    const a = job({ input: text() });
    export default pipeline(${steps});`;
  const cases: [string, RegExp][] = [
    ["{}", /there are no steps/],
    ["{ a, b: job({ input: from('c') }) }", /step b: from\("c"\): there is no step "c"/],
    ["{ a, b: job({ input: from('a', 'x') }) }", /step b: from\("a", "x"\): the step has no such collection/],
    [
      "{ b: job({ input: from('c') }), c: job({ input: from('b') }) }",
      /b needs c needs b: none of them can begin/,
    ],
    ["{ b: job({ input: from(a) }) }", /from\(\) names a job that is no step of this pipeline/],
    ["{ a, b: a, c: job({ input: from(a) }) }", /from\(\) names a job that is several steps/],
    ["{ a, A: job({ input: text() }) }", /"a" and "A" differ in case only/],
    ["{ 'a/b': a }", /"a\/b" is no name of a step/],
    ["{ valueOf: a }", /"valueOf" is no name of a step/],
    ["{ a: step(a, { kep: true }) }", /step a\.kep: no such field/],
    ["{ a: 5 }", /step a: 5 is no step/],
    ["{ a: step(a, { after: ['z'] }) }", /step a\.after: there is no step "z"/],
  ];
  for (const [steps, message] of cases) {
    const result = await bench.pipeline(define(steps));
    assert.match(result.error?.message ?? "", message, steps);
  }
  const inputs = bench.file("in.txt", lines);
  const wrong: [object, RegExp][] = [
    [{ inputs: [] }, /step words reads files, and there is no input/],
    [{ inputs, params: { uper: true } }, /no step of the pipeline has a param "uper"/],
    [{ inputs, params: { constructor: "1" } }, /no step of the pipeline has a param "constructor"/],
    [{ inputs, partitions: { x: 2 } }, /no step of the pipeline has a collection "x"/],
    [{ inputs: "-" }, /cannot read standard input/],
    [{ inputs: join(bench.root, "none.txt") }, /step words: no such input/],
  ];
  for (const [options, message] of wrong) {
    const told = await bench.pipeline(wordPipeline(), options).then(
      ({ error }) => error?.message ?? "",
      (error: Error) => error.message,
    );
    assert.match(told, message);
    assert.ok(!existsSync(bench.output));
  }
});

test("a journal that is damaged is told, a last line that was cut is not missed, records are checked", async (t) => {
  const bench = new PipelineBench(t);
  const inputs = bench.file("in.txt", lines);
  await bench.pipeline(wordPipeline({ byCount: "throw new Error('x');" }), { inputs });
  const { directory, record } = await findJob(bench.state, "@");
  const journal = join(directory, "pipeline.journal");
  const good = readFileSync(journal, "utf8");
  bench.file("pipe.ts", wordPipeline());

  const records = join(record.work!, "counts", "1", "records");
  const part = join(
    records,
    readdirSync(records).find((name) => name.endsWith(".records"))!,
  );
  const bytes = readFileSync(part);
  for (const at of [3, 12, bytes.length - 20, bytes.length - 2]) {
    const bad = Buffer.from(bytes);
    bad[at]! ^= 1;
    writeFileSync(part, bad);
    const result = await bench.resume();
    assert.equal(result.error?.code, "INPUT_CORRUPT", `byte ${at}: ${result.error?.message}`);
  }
  writeFileSync(part, bytes.subarray(0, -12));
  assert.match((await bench.resume()).error!.message, /it ends early/);
  writeFileSync(part, bytes);

  writeFileSync(journal, good.replace('"step":"words"', '"step":"wordz"'));
  await assert.rejects(bench.resume(), {
    code: "STATE_CORRUPT",
    message: /pipeline\.journal:2: the journal is damaged/,
  });
  writeFileSync(journal, `${good}1234 {"kind":"en`);
  rmSync(join(directory, "app"), { recursive: true });
  const result = await bench.resume();
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.deepEqual(bench.step("byCount"), byCount);
});
