import assert from "node:assert/strict";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { runOnCluster } from "#src/client/cluster-run.js";
import type { LocalRunOptions } from "#src/engine/options.js";
import { job, text } from "#src/index.js";
import { replay } from "#src/runner/replay.js";
import { runHere, runJob } from "#src/runner/run.js";
import { Bench } from "./support.ts";

async function keysOf(file: string, options: LocalRunOptions): Promise<unknown[]> {
  const result = await runHere(file, { stateDirectory: null, ...options });
  const keys: unknown[] = [];
  for await (const [key] of result.records()) keys.push(key);
  await result.dispose();
  return keys;
}

/** A job whose package finds its own file beside it, which a bundle would not have. */
function withPackage(bench: Bench): string {
  bench.file("p/node_modules/@own/outer/package.json", '{"name":"@own/outer","main":"main.js"}');
  bench.file(
    "p/node_modules/@own/outer/main.js",
    'const fs = require("fs"); exports.word = fs.readFileSync(__dirname + "/word.txt", "utf8") + (module.paths ? "" : " bundled");',
  );
  bench.file("p/node_modules/@own/outer/word.txt", "outer");
  bench.file("p/node_modules/@own/outer/deep.mjs", 'export default "deep " + typeof import.meta.main;');
  bench.file("p/node_modules/user/index.js", 'module.exports = require("@own/outer").word + " by another";');
  return bench.file(
    "p/job.ts",
    `import { job, text } from "sheaf";
     import { word } from "@own/outer";
     import user from "user";
     const { default: deep } = await import("@own/outer/deep.mjs");
     export default job({ input: text(), map(line, emit) {
       if (line === "bad") throw new Error(word);
       emit([word, user, deep.slice(0, 4)].join(", ")); } });`,
  );
}

test("a package outside the bundle is Node's own, in every kind of worker and in a replay", async (t) => {
  const bench = new Bench(t);
  const file = withPackage(bench);
  const inputs = bench.file("in.txt", "x\n");
  const bundled = await keysOf(file, { inputs });
  assert.deepEqual(bundled, ["outer bundled, outer bundled by another, deep"]);
  for (const isolate of ["thread", "process", "inline"] as const) {
    for (const external of [["@own/outer"], ["@own/*"]]) {
      assert.deepEqual(await keysOf(file, { inputs, isolate, external }), ["outer, outer by another, deep"]);
    }
  }
  const bad = bench.file("bad.txt", "bad\n");
  const failed = await runJob(file, {
    inputs: bad,
    external: ["@own/outer"],
    stateDirectory: bench.state,
    attempts: 1,
  });
  assert.equal(failed.error?.message, "outer");
  const again = await replay(failed.jobId, { stateDirectory: bench.state });
  assert.match(again.report ?? "", /outer/);
});

test("an outside package that is not installed is told at once, by its name", async (t) => {
  const bench = new Bench(t);
  const file = bench.file("job.ts", 'import x from "not-there"; export default x;');
  const result = await runJob(file, { stateDirectory: null, external: ["not-there"] });
  assert.equal(result.error?.code, "PACKAGE_MISSING");
  assert.match(result.error.message, /"not-there"/);
  assert.match(result.error.hint ?? "", /npm install not-there/);
});

test("what is no package cannot be outside", async () => {
  for (const external of [["./a"], ["a/b"], [""], ["sheaf"], "fs", [3]]) {
    await assert.rejects(runHere("job.ts", { external } as LocalRunOptions), {
      code: "USAGE",
      message: /external/,
    });
  }
});

function withAux(bench: Bench, file: string): string {
  return bench.file(
    "jobs/aux.ts",
    `import { job, text } from "sheaf";
     export default job({ input: text(), aux: { words: { file: ${file} } },
       map: (line, emit, ctx) => emit(String(ctx.aux.words).trim()) });`,
  );
}

test("side data lies beside the job file, whatever the current directory, in every kind of worker", async (t) => {
  const bench = new Bench(t);
  const inputs = bench.file("in.txt", "x\n");
  bench.file("jobs/data/words.txt", "beside\n");
  const away = bench.file("away.txt", "away\n");
  const file = withAux(bench, '"data/words.txt"');
  for (const isolate of ["thread", "process", "inline"] as const)
    assert.deepEqual(await keysOf(file, { inputs, isolate }), ["beside"]);
  // Imports are seen from where the file really is, and so is side data.
  symlinkSync(file, join(bench.root, "link.ts"));
  assert.deepEqual(await keysOf(join(bench.root, "link.ts"), { inputs }), ["beside"]);
  withAux(bench, JSON.stringify(away));
  assert.deepEqual(await keysOf(file, { inputs }), ["away"]);
  withAux(bench, JSON.stringify(pathToFileURL(away).href));
  assert.deepEqual(await keysOf(file, { inputs }), ["away"]);
  withAux(bench, 'import.meta.dirname + "/data/words.txt"');
  assert.deepEqual(await keysOf(file, { inputs }), ["beside"]);
});

test("side data that cannot be read is told before any task, with where it was looked for", async (t) => {
  const bench = new Bench(t);
  const inputs = bench.file("in.txt", "x\n");
  bench.file("jobs/folder/x.txt", "");
  // The tests run in the project's directory.
  const cases = { "none.txt": /ENOENT/, folder: /it is a directory/, "package.json": /ENOENT/ };
  for (const [name, why] of Object.entries(cases)) {
    const result = await runJob(withAux(bench, JSON.stringify(name)), {
      inputs,
      stateDirectory: null,
      onEvent: (event) => assert.notEqual(event.kind, "attempt-started"),
    });
    assert.equal(result.error?.code, "INPUT_MISSING");
    assert.ok(result.error.message.startsWith(`aux.words: cannot read ${join(bench.root, "jobs", name)}: `));
    assert.match(result.error.message, why);
    const isHere = name === "package.json";
    assert.equal(/^There is .*package\.json, but/.test(result.error.hint ?? ""), isHere, result.error.hint);
  }
});

test("side data of a Job object is relative to the current directory, with its file to that", async (t) => {
  const bench = new Bench(t);
  const inputs = bench.file("in.txt", "x\n");
  bench.file("jobs/package.json", '{"name":"the job\'s"}');
  const made = job({
    input: text(),
    aux: { manifest: { file: "package.json" } },
    map: (_line, emit, ctx) => emit((ctx.aux["manifest"] as { name: string }).name),
  });
  const result = await runHere(made, { inputs, stateDirectory: null });
  for await (const [key] of result.records()) assert.equal(key, "sheaf");
  await result.dispose();
});

test("an option that run() does not have is refused, with the one that is meant", async () => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ ouput: "x" }, /Did you mean output\?/],
    [{ input: "x" }, /Did you mean inputs\?/],
    [{ partSize: 1 }, /Did you mean partBytes\?/],
    [{ overWrite: undefined }, /Did you mean overwrite\?/],
    [{ concurrency: 4 }, /Did you mean workers\?/],
    [{ xyzzyxyzzy: 4 }, /It has: inputs, output/],
  ];
  for (const [options, hint] of cases) {
    const [name] = Object.keys(options);
    const refusal = { code: "USAGE", message: `run() has no option "${name}"`, hint };
    await assert.rejects(runHere("job.ts", options), refusal);
    await assert.rejects(runOnCluster("job.ts", { ...options, on: "http://127.0.0.1:9" }), refusal);
  }
  await assert.rejects(runHere("job.ts", "in.txt" as LocalRunOptions), {
    code: "USAGE",
    message: /"in\.txt" is no object/,
  });
});
