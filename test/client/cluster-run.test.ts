import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runOnCluster, submitToCluster } from "#src/client/cluster-run.js";
import type { RunOptions } from "#src/engine/options.js";
import { run } from "#src/index.js";
import { runJob } from "#src/runner/run.js";
import { answerError } from "./fake-server.js";
import { Place, input, tree, wordcount } from "./place.js";

for (const shared of [false, undefined]) {
  const how = shared === false ? "fetched" : "shared";
  test(`a ${how} output is byte for byte that of a local run, and so is what is told`, async (t) => {
    const place = await Place.make(t);
    const job = place.file("job.ts", wordcount);
    const options = { inputs: place.file("in.txt", input), params: { least: "1" }, partBytes: 200 };
    const local = join(place.root, "local");
    const result = await runJob(job, { ...options, output: local, stateDirectory: null });
    assert.equal(result.status, "SUCCEEDED");

    const out = join(place.root, "deep", "out");
    const there = await runOnCluster(
      job,
      place.options({ ...options, output: out, ...(shared === false && { shared }) }),
    );
    assert.equal(there.error, null);
    assert.equal(place.fake.onlyJob.submission.output.kind, shared === false ? "collect" : "shared");
    assert.deepEqual(tree(out), tree(local));
    assert.deepEqual(readdirSync(join(place.root, "deep")), ["out"]);
    assert.deepEqual(there.counters, result.counters);
    assert.deepEqual(there.parts, result.parts);
    assert.equal(there.output, out);
    const { recordsIn, recordsOut, bytesOut } = there.stats;
    assert.deepEqual(
      [recordsIn, recordsOut, bytesOut],
      [500, result.stats.recordsOut, result.stats.bytesOut],
    );
    assert.equal(place.events.filter(({ kind }) => kind === "job-finished").length, 1);
    const last = place.events.at(-1)!;
    assert.ok(last.kind === "job-finished" && last.output === out && last.status === "SUCCEEDED");
    const times = place.events.map(({ atMs }) => atMs);
    assert.deepEqual(
      times,
      [...times].sort((a, b) => a - b),
    );
    assert.equal(place.kinds().filter((kind) => kind === "phase-finished commit").length, 1);
  });
}

test("variables that the code asks for, and that tasks of a cluster do not have, are told", async (t) => {
  process.env["FACTOR_OF_THIS_TEST"] = "3";
  t.after(() => delete process.env["FACTOR_OF_THIS_TEST"]);
  const place = await Place.make(t);
  const asking = wordcount.replace("(word, 1)", "(word, Number(process.env.FACTOR_OF_THIS_TEST ?? 1))");
  const options = place.options({ inputs: place.file("in.txt", "x"), output: join(place.root, "out") });
  assert.equal((await runOnCluster(place.file("job.ts", asking), options)).error, null);
  assert.deepEqual(
    place.warnings().map((text) => text.split("; ")[0]),
    ["the job's code asks for FACTOR_OF_THIS_TEST of the environment, which tasks on a cluster do not have"],
  );
});

test("run() of the library reaches a cluster, and its records can be read again and again", async (t) => {
  const place = await Place.make(t);
  const job = place.file("job.ts", wordcount);
  const { onEvent: _, ...options } = place.options({ inputs: place.file("in.txt", "x y x\nz") });
  const result = await run(job, options);
  for (let times = 0; times < 2; times++) {
    const records: unknown[] = [];
    for await (const record of result.records("words")) records.push(record);
    assert.deepEqual(
      new Map(records as [string, number][]),
      new Map([
        ["x", 2],
        ["y", 1],
        ["z", 1],
      ]),
    );
  }
  assert.equal(result.output, null);
  await result.dispose();
  await assert.rejects(
    async () => {
      for await (const _record of result.records("words"));
    },
    { code: "USAGE" },
  );
});

test("records that were set aside come with the output", async (t) => {
  const place = await Place.make(t);
  const job = place.file(
    "job.ts",
    `import { job, text, count } from "sheaf";
     export default job({ input: text(), reduce: count(),
       map(line, emit) { if (line === "bad") throw new Error("no"); emit(line); } });`,
  );
  const options = { inputs: place.file("in.txt", "a\nbad\nb\nbad\n"), maxBad: 2, mappers: 1 };
  const local = join(place.root, "local");
  await runJob(job, { ...options, output: local, stateDirectory: null });
  const out = join(place.root, "out");
  const result = await runOnCluster(job, place.options({ ...options, output: out, shared: false }));
  assert.equal(result.badRecords, 2);
  assert.deepEqual(tree(out), tree(local));
  assert.equal(Object.keys(tree(out)).filter((path) => path.startsWith("/_bad/")).length, 1);
});

