import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { sum } from "#src/aggregate/sum.js";
import { text } from "#src/format/text.js";
import { job } from "#src/job/define.js";
import { exec } from "#src/job/exec.js";
import { TaskMemory } from "#src/shuffle/memory.js";
import { createTaskRunner } from "#src/task/task-runner.js";
import { PROGRESS_BYTES } from "#src/task/task-spec.js";
import { PAIR_LINES, Stage, pairs } from "./support.js";

test("a damaged, missing or foreign map output fails as BLOCK_CORRUPT, which is the system's fault", async (t) => {
  const stage = new Stage(t).file("in.txt", PAIR_LINES);
  const made = job({ input: text(), map: pairs, reduce: sum() });
  const played = await stage.ok(made);
  const output = played.maps[0]!.output!;
  const runner = createTaskRunner(made, stage.settings(made));
  const services = {
    progress: new Float64Array(PROGRESS_BYTES / 8),
    signal: new AbortController().signal,
    log: () => undefined,
  };
  const reduce = (input: typeof output, name: string): ReturnType<typeof runner.run> => {
    const directory = `${stage.root}/${name}`;
    mkdirSync(directory);
    return runner.run(
      { kind: "reduce", index: 0, attempt: 1, collection: 0, partition: 0, inputs: [input], directory },
      services,
    );
  };
  const foreign = await reduce({ ...output, attempt: 2 }, "foreign");
  const bytes = readFileSync(output.path!);
  bytes[40]! ^= 1;
  writeFileSync(output.path!, bytes);
  const damaged = await reduce(output, "damaged");
  rmSync(output.path!);
  const missing = await reduce(output, "missing");
  for (const failure of [foreign, damaged, missing]) {
    assert.ok(failure.kind === "failure");
    assert.deepEqual([failure.code, failure.blame, failure.path], ["BLOCK_CORRUPT", "system", output.path]);
  }
});

test("a runner is used again after a failure, with nothing of it left", async (t) => {
  const stage = new Stage(t)
    .file("good.txt", PAIR_LINES)
    .file("bad.txt", "b bad\n")
    .file("more.txt", PAIR_LINES);
  const made = job({ input: text(), map: pairs, reduce: sum() });
  const settings = stage.settings(made);
  const runner = createTaskRunner(made, settings);
  const services = {
    progress: new Float64Array(PROGRESS_BYTES / 8),
    signal: new AbortController().signal,
    log: () => undefined,
  };
  const outputs = [];
  for (const split of stage.splits({})) {
    const directory = `${stage.root}/m${split.index}`;
    mkdirSync(directory);
    const done = await runner.run(
      { kind: "map", index: split.index, attempt: 1, split, directory },
      services,
    );
    assert.equal(done.kind, split.index === 1 ? "failure" : "success");
    if (done.kind === "success") outputs.push(done.output!);
  }
  const directory = `${stage.root}/r`;
  mkdirSync(directory);
  const done = await runner.run(
    { kind: "reduce", index: 0, attempt: 1, collection: 0, partition: 0, inputs: outputs, directory },
    services,
  );
  assert.ok(done.kind === "success");
  assert.equal(readFileSync(done.parts[0]!.path, "utf8"), "a\t4\nb\t18\nc\t8\n");
});

test("a program combines many partitions of large records in the memory that one takes", async (t) => {
  const large = Array.from({ length: 12 }, (_, i) => `k${i}\t${"x".repeat(1_500_000 + i * 50_000)}\n`);
  const stage = new Stage(t).file("large.txt", large.join(""));
  const takes = t.mock.method(TaskMemory.prototype, "take");
  const cat = exec(["cat"]);
  const top = async (partitions: number): Promise<number> => {
    takes.mock.resetCalls();
    const played = await stage.ok(job({ input: text(), map: cat, combine: cat, reduce: cat }), {
      partitions,
    });
    assert.deepEqual(
      played
        .text()
        .match(/^k.*\n/gm)!
        .sort(),
      large.toSorted(),
    );
    return Math.max(...takes.mock.calls.map(({ result = 0, arguments: [size] }) => result + size));
  };
  const [one, many] = [await top(1), await top(12)];
  assert.ok(one > 0 && many < one * 1.2, `${many} bytes, and with one partition ${one}`);
});
