import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { RealCluster } from "../cluster/real-cluster.js";
import { counts, lines, PipelineBench, wordPipeline } from "./support.js";

/**
 * A process that runs the pipeline, or goes on with it, and kills itself at the first moment that is not in
 * the list yet: when a step begins, within it, when it is done, before and after each rename.
 */
const script = (places: Record<string, string>): string => `
  import { appendFileSync, existsSync, readFileSync } from "node:fs";
  import { syncBuiltinESMExports } from "node:module";
  import promises from "node:fs/promises";
  const { file, inputs, output, state, log, on = "inline", tokenFile, kinds } = ${JSON.stringify(places)};
  const seen = existsSync(log) ? readFileSync(log, "utf8").split("\\n") : [];
  const moment = (name) => {
    if (seen.includes(name)) return;
    appendFileSync(log, name + "\\n");
    process.kill(process.pid, "SIGKILL");
  };
  const { rename } = promises;
  promises.rename = async (from, to) => {
    // Where results get their place: of a step, among the output, at last that itself.
    const place = /\\.sheaf-(?:pipeline|job)-[^/]*\\/((?:\\w+\\/\\d+\\/(?:records|files))|out\\/\\w+)$/;
    const name = place.exec(to)?.[1] ?? (to === output ? "the output" : "");
    if (name !== "") moment("before " + name.replace(/\\d+/, "N"));
    await rename(from, to);
    if (name !== "") moment("after " + name.replace(/\\d+/, "N"));
  };
  syncBuiltinESMExports();
  const at = (path) => new URL(path, ${JSON.stringify(new URL("../../../", import.meta.url).href)}).href;
  const { withPipelines, resumePipeline } = await import(at("dist/inside/pipeline/run-pipeline.js"));
  const { runnerAsked } = await import(at("dist/inside/runners/runners.js"));
  const { findJob } = await import(at("modules/engine/job-history.js"));
  const connected = tokenFile === undefined ? {} : { tokenFile };
  const options = { on, ...connected, stateDirectory: state, onEvent({ kind, step, why, task }) {
    if (step === undefined) return;
    if (kind === "step-started") appendFileSync(log, "began " + step + "\\n");
    const isOne = (one) => one === kind || one === kind + ":" + step;
    if (kinds.split(" ").some(isOne)) moment(kind + " " + step + (task ?? ""));
  } };
  const result = existsSync(state + "/jobs")
    ? await resumePipeline(await findJob(state, "@"), options, runnerAsked)
    : await withPipelines(await runnerAsked(options)).run(file, { ...options, inputs, output });
  console.log(result.status, result.error?.message ?? "");`;

/** Runs it until it is not killed any more. @returns the moments and beginnings of steps */
function runKilled(bench: PipelineBench, places: Record<string, string>): { log: string[]; kills: number } {
  const child = bench.file("child.mjs", script(places));
  for (let kills = 0; ; kills++) {
    const { signal, stdout, stderr } = spawnSync(process.execPath, [child], { encoding: "utf8" });
    if (signal === "SIGKILL") {
      assert.ok(kills < 40, "it never ends");
      assert.ok(!existsSync(bench.output) || existsSync(`${bench.output}/_SUCCESS`), "half an output");
      continue;
    }
    const log = readFileSync(places["log"]!, "utf8").trim().split("\n");
    assert.match(stdout, /^SUCCEEDED/, `${stderr}\n${log.join("\n")}`);
    return { log, kills };
  }
}

const twoSteps = wordPipeline().replace("byCount, words, counts", "words, counts");

test("killed at every boundary and within every step: it goes on, each step is done once, the output is the same", (t) => {
  const bench = new PipelineBench(t);
  const { log, kills } = runKilled(bench, {
    file: bench.file("pipe.ts", twoSteps),
    inputs: bench.file("in.txt", lines),
    output: bench.output,
    state: bench.state,
    log: `${bench.root}/log`,
    kinds: "step-started step-finished attempt-finished",
  });
  assert.ok(kills >= 12, `killed ${kills} times only:\n${log.join("\n")}`);
  assert.deepEqual(bench.step("counts"), counts);
  assert.deepEqual(bench.left(), ["out"]);
  for (const [step, form] of [
    ["words", "records"],
    ["counts", "files"],
  ]) {
    // After its results had their place, it never began again.
    const done = log.indexOf(`after ${step}/N/${form}`);
    assert.ok(done > 0, `${step} had no place:\n${log.join("\n")}`);
    assert.ok(!log.slice(done).includes(`began ${step}`), `${step} was repeated:\n${log.join("\n")}`);
  }
});

test("killed at the boundaries of steps that run on a cluster, and within them: it goes on, the output is the same", async (t) => {
  // The coordinator waits long for the driver of a job, so that it is not what ends the job that is left.
  const cluster = await RealCluster.start(t, { agents: 1, slots: () => 2, leaseMs: 30_000 });
  const bench = new PipelineBench(t);
  // The map of the job that is left never comes to its end.
  const blocking = `
    const { readFileSync } = process.getBuiltinModule("node:fs");
    if (readFileSync(${JSON.stringify(`${bench.root}/log`)}, "utf8").split("began words").length <= 3)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);`;
  const { log, kills } = runKilled(bench, {
    file: bench.file("pipe.ts", twoSteps.replace("ctx.count", `${blocking}\nctx.count`)),
    inputs: bench.file("in.txt", lines),
    output: bench.output,
    state: bench.state,
    log: `${bench.root}/log`,
    on: cluster.url,
    tokenFile: join(cluster.state, "client.token"),
    kinds: "step-started job-started:words step-finished:words attempt-finished:counts",
  });
  const told = log.join("\n");
  const moments = [
    "step-started words",
    "job-started words",
    "step-finished words",
    "step-started counts",
    "attempt-finished counts",
  ];
  for (const moment of moments) assert.match(told, new RegExp(`^${moment}`, "m"));
  const done = log.indexOf("step-finished words");
  assert.ok(!log.slice(done).includes("began words"), `words was repeated:\n${told}`);
  assert.ok(log.includes("after the output"), told);
  assert.ok(kills >= 8, told);
  assert.deepEqual(bench.step("counts"), counts);
  assert.deepEqual(bench.left(), ["out"]);
  // The job that was left is stopped before its step begins once more.
  const { jobs } = await cluster.get<{ jobs: { name: string; state: string }[] }>("/jobs");
  const states = (step: string): string[] =>
    jobs.filter(({ name }) => name === `pipe.${step}`).map(({ state }) => state);
  assert.deepEqual(states("words").toSorted(), ["CANCELLED", "SUCCEEDED"]);
  const ended = states("counts").every((state) => ["CANCELLED", "FAILED", "SUCCEEDED"].includes(state));
  assert.ok(ended, states("counts").join());
});
