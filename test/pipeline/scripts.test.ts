import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { test } from "node:test";
import { badFilesOf } from "#src/engine/bad-list.js";
import { findJob } from "#src/engine/job-history.js";
import { runLoop } from "#src/pipeline/run-loop.js";
import { endLeftScript, runScript } from "#src/pipeline/run-script.js";
import { planRetry } from "#src/runner/retry-bad.js";
import { holderOf } from "#src/storage/file-lock.js";
import { lines, PipelineBench } from "./support.js";

/** Counts words, has a script double the counts, and sums them. */
const scored = (run: string, more = ""): string => `
  import { from, job, jsonl, pipeline, script, sum, text } from "sheaf";
  const counts = job({
    input: text(),
    map(line, emit) { for (const word of line.split(" ")) emit(word, 1); },
    reduce: sum(),
  });
  const score = script({
    run: ${run},
    in: { counts: from(counts), factor: "factor.txt" },
    out: { scores: jsonl() },
    ${more}
  });
  const total = job({ input: from(score, "scores"), map: ({ n }, emit) => emit("total", n), reduce: sum() });
  export default pipeline({ counts, score, total });`;

const scoreFile = `
  import { readFileSync, readdirSync, writeFileSync } from "node:fs";
  const [directory, factor, out] = process.argv.slice(2);
  const lines = readdirSync(directory).filter((name) => name.startsWith("part-"))
    .flatMap((name) => readFileSync(directory + "/" + name, "utf8").trim().split("\\n"));
  const times = Number(readFileSync(factor, "utf8"));
  console.log("scoring", lines.length);
  console.error(Object.keys(process.env).includes("SECRET_TOKEN") ? "it leaks" : "clean");
  const scores = lines.map((line) => line.split("\\t")).map(([word, n]) => ({ word, n: n * times }));
  writeFileSync(out, scores.map((score) => JSON.stringify(score)).join("\\n"));
`;
const run = `["node", "score.mjs", "{in.counts}", "{in.factor}", "{out.scores}"]`;

test("a script reads and writes files by name, prints to the log, and has a clean environment", async (t) => {
  const bench = new PipelineBench(t);
  process.env["SECRET_TOKEN"] = "secret";
  t.after(() => delete process.env["SECRET_TOKEN"]);
  bench.file("score.mjs", scoreFile);
  bench.file("factor.txt", "2");
  const inputs = bench.file("in.txt", lines);
  const result = await bench.pipeline(scored(run), { inputs });
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.deepEqual(bench.step("total"), ["total\t20"]);
  const printed = bench.of("log").map(({ stream, text, step }) => `${step} ${stream} ${text}`);
  assert.deepEqual(printed.toSorted(), ["score stderr clean", "score stdout scoring 7"]);
  const { directory } = await findJob(bench.state, "@");
  assert.match(readFileSync(join(directory, "logs", "score.log"), "utf8"), /scoring 7/);
});

test("a script that fails is told with what it said; corrected, only what is left runs", async (t) => {
  const bench = new PipelineBench(t);
  bench.file("factor.txt", "2");
  const inputs = bench.file("in.txt", lines);
  bench.file("score.mjs", "console.error('no such model'); process.exit(3);");
  const failed = await bench.pipeline(scored(run), { inputs });
  assert.match(failed.error!.report, /step score: node ended with exit code 3[^]*no such model/);
  bench.file("score.mjs", "");
  assert.match((await bench.resume()).error!.message, /it has not written its output scores/);
  const stray = `import { writeFileSync } from "node:fs"; writeFileSync(process.argv[4] + "2", "");`;
  bench.file("score.mjs", stray);
  assert.match((await bench.resume()).error!.message, /it wrote scores2, which is none of its outputs/);
  bench.file("score.mjs", scoreFile);
  const result = await bench.resume();
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.deepEqual(Object.keys(bench.ran()), ["score", "total"]);
});

