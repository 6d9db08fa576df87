import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { planErrand } from "#src/agent/plan-errand.js";
import { text as textReader } from "#src/format/text.js";
import { planInput } from "#src/plan/plan-input.js";
import type { ErrandResult } from "#src/protocol/agent-messages.js";
import type { OutputTarget } from "#src/protocol/submission.js";
import { TASK_STATUS } from "#src/protocol/version.js";
import { emptyStats } from "#src/task/task-spec.js";
import { successFile } from "#src/testing/store-files.js";
import { until } from "../kit/wait.js";
import { job, jobOptions, mapOrder, Stage, text, wordCount, wordsOutline } from "./support.js";

function failed(result: ErrandResult): { code: string; message: string } {
  assert.equal(result.kind, "failed", JSON.stringify(result));
  return (result as Extract<ErrandResult, { kind: "failed" }>).failure;
}

test("plans: files, directories and patterns, cut and counted as the job's options say", async (t) => {
  const stage = new Stage(t);
  stage.file("data/a.txt", text);
  stage.file("data/b.txt", text);
  stage.file("data/empty.txt", "");
  await stage.start();
  const all = await stage.plan([join(stage.root, "data")]);
  assert.deepEqual([all.files, all.bytes, all.partitions], [2, 2 * text.length, [2]]);
  assert.deepEqual(all.sample, []);
  const some = await stage.plan([join(stage.root, "data", "b*")], undefined, {
    options: { mappers: 4, splitBytes: null },
  });
  assert.deepEqual([some.files, some.splits.length], [1, 4]);
  const names = some.splits.flatMap(({ pieces }) =>
    pieces.map((piece) => (piece.kind === "file" ? piece.name : "")),
  );
  assert.deepEqual([...new Set(names)], [join(stage.root, "data", "b.txt")]);
});

test("a large plan is sent in pages ahead of its result, in order", async (t) => {
  const stage = new Stage(t);
  const input = stage.file("in.txt", "x\n".repeat(1_150));
  await stage.start();
  const planned = await stage.plan([input], undefined, { options: { splitBytes: 1 } });
  assert.deepEqual([planned.splits, planned.sent], [[], 2_300]);
  const { splitPages } = stage.coordinator;
  assert.deepEqual(
    splitPages.map(({ from, splits }) => [from, splits.length]),
    [
      [0, 1_000],
      [1_000, 1_000],
      [2_000, 300],
    ],
  );
  const indexes = splitPages.flatMap(({ splits }) => splits.map(({ index }) => index));
  assert.deepEqual(
    indexes,
    Array.from({ length: 2_300 }, (_, index) => index),
  );
});

