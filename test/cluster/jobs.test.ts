import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { RunEvent } from "#src/engine/events.js";
import { packageRoot } from "../cli/support.js";
import { wordPipeline } from "../pipeline/support.js";
import { lettersOf } from "./letters.js";
import { assertComplete, treeOf } from "./output-tree.js";
import { awkJob, checkStream, reuseJob } from "./programs.js";
import { eventually } from "./real-cluster.js";
import { Scene, attemptCounts } from "./scene.js";

const example = (name: string): string => join(packageRoot, "examples", name);

describe("a cluster of three agents on this machine", () => {
  let scene: Scene;
  let text: string;
  let letters: string;
  before(async () => {
    // Four slots.
    scene = await Scene.open({
      agents: 3,
      slots: (index) => (index === 0 ? 2 : 1),
      heartbeatMs: 1_000,
      leaseMs: 5_000,
    });
    text = await scene.generated("text", "1MB");
    letters = scene.path("letters.jsonl");
    writeFileSync(letters, lettersOf(readFileSync(text, "utf8")));
  });
  after(() => scene.close());

  const examples: readonly [name: string, args: () => Promise<readonly string[]>][] = [
    ["a word count", async () => [example("wordcount.ts"), text, "--split-size", "300KB", "-p", "3"]],
    [
      "an inverted index",
      async () => [
        example("inverted-index.ts"),
        ...(await Promise.all([1, 2, 3, 4].map((seed) => scene.generated("text", "300KB", seed)))),
        "--split-size",
        "200KB",
        "-p",
        "3",
      ],
    ],
    ["a sort in total order", async () => [example("sort.ts"), text, "--split-size", "500KB", "-p", "4"]],
    [
      "a join of several inputs",
      async () => {
        const ids = Array.from({ length: 20_000 }, (_, i) => (i * 7_919) % 20_000);
        const customers = ids.map((id) => `${id},"name, ${id}"\n`).join("");
        const orders = ids.map((id, i) => `{"customer":${id % 6_000},"amount":${i}}\n`);
        const half = scene.file("orders/2.jsonl", orders.slice(10_000).join(""));
        scene.file("orders/1.jsonl", orders.slice(0, 10_000).join(""));
        return [
          example("join.ts"),
          `orders=${join(dirname(half), "*.jsonl")}`,
          `customers=${scene.file("day=1/customers.csv", `id,name\n${customers}`)}`,
          "--split-size",
          "100KB",
          "-p",
          "3",
        ];
      },
    ],
    [
      "a sample with estimates",
      async () => [example("wordcount.ts"), text, "--split-size", "300KB", "--sample", "5%", "--estimate"],
    ],
    ["programs in another language, with their files", async () => awkJob(scene, text)],
    ["a Python program that does task after task in one process", async () => reuseJob(scene, letters)],
    ["several collections", async () => [example("collections.ts"), letters, "--split-size", "500KB"]],
  ];
  for (const [at, [name, argsOf]] of examples.entries()) {
    // Results go through the coordinator in one way, whatever the job: every second one shows it.
    const ways = at % 2 === 0 ? [[], ["--no-shared"]] : [[]];
    const how = ways.length === 2 ? ", on a shared path and through the coordinator" : "";
    test(`${name} gives the bytes of a local run${how}`, async () => {
      const args = await argsOf();
      const started = [];
      for (const way of ways) started.push(await scene.start([...args, ...way]));
      const expected = await scene.oracle(args);
      for (const one of started) await scene.assertDone(one, expected);
    });
  }

  test("sheaf stream: programs travel from where it is called, lines come as on this machine", () =>
    checkStream(scene));

  test("runs the steps of a pipeline as jobs, with the output of a run on this machine", async () => {
    const args = [scene.file("pipe.ts", wordPipeline()), text, "-p", "2"];
    await scene.assertDone(await scene.start(args), await scene.oracle(args));
  });

  test("eight maps on four idle slots run exactly eight times when nothing goes wrong", async () => {
    scene.gate.clear();
    const args = [scene.gated, text, "--mappers", "8", "-p", "2"];
    const expected = await scene.oracle(args);
    scene.gate.clear();
    const maps = Array.from({ length: 8 }, (_, task) => `map-0000${task}`);
    scene.gate.hold(...maps);
    const started = await scene.start(args);
    const id = await started.id();
    // All slots are in use before the first map may go on.
    await eventually(
      () => scene.gate.passed().length === 4,
      60_000,
      () => `not four slots at work: ${scene.gate.passed().join(" ")}`,
    );
    scene.gate.openAll();
    await scene.assertDone(started, expected);
    const attempts = (await scene.attempts(id)).filter(({ attempt }) => attempt.phase === "map");
    assert.deepEqual(attemptCounts(attempts), Object.fromEntries(maps.map((task) => [task, 1])));
    assert.deepEqual(
      scene.gate.passed().filter((point) => point.startsWith("map-")),
      maps.map((task) => `${task}.1`),
    );
    assert.ok(attempts.every(({ state, cause }) => state === "SUCCEEDED" && cause === null));
  });

  test("SUCCEEDED is never seen before all parts are, and no output before it is complete", async () => {
    scene.gate.clear();
    const args = [scene.gated, text, "--mappers", "6", "-p", "6"];
    const expected = await scene.oracle(args);
    scene.gate.clear();
    scene.gate.hold("commit");
    const started = await scene.start(args);
    const id = await started.id();
    await started.reached("commit");
    assert.equal((await scene.job(id)).state, "COMMITTING");
    assert.equal(existsSync(started.output), false);
    scene.gate.openAll();
    let looks = 0;
    await eventually(
      async () => {
        const { state } = await scene.job(id);
        looks++;
        if (existsSync(started.output)) assertComplete(started.output);
        if (state !== "SUCCEEDED") return false;
        assert.deepEqual(treeOf(started.output), expected);
        return true;
      },
      60_000,
      () => `the job did not end in ${looks} looks`,
    );
    await scene.assertDone(started, expected);
  });

  test("agent-local inputs are each agent's own files, read there and nowhere else", async () => {
    const own = await scene.generated("text", "300KB", 5);
    // Here each agent's own file is the same one.
    const copies = [1, 2, 3].map((copy) => scene.file(`copies/${copy}.txt`, readFileSync(own)));
    const expected = await scene.oracle([example("wordcount.ts"), ...copies, "-p", "2"]);
    const started = await scene.start([
      example("wordcount.ts"),
      `agent:${own}`,
      "--split-size",
      "100KB",
      "-p",
      "2",
    ]);
    const id = await started.id();
    await scene.assertDone(started, expected);
    const maps = (await scene.attempts(id)).filter(({ attempt }) => attempt.phase === "map");
    const byAgent = countBy(maps, ({ agent }) => agent);
    assert.deepEqual(byAgent, { a0: maps.length / 3, a1: maps.length / 3, a2: maps.length / 3 });
    assert.ok(maps.length >= 9, `${maps.length} maps`);
  });

  test("each agent has files of its own of one input, and all see those of another", async () => {
    const customers = scene.file("own/customers.csv", "id,name\n1,Ada\n2,Bo\n");
    const orders = scene.file("own/orders.jsonl", '{"customer":2,"amount":1}\n{"customer":1,"amount":2}\n');
    const three = [1, 2, 3].map((copy) => `orders=${scene.file(`own/${copy}.jsonl`, readFileSync(orders))}`);
    const expected = await scene.oracle([example("join.ts"), `customers=${customers}`, ...three]);
    const args = [example("join.ts"), `orders=agent:${orders}`, `customers=${customers}`];
    await scene.assertDone(await scene.start(args), expected);
  });

  test("user code that fails gives the report of a local run, and the host", async () => {
    const job = scene.file(
      "failing.ts",
      `import { job, sum, text } from "sheaf";
      function wordsOf(line: string): string[] {
        if (line.includes("boom")) throw new Error("this line has a bomb");
        return line.split(" ");
      }
      export default job({
        input: text(),
        map(line, emit) { for (const word of wordsOf(line)) emit(word, 1); },
        reduce: sum(),
      });`,
    );
    const input = scene.file("bombs.txt", "fine\nboom and more\n");
    const local = await scene.localAnyhow(["run", job, input, "-o", scene.path("never")]);
    const started = await scene.start([job, input]);
    const far = await started.running.done;
    assert.equal(local.code, 1);
    assert.equal(far.code, 1, far.stderr);
    assert.match(far.stderr, /It ran on \S+/);
    const replay = `${plain(local.stderr).match(/sheaf replay \S+/)?.[0]}`;
    assert.equal(plain(far.stderr), plain(local.stderr).replace(replay, `${replay} --on URL`));
    scene.assertNothingBeside(started.output, false);
  });

  test("bad records within --max-bad are set aside as on one machine", async () => {
    const job = scene.file(
      "bad.ts",
      `import { job, sum, text } from "sheaf";
      export default job({
        input: text(),
        map(line, emit, ctx) {
          ctx.count("seen");
          if (line.startsWith("bad")) throw new Error("no good");
          emit(line.length % 10, 1);
        },
        reduce: sum(),
      });`,
    );
    const lines = Array.from({ length: 3_000 }, (_, n) => (n % 1_000 === 500 ? `bad ${n}` : `line ${n}`));
    const input = scene.file("some-bad.txt", `${lines.join("\n")}\n`);
    const args = [job, input, "--split-size", "8KB", "-p", "2", "--max-bad", "3"];
    const shared = await scene.start(args);
    const collected = await scene.start([...args, "--no-shared"]);
    const over = await scene.start([...args.slice(0, -1), "2"]);
    const expected = await scene.oracle(args);
    assert.ok(Object.keys(expected).some((name) => name.startsWith("_bad/")));
    await scene.assertDone(shared, expected);
    await scene.assertDone(collected, expected);
    const result = await over.running.done;
    assert.equal(result.code, 1, result.stderr);
    scene.assertNothingBeside(over.output, false);
  });

  test("an expect that says no fails the job, and nothing is written", async () => {
    const job = scene.file(
      "expecting.ts",
      `import { count, job, text } from "sheaf";
      export default job({
        input: text(),
        map(line, emit, ctx) { ctx.count("lines"); emit(line, undefined); },
        reduce: count(),
        expect: ({ lines }) => lines === 3 ? true : "wanted 3 lines, got " + lines,
      });`,
    );
    const good = scene.file("three.txt", "a\nb\nc\n");
    const bad = scene.file("two.txt", "a\nb\n");
    const args = [job, good, "-p", "1"];
    const succeeding = await scene.start(args);
    const failing = [
      await scene.start([job, bad, "-p", "1"]),
      await scene.start([job, bad, "-p", "1", "--no-shared"]),
    ];
    await scene.assertDone(succeeding, await scene.oracle(args));
    for (const started of failing) {
      const result = await started.running.done;
      assert.equal(result.code, 1, result.stderr);
      assert.match(result.stderr, /wanted 3 lines, got 2/);
      scene.assertNothingBeside(started.output, false);
    }
  });

  test("bad records are listed from the coordinator, and from a shared output", async () => {
    const job = scene.file(
      "bad.ts",
      `import { job, jsonl, count } from "sheaf";
      export default job({ input: jsonl<{ k: string }>(), map: (r, emit) => emit(r.k), reduce: count() });`,
    );
    const input = scene.file("bad.jsonl", '{"k":"a"}\n{"k":\n{"k":"b"}\n');
    for (const more of [["--no-shared"], []]) {
      const started = await scene.start([job, input, "--max-bad", "1", ...more]);
      const { code, stderr } = await started.running.done;
      assert.equal(code, 0, stderr);
      const { job: id } = (await scene.jobs())[0]!;
      const listed = await scene.cluster.run(["bad", id, "--json"]);
      assert.equal(listed.code, 0, listed.stderr);
      const { path, offset, phase, record } = JSON.parse(listed.stdout) as Record<string, unknown>;
      const expected = { path: input, offset: 10, phase: "read", record: '{"k":' };
      assert.deepEqual({ path, offset, phase, record }, expected);
    }
  });

  test("verify holds a cluster's run with faults against one without; nothing is left of either", async () => {
    const temp = scene.path("verify-temp");
    mkdirSync(temp);
    const args = ["verify", example("wordcount.ts"), text, "--on", `inline,${scene.cluster.url}`];
    // Every task is ended or delayed once or twice.
    const chaos = ["--chaos", "kill=60%,slow=40%,seed=1", "--attempts", "1", "-p", "3"];
    const { code, stdout, stderr } = await scene.cluster.run([...args, ...chaos, "--temp", temp, "--json"]);
    assert.equal(code, 0, `${stdout}\n${stderr}`);
    const { same, runs } = JSON.parse(stdout) as {
      readonly same: boolean;
      readonly runs: readonly { readonly failedAttempts: number; readonly mapTasks: number }[];
    };
    assert.equal(same, true);
    assert.equal(runs[0]?.failedAttempts, 0);
    assert.ok(runs[1]!.failedAttempts > 0 && runs[1]!.mapTasks > runs[0].mapTasks, stdout);
    assert.deepEqual(readdirSync(temp), []);
  });

  test("a source stops by its condition or its time; its records can be made again anywhere", async () => {
    const coin = (bound: string): string =>
      scene.file(
        `coin-${bound.slice(0, 3)}.ts`,
        `import { confidence, count, generate, job, stats } from "sheaf";
         export default job({
           input: generate({
             tasks: 6,
             *records({ random }) { for (;;) yield random() < 0.25 ? 4 : 0; },
             ${bound},
           }),
           map(win: number, emit) { emit("coin", { win, n: undefined }); },
           reduce: stats({ win: confidence(), n: count() }),
         });`,
      );
    const bounds = [
      ["until", coin("until: ({ coin }, { records }) => coin.n >= 20_000 && coin.n === records")],
      ["time", coin("for: '1s'")],
    ] as const;
    for (const [by, file] of bounds) {
      const output = scene.path(`made-${by}`);
      const done = await scene.cluster.run(["run", file, "-p", "1", "-o", output, "--json", "--live"]);
      assert.equal(done.code, 0, `${done.stdout}\n${done.stderr}`);
      const events = done.stdout.split("\n").filter((line) => line !== "");
      const told = events.map((line) => JSON.parse(line) as RunEvent);
      const last = told.find((event) => event.kind === "job-finished")!;
      assert.equal(last.made?.stoppedBy, by);
      assert.equal(last.made.records, last.stats.recordsIn);
      assert.ok(last.made.records >= (by === "until" ? 20_000 : 1));
      for (const event of told) if (event.kind === "partial") assert.ok(event.records <= last.made.records);
      if (by === "until") assert.ok(told.some((event) => event.kind === "partial"));
      const again = await scene.oracle([file, "-p", "1", "--made", last.made.tasks!.join(",")]);
      assert.deepEqual(treeOf(output), again);
    }
  });

  test("a stop condition that throws fails the job, whoever had asked it", async () => {
    const file = scene.file(
      "never.ts",
      `import { count, generate, job } from "sheaf";
       export default job({
         input: generate({
           tasks: 2,
           *records() { for (;;) yield "a"; },
           until: () => { throw new Error("no luck"); },
         }),
         map: (record, emit) => emit(record),
         reduce: count(),
       });`,
    );
    const { code, stderr } = await scene.cluster.run(["run", file, "-o", scene.path("never")]);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /no luck/);
    assert.equal(existsSync(scene.path("never")), false);
  });

  test("agents keep nothing of jobs that are over", () => scene.assertForgotten());
});

function countBy<T>(values: readonly T[], keyOf: (value: T) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const value of values) counts[keyOf(value)] = (counts[keyOf(value)] ?? 0) + 1;
  return counts;
}

/** The report without what cannot be the same: ids, times, the host. */
function plain(report: string): string {
  return report
    .split("\n")
    .filter((line) => !/It ran on|^\s*$/.test(line))
    .join("\n")
    .replaceAll(/\d{8}-\d{6,9}-[\w-]+/g, "JOB")
    .replaceAll(/\d+(?:\.\d+)? m?s\b/g, "TIME");
}