test("the code, its map and side data are sent once, and named by their content", async (t) => {
  const place = await Place.make(t);
  const aux = place.file("stop.txt", "the a");
  const job = place.file(
    "job.ts",
    `import { job, text, count } from "sheaf";
     export default job({ input: text(),
       reduce: count(), aux: { stop: { file: ${JSON.stringify(aux)} }, n: 3 },
       map(line, emit, ctx) { if (!String(ctx.aux.stop).includes(line)) emit(line); } });`,
  );
  const options = place.options({
    inputs: place.file("in.txt", "the\nb"),
    priority: 3,
    speculation: false,
    cores: 7,
    mappers: 2,
  });
  const first = await runOnCluster(job, options);
  assert.equal(first.error, null);
  const { submission } = place.fake.onlyJob;
  assert.deepEqual(submission.aux, [
    { path: aux, blob: createHash("sha256").update("the a").digest("hex"), bytes: 5, place: 0 },
  ]);
  assert.deepEqual(submission.outline.aux, [{ name: "stop", file: aux }]);
  assert.equal(submission.bundle.slice(0, 16), submission.code);
  assert.match(place.fake.blobs.get(submission.bundle)!.toString(), /from "sheaf:\/\/package\/index\.js"/);
  const { priority, cores, mappers, heapBytes, speculation } = submission.options;
  assert.deepEqual([priority, cores, mappers, heapBytes, speculation], [3, 7, 2, null, false]);
  const puts = () => place.fake.asked.filter((one) => one.startsWith("PUT")).length;
  assert.equal(puts(), 3);
  await first.dispose();
  await (await runOnCluster(job, options)).dispose();
  assert.equal(puts(), 3);
  rmSync(aux);
  const without = await runOnCluster(job, options);
  assert.equal(without.error?.code, "INPUT_MISSING");
  assert.match(without.error.message, /^aux\.stop: cannot read .*stop\.txt/);
});

test("a job that fails is told as a local one is", async (t) => {
  const place = await Place.make(t);
  const job = place.file(
    "job.ts",
    `import { job, text, count } from "sheaf";
     export default job({ input: text(), reduce: count(),
       map(line, emit) { if (line === "bad") throw new TypeError("no " + line); emit(line); } });`,
  );
  const out = join(place.root, "out");
  const options = place.options({ inputs: place.file("in.txt", "a\nbad\n"), output: out, shared: false });
  const result = await runOnCluster(job, options);
  assert.equal(result.status, "FAILED");
  assert.equal(result.error?.code, "USER_CODE");
  assert.equal(result.error.task, "map-00000");
  assert.match(result.error.report, /job\.ts/);
  assert.equal(result.error.failure?.record, "bad");
  assert.ok(result.failedAttempts.length >= 1);
  assert.deepEqual(readdirSync(place.root).sort(), ["in.txt", "job.ts", "state"]);
  await assert.rejects(run(job, options), { code: "USER_CODE" });
});

test("what keeps a job from being submitted is in the result, too", async (t) => {
  const place = await Place.make(t);
  const job = place.file("job.ts", wordcount);
  const inputs = place.file("in.txt", "x");
  const out = join(place.root, "out");
  mkdirSync(out);
  const fails = async (options: RunOptions, file = job) =>
    (await runOnCluster(file, place.options(options))).error;
  assert.equal((await fails({ inputs, output: out }))?.code, "OUTPUT_EXISTS");
  assert.equal((await fails({ inputs, output: out, shared: false }))?.code, "OUTPUT_EXISTS");
  const broken = place.file("broken.ts", 'throw new Error("at the top");\nexport default 1;');
  const threw = await fails({ inputs }, broken);
  assert.equal(threw?.code, "JOB_LOAD");
  assert.match(threw.report, /broken\.ts/);
  assert.equal((await fails({ inputs, params: { nosuch: 1 } }))?.code, "USAGE");
  // JSON would make null of them.
  for (const least of [Number.NaN, "Infinity", new Date(0)])
    assert.match(
      (await fails({ inputs, params: { least } }))!.message,
      /^param least: .* is not plain data$/,
    );
  assert.equal((await fails({ inputs: "-" }))?.code, "USAGE");
  place.fake.roots = ["/srv/data"];
  const outside = await fails({ inputs });
  assert.equal(outside?.code, "FORBIDDEN");
  assert.match(outside.hint ?? "", /Its roots are \/srv\/data\..*--root/);
  assert.equal(
    (await fails({ inputs: "agent:/x", output: join(place.root, "o"), shared: true }))?.code,
    "FORBIDDEN",
  );
  place.fake.intercept = (request, response) => {
    if (request.path !== "/jobs") return false;
    answerError(response, 413, "LIMIT_EXCEEDED", "too many tasks");
    return true;
  };
  assert.equal((await fails({ inputs: "agent:/x/*.txt" }))?.code, "LIMIT_EXCEEDED");
  assert.equal(place.fake.jobs.size, 0);
  assert.equal((await fails({ inputs: "agent:/x", priority: 11 }))?.code, "USAGE");
  await assert.rejects(runOnCluster(job, place.options({ memory: "1" })), { code: "USAGE" });
});