test("a planner shows that it moves on, and changes nothing once nobody waits for it", async (t) => {
  const root = mkdtempSync(join(tmpdir(), "sheaf-agent-test-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  for (let file = 0; file < 9; file++) writeFileSync(join(root, `${file}.txt`), text);
  const output: OutputTarget = { kind: "shared", path: join(root, "_out"), overwrite: false };
  const common = { outline: wordsOutline, options: jobOptions, agentLocal: false, workers: 1, output };
  const errand = { kind: "plan", id: "p", job, inputs: [root], ...common } as const;
  const plan = (step: () => void) => planErrand({ ...errand, inputs: [root] }, "a", [root], step);
  const staging = (): string[] => readdirSync(root).filter((name) => name.startsWith("._out"));
  let steps = 0;
  await plan(() => void steps++);
  assert.ok(steps > 9, `${steps} steps`);
  assert.equal(staging().length, 1);
  for (const left of staging()) rmSync(join(root, left), { recursive: true });
  for (let last = 0; last < steps; last++) {
    let left = last;
    const step = (): void => {
      if (left-- === 0) throw new Error("nobody waits");
    };
    await assert.rejects(plan(step), /nobody waits/);
    assert.deepEqual(staging(), [], `after ${last} steps`);
  }
});

test(
  "a planner shows that it moves on while it waits for what is noted of the files",
  { timeout: 60_000 },
  async (t) => {
    const root = mkdtempSync(join(tmpdir(), "sheaf-agent-test-"));
    t.after(() => rmSync(root, { recursive: true, force: true }));
    const bytes = Buffer.alloc(1_000_000, "to be\n");
    const held: (() => void)[] = [];
    const server = createServer((request, response) => {
      const [, from = "0", to = "0"] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
      const some = bytes.subarray(Number(from), Number(to) + 1);
      const range = `bytes ${from}-${Number(from) + some.length - 1}/${bytes.length}`;
      const headers = { etag: '"1"', "content-range": range, "content-length": some.length };
      const answer = (): void => void response.writeHead(206, headers).end(some);
      // Its content is read when all else is done.
      if (some.length < bytes.length / 2) answer();
      else held.push(answer);
    }).listen(0, "127.0.0.1");
    t.after(() => server.close());
    await new Promise((resolve) => server.once("listening", resolve));
    const input = `http://127.0.0.1:${(server.address() as AddressInfo).port}/in.txt`;
    const output: OutputTarget = { kind: "shared", path: join(root, "out"), overwrite: true };
    const options = { ...jobOptions, splitBytes: null };
    const incremental = { code: "0123456789abcdef", aux: {}, explain: false };
    const common = { outline: wordsOutline, options, agentLocal: false, workers: 1, output, incremental };
    const errand = { kind: "plan", id: "p", job, inputs: [input], ...common } as const;
    const staging = join(root, `.out.sheaf-job-${job}`);
    const step = (): void => {
      if (existsSync(staging)) for (const answer of held.splice(0)) answer();
    };
    const planned = await planErrand(
      { ...errand, inputs: [input] },
      "a",
      [root, new URL("/", input).href],
      step,
    );
    assert.equal(planned.bytes, bytes.length);
    const notes = readFileSync(join(staging, `notes-${planned.incremental!.notes}.json`), "utf8");
    assert.match(notes, /"digest":"[0-9a-f]{32}"/);
  },
);

test("plans of jobs in total order bring what to sample", async (t) => {
  const stage = new Stage(t);
  const input = stage.file("in.txt", text);
  await stage.start();
  const outline = { collections: [{ name: "", partitions: null, order: "total" as const, mapOnly: false }] };
  const planned = await stage.plan([input], undefined, { outline });
  assert.equal(planned.sample.length, 1);
  assert.equal(planned.sample[0]!.bytes, text.length);
});

test("agent-local inputs: this agent's files under its name, and none of them is no error", async (t) => {
  const stage = new Stage(t);
  stage.file("data/a.txt", text);
  await stage.start();
  const inputs = [`agent:${stage.root}/data/*.txt`, `agent:${stage.root}/nothing/*.txt`, "/not/asked/for"];
  const planned = await stage.plan(inputs, undefined, { agentLocal: true });
  assert.equal(planned.files, 1);
  const [piece] = planned.splits[0]!.pieces;
  assert.equal(piece!.kind === "file" && piece!.name, `a1:${stage.root}/data/a.txt`);
  assert.equal(piece!.kind === "file" && piece!.path, `${stage.root}/data/a.txt`);
  const none = await stage.plan(inputs.slice(1), undefined, { agentLocal: true });
  assert.deepEqual([none.files, none.splits, none.sample], [0, [], []]);
  const other = await stage.plan([inputs[0]!, join(stage.root, "data", "a.txt")]);
  assert.equal(other.files, 1);
});

test("inputs that cannot be had, or lie outside the agent's roots, are refused by name", async (t) => {
  const stage = new Stage(t);
  stage.file("data/a.txt", text);
  const outside = stage.file("outside/secret.txt", text);
  symlinkSync(outside, join(stage.root, "data", "link.txt"));
  await stage.start({ roots: [join(stage.root, "data")] });
  const cases: [input: string, code: string, message: RegExp][] = [
    [join(stage.root, "data", "missing.txt"), "INPUT_MISSING", /missing\.txt/],
    [outside, "FORBIDDEN", /secret\.txt/],
    [join(stage.root, "outside", "*"), "FORBIDDEN", /outside/],
    [join(stage.root, "outside", "none*"), "FORBIDDEN", /outside/],
    [join(stage.root, "data", "link.txt"), "FORBIDDEN", /link\.txt/],
    [join(stage.root, "data"), "FORBIDDEN", /link\.txt/],
    [`${stage.root}/data/../outside/secret.txt`, "FORBIDDEN", /\.\./],
    ["data/a.txt", "USAGE", /relative/],
  ];
  for (const [input, code, message] of cases) {
    const { code: given, message: said } = failed(await stage.tryPlan([input]));
    assert.equal(given, code, `${input}: ${said}`);
    assert.match(said, message);
  }
  const local = failed(await stage.tryPlan([`agent:${outside}`], undefined, { agentLocal: true }));
  assert.equal(local.code, "FORBIDDEN");
});

test("an agent knows files by the same places as a run on one machine: --sample keeps the same records", async (t) => {
  const stage = new Stage(t);
  for (const name of ["data/a.txt", "data/deep/b.txt", "more/a.txt"]) stage.file(name, text);
  await stage.start({ roots: [stage.root] });
  const placesOf = (splits: readonly { readonly pieces: readonly unknown[] }[]): unknown[] =>
    splits.flatMap((split) => split.pieces).map((piece) => (piece as { place?: number }).place);
  const inputs = [join(stage.root, "data"), join(stage.root, "more/*")];
  const here = await planInput([{ input: textReader(), paths: ["../data", "../more/*"] }], {
    workers: 1,
    cwd: join(stage.root, "more"),
  });
  const places = placesOf((await stage.plan(inputs)).splits);
  assert.equal(new Set(places).size, 3);
  assert.deepEqual(new Set(places), new Set(placesOf(here.splits)));
});

test("outputs are checked before anything runs", async (t) => {
  const stage = new Stage(t);
  const input = stage.file("place/in.txt", text);
  const place = join(stage.root, "place");
  mkdirSync(join(place, "there"));
  await stage.start({ roots: [place] });
  const to = (path: string, overwrite = false): OutputTarget => ({ kind: "shared", path, overwrite });
  const cases: [output: OutputTarget, code: string][] = [
    [to(join(place, "there")), "OUTPUT_EXISTS"],
    [to(join(stage.root, "elsewhere")), "FORBIDDEN"],
    [to(place, true), "FORBIDDEN"],
  ];
  for (const [output, code] of cases) assert.equal(failed(await stage.tryPlan([input], output)).code, code);
  assert.deepEqual(readdirSync(place).sort(), ["in.txt", "there"]);
  const inside = failed(
    await stage.tryPlan([join(place, "there", "in.txt")], to(join(place, "there"), true)),
  );
  assert.equal(inside.code, "INPUT_MISSING");
  stage.file("place/there/in.txt", text);
  stage.file("place/there/_SUCCESS", successFile(["in.txt"]));
  const swallowed = failed(
    await stage.tryPlan([join(place, "there", "in.txt")], to(join(place, "there"), true)),
  );
  assert.equal(swallowed.code, "OUTPUT_UNWRITABLE");
  await stage.plan([input], to(join(place, "there"), true));
  assert.deepEqual(readdirSync(place).sort(), [`.there.sheaf-job-${job}`, "in.txt", "there"]);

  await stage.coordinator.errand({ kind: "discard", id: "d1", job, output: to(join(place, "there"), true) });
  assert.deepEqual(readdirSync(place).sort(), ["in.txt", "there"]);
});

test("the job's gate is asked in a worker before anything becomes visible", async (t) => {
  const stage = new Stage(t);
  await stage.start();
  await stage.prepare(wordCount({ more: `expect: ({ lines }) => lines === 4 || "there are " + lines,` }));
  const commit = (lines: number, id: string) =>
    stage.coordinator.errand({
      kind: "commit",
      id,
      job,
      expect: { lines },
      results: null,
      counters: { lines },
      output: { kind: "collect", write: true, collect: false },
      name: "words",
      code: "0123456789abcdef",
      collections: [""],
    });
  const refused = failed(await commit(3, "c1"));
  assert.equal(refused.code, "EXPECT_FAILED");
  assert.match(refused.message, /there are 3/);
  assert.equal((await commit(4, "c2")).kind, "committed");
});

test("the gate is asked to its end, whatever attempts of other jobs take the slots", async (t) => {
  const stage = new Stage(t);
  await stage.start();
  const [asked, go] = [join(stage.root, "asked"), join(stage.root, "go")];
  const code = wordCount({
    more: `
      expect() {
        const fs = process.getBuiltinModule("node:fs");
        fs.writeFileSync(${JSON.stringify(asked)}, "");
        const cell = new Int32Array(new SharedArrayBuffer(4));
        while (!fs.existsSync(${JSON.stringify(go)})) Atomics.wait(cell, 0, 0, 5);
        return true;
      },`,
  });
  const prepared = await stage.prepare(code);
  const other = `${job.slice(0, -4)}efgh`;
  stage.coordinator.preparations.set(other, { ...prepared, job: other });
  const order = mapOrder(stage.split());
  // Its worker is in the only slot.
  assert.equal((await stage.coordinator.run(order)).status, TASK_STATUS.FINISHED);
  const answer = stage.coordinator.errand({
    kind: "commit",
    id: "c1",
    job,
    expect: {},
    results: null,
    counters: {},
    output: { kind: "collect", write: true, collect: false },
    name: "words",
    code: "0123456789abcdef",
    collections: [""],
  });
  await until("the gate to be asked", () => existsSync(asked));
  const ofOther = { ...order, attempt: { ...order.attempt, job: other } };
  assert.equal((await stage.coordinator.run(ofOther)).status, TASK_STATUS.FINISHED);
  writeFileSync(go, "");
  assert.equal((await answer).kind, "committed");
});

test("nothing is moved but what attempts of the job wrote", async (t) => {
  const stage = new Stage(t);
  const secret = stage.file("secret", "mine");
  const path = join(stage.root, "place", "out");
  stage.file("place/in.txt", text);
  await stage.start();
  const output: OutputTarget = { kind: "shared", path, overwrite: false };
  await stage.plan([join(stage.root, "place", "in.txt")], output);
  const part = {
    kind: "output",
    collection: 0,
    partition: 0,
    roll: 0,
    extension: "",
    bytes: 4,
    records: 1,
    crc32c: 0,
  };
  const attempts = join(stage.root, "place", `.out.sheaf-job-${job}`, "attempts");
  for (const [index, place] of [secret, `${attempts}/../../../secret`, attempts].entries()) {
    const result = {
      kind: "success",
      parts: [{ ...part, path: place }],
      badPath: null,
      stats: emptyStats,
      counters: {},
      output: null,
      keys: [],
      partitionBytes: [],
      pairs: [],
      hotKeys: [],
    };
    const told = failed(
      await stage.coordinator.errand({
        kind: "commit",
        id: `c${index}`,
        job,
        expect: null,
        results: [result] as never,
        counters: {},
        output,
        name: "words",
        code: "0123456789abcdef",
        collections: [""],
      }),
    );
    assert.equal(told.code, "FORBIDDEN", place);
  }
  assert.equal(existsSync(secret), true);
});

test("a result that is not taken at first is told again; an errand given twice is done once at a time", async (t) => {
  const stage = new Stage(t);
  const input = stage.file("in.txt", text);
  let asked = 0;
  stage.coordinator.interfere = (route) => {
    if (!route.startsWith("POST /errands/")) return null;
    asked++;
    return asked === 1 ? "lose-request" : asked === 2 ? "lose-answer" : null;
  };
  await stage.start();
  await stage.plan([input]);
  await until("the third telling", () => asked === 3);
  const [first, second] = stage.coordinator.errandResults;
  assert.deepEqual(first, second);
});

test("an errand that is given twice while it is done is done once", async (t) => {
  const stage = new Stage(t);
  await stage.start();
  const output: OutputTarget = { kind: "collect", write: true, collect: false };
  const errand = { kind: "discard", id: "d1", job, output } as const;
  for (let i = 0; i < 3; i++) stage.coordinator.order({ kind: "errand", errand });
  await until("a result", () => stage.coordinator.errandResults.length > 0);
  await stage.coordinator.errand({ ...errand, id: "d2" });
  assert.equal(stage.coordinator.errandResults.length, 2);
});

test("a result that the coordinator refuses is told as a failure, so that nobody waits for it", async (t) => {
  const stage = new Stage(t);
  const input = stage.file("in.txt", text);
  let refused = 0;
  stage.coordinator.interfere = (route) =>
    route.startsWith("POST /errands/") && refused++ === 0 ? 400 : null;
  await stage.start();
  await stage.plan([input]).catch(() => undefined);
  const [told] = stage.coordinator.errandResults;
  assert.ok(told?.kind === "failed");
  assert.match(told.failure.message, /did not take the result of plan/);
});