test("a time limit, a missing program and other exit codes than 0", async (t) => {
  const bench = new PipelineBench(t);
  bench.file("factor.txt", "2");
  const inputs = bench.file("in.txt", lines);
  const cases: [string, string, RegExp][] = [
    [`["sh", "-c", "sleep 60 & wait"]`, "timeoutMs: 50,", /took longer than 50 ms and was ended/],
    [`["no-such-program-here"]`, "", /there is no program no-such-program-here/],
    [`["sh", "-c", "kill -9 $$"]`, "", /it was ended by SIGKILL/],
    [`["sh", "-c", "exit 4"]`, "exitCodes: [4],", /it has not written its output/],
  ];
  for (const [command, more, message] of cases) {
    const result = await bench.pipeline(scored(command, more), { inputs, steps: { until: "score" } });
    assert.match(result.error?.message ?? "", message);
  }
  const wrong: [string, RegExp][] = [
    [`["a", "{in.count}"]`, /\{in\.count\} is none of its inputs/],
    [`[]`, /is no command/],
  ];
  for (const [command, message] of wrong)
    assert.match((await bench.pipeline(scored(command), { inputs })).error!.message, message);
  const options: [string, RegExp][] = [
    // A timer would be over at once.
    ["timeoutMs: 3e9,", /script\.timeoutMs: 3000000000 is no time/],
    ["timeoutMs: Infinity,", /script\.timeoutMs: Infinity is no time/],
    ["keep: 1,", /step score\.keep: 1 is no answer/],
    ['after: "counts",', /step score\.after: "counts" is no list of names/],
    ["kep: true,", /script\.kep: no such field/],
  ];
  for (const [more, message] of options)
    assert.match((await bench.pipeline(scored(run, more), { inputs })).error!.message, message);
  const elsewhere = `import { pipeline, transfer } from "sheaf";
    export default pipeline({ a: transfer({ from: "agent:/x", to: "y" }) });`;
  assert.match(
    (await bench.pipeline(elsewhere)).error!.message,
    /on the agents of a cluster, and there is none/,
  );
});

const copying = `
  import { count, from, job, pipeline, text, transfer } from "sheaf";
  const load = transfer({ from: "data", to: "copies", as: text() });
  const lines = job({ input: from(load), map: (line, emit) => emit(line.length, 1), reduce: count() });
  export default pipeline({ load, lines });`;

test("what a script leaves running ends with it; a script that is not wanted any more never begins", async (t) => {
  const bench = new PipelineBench(t);
  bench.file("factor.txt", "2");
  const inputs = bench.file("in.txt", lines);
  const command = `["sh", "-c", "sleep 600 & echo '{\\"n\\":1}' > $0", "{out.scores}"]`;
  const result = await bench.pipeline(scored(command, "timeoutMs: 15_000,"), { inputs });
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.deepEqual(bench.step("total"), ["total\t1"]);

  const spec = { kind: "script", run: ["touch", "mark"], paths: {}, env: {}, timeoutMs: null } as const;
  const ended = await runScript({
    name: "late",
    spec: { ...spec, exitCodes: [0], on: "once" },
    file: join(bench.root, "pipe.ts"),
    directory: join(bench.root, "late"),
    inputs: {},
    outputs: [],
    signal: AbortSignal.abort(),
    log: () => undefined,
  });
  assert.equal(ended.status, "CANCELLED");
  assert.ok(!existsSync(join(bench.root, "mark")));
});