test("a detached job goes on without its client; its output must be shared or left out", async (t) => {
  const place = await Place.make(t);
  const job = place.file("job.ts", wordcount);
  const inputs = place.file("in.txt", "x");
  const output = join(place.root, "out");
  await assert.rejects(submitToCluster(job, place.options({ inputs, output, shared: false })), {
    code: "USAGE",
    hint: /sheaf results @ -o DIR/,
  });
  const submitted = await submitToCluster(job, place.options({ inputs, name: "mine" }));
  assert.equal(submitted.name, "mine");
  const { submission } = place.fake.jobs.get(submitted.job)!;
  assert.equal(submission.attached, false);
  assert.deepEqual(submission.output, { kind: "collect", write: true, collect: true });
  const again = await submitToCluster(job, place.options({ inputs, output }));
  assert.equal(place.fake.jobs.get(again.job)!.submission.output.kind, "shared");
  for (const one of place.fake.jobs.values()) one.abort.abort();
});

test("programs outside of the job are refused where nobody could tell that they have changed", async (t) => {
  const place = await Place.make(t);
  const program = place.file("tool", "cat");
  const code = (words: readonly string[]): string => `
    import { exec, job, text } from "sheaf";
    export default job({ input: text(), map: exec(${JSON.stringify(words)}) });`;
  const inputs = place.file("in.txt", "a\n");
  const refused = async (words: readonly string[], option: object): Promise<string> => {
    const { error } = await runOnCluster(
      place.file("job.ts", code(words)),
      place.options({ inputs, ...option }),
    );
    assert.equal(error?.code, "USAGE", error?.message);
    assert.ok(error.hint);
    return error.message;
  };
  const [incremental, once] = [
    { incremental: true, output: join(place.root, "out"), shared: true },
    { once: true, output: join(place.root, "out"), shared: true },
  ];
  assert.match(
    await refused([program], incremental),
    /^incremental: a program of the job is given .*\/tool,/,
  );
  assert.match(await refused(["sh", "/opt/only/there.sh"], once), /^once: .* given \/opt\/only\/there\.sh,/);
  assert.match(await refused(["sh", "--rules=/opt/rules"], once), /given \/opt\/rules,/);
  for (const words of [["cat"], ["awk", "/error/ { print }"], ["sed", "s=/a=/b="], ["cat", "/dev/stdin"]]) {
    const file = place.file("job.ts", code(words));
    await submitToCluster(file, place.options({ inputs, ...once, name: "whole" }));
  }
  for (const { submission, abort } of place.fake.jobs.values()) {
    assert.equal(submission.name, "whole");
    abort.abort();
  }
  assert.equal(place.fake.jobs.size, 4);
});

test("a delimiter, for which JSON has no form, reaches the coordinator", async (t) => {
  const place = await Place.make(t);
  const job = place.file(
    "job.ts",
    `import { job, delimited, count } from "sheaf";
     export default job({ input: delimited("||"), reduce: count(),
       map(part, emit) { emit(String(part)); } });`,
  );
  const options = place.options({
    inputs: place.file("in.txt", "a||b"),
  });
  await submitToCluster(job, options);
  const { submission } = place.fake.onlyJob;
  const { input: reader } = submission.outline;
  assert.ok("framing" in reader);
  assert.deepEqual(reader.framing, { kind: "delimiter", delimiter: Buffer.from("||").toString("base64") });
  place.fake.onlyJob.abort.abort();
});
