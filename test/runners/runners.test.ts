import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { optionNames } from "#src/engine/options.js";
import type { RunOptions } from "#src/engine/options.js";
import { run } from "#src/index.js";
import { runnerFor, runners, strayOptions } from "#src/runners/runners.js";
import type { RunnerName } from "#src/runners/runners.js";

test("`on` chooses the runner: nothing and this machine's names the local one, all else a coordinator", () => {
  const cases: readonly [string | undefined, RunnerName][] = [
    [undefined, "local"],
    ["", "local"],
    ["local", "local"],
    ["inline", "local"],
    ["http://10.0.0.5:7077", "cluster"],
    ["https://head", "cluster"],
    // No URL: the client says so.
    ["Local", "cluster"],
    ["workers", "cluster"],
  ];
  for (const [on, name] of cases) assert.equal(runnerFor(on), name, on);
});

test("workers in other languages are not given a job object, which has no name they could know", async () => {
  const foreign = await runners.foreign.load();
  await assert.rejects(foreign.run({ name: "counts" } as never, { output: "out" } as never), {
    code: "USAGE",
    message: /cannot be given a job object/,
  });
});

test("every option is taken by some runner, and those of sheaf's own workers take the common ones", () => {
  const all = new Set(Object.values(runners).flatMap(({ takes }) => takes));
  for (const names of Object.values(optionNames))
    for (const name of names) assert.ok(all.has(name) || name === "on", name);
  for (const [runner, { job, takes }] of Object.entries(runners)) {
    if (job !== "file") continue;
    const missing = optionNames.common.filter((name) => !takes.includes(name));
    // What needs tasks that hear or tell something while they run, or faults of sheaf's own.
    const hosted = "growing maxFailedTasks live made fail chaos materialize incremental explain";
    assert.deepEqual(missing, runner === "hosted" ? hosted.split(" ") : [], runner);
  }
});

test("an option of another runner is found, unless it is undefined or no option at all", () => {
  assert.deepEqual(strayOptions("local", { cores: 2, inputs: "x", nope: 1 }), ["cores"]);
  assert.deepEqual(strayOptions("local", { cores: undefined, tempDirectory: "/tmp" }), []);
  assert.deepEqual(strayOptions("cluster", { workers: 2, isolate: "thread", cores: 1 }), [
    "workers",
    "isolate",
  ]);
  assert.deepEqual(strayOptions("foreign", { sample: 0.5, params: {}, mappers: 3 }), ["sample", "params"]);
  assert.deepEqual(strayOptions("workers", { on: "http://x", listen: { port: 0 } }), ["on"]);
});

test("run() refuses options that do not apply where it runs, before it does anything", async () => {
  const cases: readonly [Record<string, unknown>, RegExp, RegExp][] = [
    [{ cores: 2 }, /option "cores" is not for runs on this machine/, /Give `on`/],
    [{ shared: false, on: "local" }, /"shared" is not for runs on this machine/, /Give `on`/],
    [{ on: "http://127.0.0.1:9", workers: 2 }, /"workers" is not for runs on a cluster/, /Leave it out/],
    [
      { on: "http://127.0.0.1:9", isolate: "thread" },
      /"isolate" is not for runs on a cluster/,
      /Leave it out/,
    ],
    [{ on: "inline", isolate: "process" }, /on: "inline" and isolate: "process" exclude/, /Leave one/],
  ];
  for (const [options, message, hint] of cases) {
    const refused = run("no-such-job.ts", options as RunOptions);
    await assert.rejects(refused, { code: "USAGE", message, hint });
  }
});

test('on: "local" and on: "inline" run on this machine', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "sheaf-runners-test-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, "job.ts");
  writeFileSync(
    file,
    `import { isMainThread } from "node:worker_threads";
     import { count, job, text } from "sheaf";
     export default job({ input: text(), map(line, emit) { emit(isMainThread); }, reduce: count() });`,
  );
  const inputs = join(directory, "in.txt");
  writeFileSync(inputs, "a\nb\n");
  for (const on of ["local", "inline"] as const) {
    const output = join(directory, on);
    await run(file, { on, inputs, output, stateDirectory: null, workers: 1 });
    assert.equal(readFileSync(join(output, "part-00000.tsv"), "utf8"), `${on === "inline"}\t2\n`);
  }
});