test("a transfer copies what is not there yet, goes on with what was cut off, and is read as it says", async (t) => {
  const bench = new PipelineBench(t);
  const big = "x".repeat(3_000_000);
  bench.file("data/a.txt", "one\n");
  bench.file("data/below/b.txt", big);
  bench.file("data/empty.txt", "");
  mkdirSync(join(bench.root, "copies", "below"), { recursive: true });
  bench.file("copies/other.txt", "not of the transfer\n");
  // What was cut off, and is the beginning of the file; and one that is not.
  bench.file("copies/below/.b.txt.sheaf-part", big.slice(0, 2_000_000));
  bench.file("copies/.a.txt.sheaf-part", "on?");
  const result = await bench.pipeline(copying);
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.equal(readFileSync(join(bench.root, "copies/below/b.txt"), "utf8"), big);
  assert.equal(readFileSync(join(bench.root, "copies/a.txt"), "utf8"), "one\n");
  assert.equal(statSync(join(bench.root, "copies/empty.txt")).size, 0);
  assert.ok(!existsSync(join(bench.root, "copies/.a.txt.sheaf-part")));
  assert.deepEqual(bench.step("lines"), ["3\t1", "3000000\t1"]);
  const told = bench.of("transferred").at(-1);
  assert.deepEqual([told?.files, told?.filesDone, told?.bytesDone], [3, 3, 3_000_004]);

  // A copy that somebody changed is made again; a source that changed, too.
  writeFileSync(join(bench.root, "copies/a.txt"), "two!\n");
  appendFileSync(join(bench.root, "data/empty.txt"), "now\n");
  const again = await bench.resume({ steps: { from: "lines" } });
  assert.equal(again.status, "SUCCEEDED", again.error?.report);
  assert.equal(readFileSync(join(bench.root, "copies/a.txt"), "utf8"), "one\n");
  assert.deepEqual(bench.step("lines"), ["3\t2", "3000000\t1"]);
});

const doubling = (until: string, more = ""): string => `
  import { from, job, jsonl, loop, pipeline, previous, text } from "sheaf";
  const start = job({ input: text(), map: (line) => [[line, 1]] });
  const doubled = loop({
    first: from(start),
    step: job({
      input: previous(),
      map([word, n], emit, ctx) {
        ${more}
        if (n < 40) ctx.count("small");
        emit(word, n * 2);
      },
      reduce: (word: string, all: Iterable<number>) => [...all][0],
    }),
    ${until}
  });
  export default pipeline({ start, doubled });`;

test("a loop runs its job until the condition is true, each round reading what the one before has written", async (t) => {
  const bench = new PipelineBench(t);
  const inputs = bench.file("in.txt", "a\nb\n");
  const untilLarge = "until: ({ counters, round }) => round > 1 && counters.small === undefined,";
  const result = await bench.pipeline(doubling(untilLarge), { inputs });
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  // 1, 2, 4 ... 64 is the first that is not below 40: the round after reads it.
  assert.deepEqual(bench.step("doubled"), ["a\t128", "b\t128"]);
  assert.equal(result.counters["doubled.rounds"], 7);

  const some = await bench.pipeline(doubling("max: 3,"), { inputs, overwrite: true });
  assert.deepEqual([some.status, bench.step("doubled")], ["SUCCEEDED", ["a\t8", "b\t8"]]);
  const never = await bench.pipeline(doubling("until: () => false, max: 2,"), { inputs, overwrite: true });
  assert.equal(never.status, "SUCCEEDED", never.error?.report);
  assert.match(
    bench
      .of("warning")
      .map(({ message }) => message)
      .join(),
    /ended after 2 rounds, its most/,
  );
  const wrong = await bench.pipeline(doubling("until: () => 1,"), { inputs, overwrite: true });
  assert.match(wrong.error!.message, /until of round 1: until returned 1: true or false is wanted/);
});

test("a script that a crash has left is ended, and no other that has got its process id", async (t) => {
  const bench = new PipelineBench(t);
  const left = async (began: (own: string) => string): Promise<string | null> => {
    const child = spawn("sleep", ["600"], { detached: true, stdio: "ignore" });
    await once(child, "spawn");
    const ended = once(child, "exit");
    const own = holderOf(child.pid!);
    bench.file("left/script.pid", JSON.stringify({ ...own, began: began(own.began!) }));
    endLeftScript(join(bench.root, "left"));
    // If it was killed, that came first.
    child.kill("SIGTERM");
    return ((await ended) as [null, string])[1];
  };
  assert.equal(await left((own) => own), "SIGKILL");
  // The machine has started anew since: as many ticks after that this one began.
  assert.equal(await left((own) => own.replace(/^.*:/, "before:")), "SIGTERM");
  endLeftScript(join(bench.root, "nowhere"));
});

test("a loop that was killed in a round goes on with that round", async (t) => {
  const bench = new PipelineBench(t);
  const inputs = bench.file("in.txt", "a\n");
  // The mark is outside of the code, which stays the same.
  const mark = join(bench.root, "mark");
  const text = doubling(
    "max: 5,",
    `if (n === 4 && !existsSync(${JSON.stringify(mark)})) throw new Error("cut off");`,
  );
  const code = `import { existsSync } from "node:fs";\n${text}`;
  const failed = await bench.pipeline(code, { inputs, attempts: 1 });
  assert.match(failed.error!.message, /cut off/);
  writeFileSync(mark, "");
  const before = bench.of("job-started").length;
  const result = await bench.resume();
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.deepEqual(bench.step("doubled"), ["a\t32"]);
  const rounds = bench.of("job-started").filter(({ step }) => step === "doubled").length;
  assert.deepEqual([before > 0, rounds], [true, 3]);
});

test("bad records of every round and step are told and kept; the rounds are part of what a loop is", async (t) => {
  const bench = new PipelineBench(t);
  const inputs = bench.file("in.txt", "a\nb\nc\n");
  const rounds = bench.file("rounds.txt", "2");
  const max = `max: Number(readFileSync(${JSON.stringify(rounds)}, "utf8")),`;
  const bad = `if (word === "b" && n === 1) throw new Error("bad");`;
  const text = doubling(max, bad).replace("[[line, 1]]", '(line === "c" ? line.bad() : [[line, 1]])');
  const code = `import { readFileSync } from "node:fs";\n${text}`;
  const result = await bench.pipeline(code, { inputs, maxBad: 1 });
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.deepEqual([result.badRecords, bench.step("doubled")], [2, ["a\t4"]]);
  const list = async (): Promise<string[]> =>
    badFilesOf((await findJob(bench.state, "@")).record).map((file) => relative(bench.output, file));
  const kept = ["_bad/doubled/round-00001/part-00000.jsonl", "_bad/start/part-00000.jsonl"];
  assert.deepEqual(await list(), kept);
  await assert.rejects(planRetry(await findJob(bench.state, "@"), bench.root), /is a pipeline: only records/);

  writeFileSync(rounds, "3");
  const more = await bench.resume({ steps: { until: "doubled" } });
  assert.equal(more.status, "SUCCEEDED", more.error?.report);
  assert.deepEqual([more.badRecords, bench.step("doubled"), await list()], [2, ["a\t8"], kept]);
});

test("a round that wrote nothing is read, wherever its process was killed", async (t) => {
  const bench = new PipelineBench(t);
  const manifest = { sheaf: 1, job: "x", code: null, counters: {}, badRecords: 0, parts: [] };
  bench.file("loop/rounds/7/records/_SUCCESS", JSON.stringify(manifest));
  bench.file("loop/rounds/8/none", "");
  const result = await runLoop({
    name: "x",
    directory: join(bench.root, "loop"),
    forms: { records: true, files: false },
    rounds: { max: 7, hasUntil: false },
    round: () => assert.fail("all rounds are done"),
    warn: assert.fail,
    log: assert.fail,
  } as unknown as Parameters<typeof runLoop>[0]);
  assert.equal(result.counters["rounds"], 7);
  // Whoever finds it after a crash knows as much.
  const placed = readFileSync(join(bench.root, "loop", "records", "_SUCCESS"), "utf8");
  assert.deepEqual((JSON.parse(placed) as { counters: unknown }).counters, { rounds: 7 });
  assert.ok(existsSync(join(bench.root, "loop", "records", "part-00000.records")));
});
