import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TaskReport } from "#src/protocol/task-messages.js";
import { TASK_STATUS } from "#src/protocol/version.js";
import type { TaskFailure } from "#src/task/task-spec.js";
import { until } from "../kit/wait.js";
import { job, mapOrder, reduceOrder, Stage, wordCount } from "./support.js";

function failure(report: TaskReport): TaskFailure {
  assert.equal(report.status, TASK_STATUS.FAILED, JSON.stringify(report));
  return report.result as unknown as TaskFailure;
}

test("every way user code can end its worker is a failure of the attempt, and the slot goes on", async (t) => {
  const cases: [map: string, code: string, blame: string, message: RegExp][] = [
    [`throw new Error("no");`, "USER_CODE", "user", /no/],
    [`process.exit(0);`, "USER_EXITED", "user", /exit code 0/],
    [`process.abort();`, "USER_EXITED", "user", /SIGABRT/],
    [`process.kill(process.pid, "SIGKILL");`, "WORKER_LOST", "system", /SIGKILL/],
    [`Promise.reject(new Error("stray"));`, "USER_CODE", "user", /stray/],
  ];
  const stage = new Stage(t);
  await stage.start();
  for (const [index, [map, code, blame, message]] of cases.entries()) {
    await stage.prepare(wordCount({ map: `if (line === "die") { ${map} }` }));
    const report = await stage.coordinator.run(mapOrder(stage.split("die\n", index)));
    const told = failure(report);
    assert.equal(told.code, code, map);
    assert.equal(told.blame, blame, map);
    assert.match(told.message, message);
    const well = await stage.coordinator.run(mapOrder(stage.split("be well\n", 100 + index)));
    assert.equal(well.status, TASK_STATUS.FINISHED, JSON.stringify(well));
    assert.ok(!stage.attempts().includes(`map-0000${index}.1`), "its directory is removed");
    stage.coordinator.forget = [job];
    await until("the job to be forgotten", () => !existsSync(join(stage.state, "jobs", job)));
  }
});

test("a job that cannot be loaded fails its attempts", async (t) => {
  const stage = new Stage(t);
  await stage.start();
  await stage.prepare(`import { job } from "sheaf"; throw new Error("at the top"); export default job({});`);
  const report = await stage.coordinator.run(mapOrder(stage.split()));
  assert.match(failure(report).message, /at the top/);
});

test("an endless loop is ended when it has finished no record for the job's time, and the place told", async (t) => {
  const stage = new Stage(t);
  await stage.start();
  await stage.prepare(wordCount({ map: `if (line === "be") for (;;);` }), { noProgressMs: 300 });
  const report = await stage.coordinator.run(mapOrder(stage.split("to\nbe\n"), 1, []));
  assert.equal(failure(report).code, "NO_PROGRESS");
  assert.equal(report.traced, true);
  assert.deepEqual(report.place, { piece: 0, offset: 3 });
  const well = await stage.coordinator.run(mapOrder(stage.split("well\n", 1)));
  assert.equal(well.status, TASK_STATUS.FINISHED);
});

test("an attempt is killed when the coordinator says so: its worker is gone, its files too", async (t) => {
  const stage = new Stage(t);
  const pidFile = join(stage.root, "pid");
  await stage.start();
  const code = `import { writeFileSync } from "node:fs";`;
  const map = `writeFileSync(${JSON.stringify(pidFile)}, String(process.pid)); for (;;);`;
  await stage.prepare(wordCount({ top: code, map }));
  const order = mapOrder(stage.split());
  stage.coordinator.give(order);
  await until("the attempt to run", () => existsSync(pidFile) && readFileSync(pidFile, "utf8") !== "");
  await until("a heartbeat with it", () => stage.coordinator.running.includes("map 0 1"));
  stage.coordinator.order({ kind: "kill", attempt: order.attempt, reason: "not wanted" });
  await until("its report", () => stage.coordinator.reportOf("map 0 1") !== undefined);
  const report = stage.coordinator.reportOf("map 0 1")!;
  assert.equal(report.status, TASK_STATUS.CANCELLED);
  assert.equal(report.message, "not wanted");
  assert.throws(() => process.kill(Number(readFileSync(pidFile, "utf8")), 0), { code: "ESRCH" });
  assert.deepEqual(stage.attempts(), []);
  await until("heartbeats without it", () => stage.coordinator.running.length === 0);
});

test("what user code has started ends with its worker", async (t) => {
  const stage = new Stage(t);
  const pidFile = join(stage.root, "pid");
  await stage.start();
  const top = `import { spawn } from "node:child_process"; import { writeFileSync } from "node:fs";`;
  const start = `const child = spawn("sleep", ["600"]); writeFileSync(${JSON.stringify(pidFile)}, String(child.pid));`;
  await stage.prepare(wordCount({ top, map: `${start} for (;;);` }));
  const order = mapOrder(stage.split());
  stage.coordinator.give(order);
  await until("the child to run", () => existsSync(pidFile) && readFileSync(pidFile, "utf8") !== "");
  stage.coordinator.order({ kind: "kill", attempt: order.attempt, reason: "not wanted" });
  await until("the child to end", () => !isAlive(Number(readFileSync(pidFile, "utf8"))));
});

test("a heap that is full, and memory above what the worker may have, name the setting", async (t) => {
  const stage = new Stage(t);
  await stage.start({ workerMemoryBytes: 400 * 1024 * 1024 });
  const map = `
    if (line === "heap") { const all = []; for (;;) all.push({ a: all.length, b: [all.length] }); }
    if (line === "buffers") {
      const all = [];
      const grow = setInterval(() => {
        if (all.length < 100) all.push(Buffer.alloc(2 ** 24, 1));
        ctx.progress();
      }, 5);
      return new Promise(() => grow);
    }`;
  await stage.prepare(wordCount({ map }), { heapBytes: 64 * 1024 * 1024 });
  const heap = failure(await stage.coordinator.run(mapOrder(stage.split("heap\n"))));
  assert.equal(heap.code, "OUT_OF_MEMORY");
  assert.match(heap.message, /64 MiB/);
  const buffers = failure(await stage.coordinator.run(mapOrder(stage.split("buffers\n", 1))));
  assert.equal(buffers.code, "OUT_OF_MEMORY");
  assert.match(buffers.message, /above 400 MiB: what the agent gives each worker/);
});

test("a reduce whose input cannot be had names the map attempt, and a damaged one too", async (t) => {
  const stage = new Stage(t);
  await stage.start();
  await stage.prepare(wordCount());
  stage.shuffle.answer = async () => ({
    kind: "unreadable",
    task: 3,
    attempt: 2,
    message: "a2 does not answer",
  });
  const missing = await stage.coordinator.run(reduceOrder(0));
  assert.deepEqual(missing.unreadable, { task: 3, attempt: 2 });
  assert.equal(failure(missing).blame, "system");
  assert.match(failure(missing).message, /a2 does not answer/);

  const path = stage.file("damaged.run", "not a run file, but long enough to be looked at: ".repeat(3));
  stage.shuffle.answer = async () => ({ kind: "inputs", inputs: [{ task: 5, attempt: 1, path }] });
  const damaged = await stage.coordinator.run(reduceOrder(1));
  assert.deepEqual(damaged.unreadable, { task: 5, attempt: 1 });
  assert.equal(failure(damaged).code, "BLOCK_CORRUPT");
});

test("an input that came damaged is fetched anew once before its map is given up", async (t) => {
  const stage = new Stage(t);
  await stage.start();
  await stage.prepare(wordCount());
  const map = await stage.coordinator.run(mapOrder(stage.split("to be\n")));
  assert.equal(map.status, TASK_STATUS.FINISHED);
  const good = [...stage.shuffle.served.get(job)!.values()];
  const path = stage.file("damaged.run", "not a run file, but long enough to be looked at: ".repeat(3));
  let asked = 0;
  stage.shuffle.answer = async () => ({
    kind: "inputs",
    inputs: asked++ === 0 ? [{ task: 0, attempt: 1, path }] : good,
  });
  stage.shuffle.damaged = () => true;
  const report = await stage.coordinator.run(reduceOrder(0));
  assert.equal(report.status, TASK_STATUS.FINISHED, JSON.stringify(report));
  assert.equal(asked, 2);
});

test("a result that is not accepted is removed and served no more", async (t) => {
  const stage = new Stage(t);
  await stage.start();
  await stage.prepare(wordCount());
  stage.coordinator.void.add("map 0 1");
  await stage.coordinator.run(mapOrder(stage.split()));
  await until("its files to go", () => stage.attempts().length === 0);
  assert.deepEqual(stage.shuffle.jobs(), []);
});

test("an output that is of no use any more is removed when the coordinator says so", async (t) => {
  const stage = new Stage(t);
  await stage.start();
  await stage.prepare(wordCount());
  const order = mapOrder(stage.split());
  await stage.coordinator.run(order);
  assert.deepEqual(stage.attempts(), ["map-00000.1"]);
  stage.coordinator.order({ kind: "discard", attempt: order.attempt });
  await until("its files to go", () => stage.attempts().length === 0);
  assert.deepEqual(stage.shuffle.jobs(), []);
});

test("newer settings are fetched when an order tells of them, the code is not", async (t) => {
  const stage = new Stage(t);
  await stage.start();
  const first = await stage.prepare(wordCount());
  await stage.coordinator.run(mapOrder(stage.split()));
  const partitions = [5];
  stage.coordinator.preparations.set(job, {
    ...first,
    version: 2,
    settings: { ...first.settings, partitions },
  });
  const report = await stage.coordinator.run({ ...mapOrder(stage.split("a b c d e f\n", 1)), settings: 2 });
  assert.equal(report.status, TASK_STATUS.FINISHED);
  assert.equal((report.result as { partitionBytes: number[][] }).partitionBytes[0]!.length, 5);
  const fetched = stage.coordinator.heard.filter((route) => route.startsWith("GET /blobs/"));
  assert.equal(fetched.length, 1);
});

test("side data comes with the job, by the path its code names it with", async (t) => {
  const stage = new Stage(t);
  await stage.start();
  const blob = stage.coordinator.blob(`["be", "or"]`);
  const code = wordCount({
    map: `if (ctx.aux.stop.includes(line)) return;`,
    more: `aux: { stop: { file: "./stop.json" } },`,
  });
  await stage.prepare(code, { aux: [{ path: "./stop.json", blob, bytes: 12 }] });
  const report = await stage.coordinator.run(mapOrder(stage.split("to\nbe\n")));
  assert.equal(report.status, TASK_STATUS.FINISHED, JSON.stringify(report));
  assert.equal((report.result as { stats: { emitted: number } }).stats.emitted, 1);
});

test("side data that was changed on this disk is fetched again before the next job reads it", async (t) => {
  const stage = new Stage(t);
  await stage.start();
  const blob = stage.coordinator.blob(`["be", "or"]`);
  const code = wordCount({
    map: `ctx.log("stop " + ctx.aux.stop.join()); if (ctx.aux.stop.includes(line)) return;`,
    more: `aux: { stop: { file: "./stop.json" } },`,
  });
  const path = join(stage.state, "blobs", blob);
  for (const [index, content] of [null, `["be", "os"]`, ""].entries()) {
    if (content !== null) writeFileSync(path, content);
    await stage.prepare(code, { aux: [{ path: "./stop.json", blob, bytes: 12 }] });
    const report = await stage.coordinator.run(mapOrder(stage.split("or\n", index)));
    assert.equal(report.status, TASK_STATUS.FINISHED, JSON.stringify(report));
    assert.equal((report.result as { stats: { emitted: number } }).stats.emitted, 0, "or is a stop word");
    stage.coordinator.forget = [job];
    await until("the job to be forgotten", () => !existsSync(join(stage.state, "jobs", job)));
    stage.coordinator.forget = [];
  }
  assert.equal(readFileSync(path, "utf8"), `["be", "or"]`);
});

test("code and side data that change on this disk while a job runs are put right before a later worker reads them", async (t) => {
  const stage = new Stage(t);
  await stage.start();
  const blob = stage.coordinator.blob(`["be", "or"]`);
  const code = wordCount({
    map: `if (ctx.aux.stop.includes(line)) return;`,
    more: `aux: { stop: { file: "./stop.json" } },`,
  });
  const prepared = await stage.prepare(code, { aux: [{ path: "./stop.json", blob, bytes: 12 }] });
  const other = `${job.slice(0, -4)}efgh`;
  stage.coordinator.preparations.set(other, { ...prepared, job: other });
  const emitted = async (index: number, of = job): Promise<number> => {
    const order = mapOrder(stage.split("or\nto\n", index));
    const report = await stage.coordinator.run({ ...order, attempt: { ...order.attempt, job: of } });
    assert.equal(report.status, TASK_STATUS.FINISHED, JSON.stringify(report));
    return (report.result as { stats: { emitted: number } }).stats.emitted;
  };
  assert.equal(await emitted(0), 1);
  // In the only slot: the job's next attempt has a worker of its own.
  assert.equal(await emitted(1, other), 1);
  const place = join(stage.state, "jobs", job, "job.mjs");
  const placed = readFileSync(place, "utf8");
  writeFileSync(place, placed.replace("emit(word, 1)", "emit(word, 1), emit(word, 1)"));
  assert.notEqual(readFileSync(place, "utf8"), placed);
  writeFileSync(join(stage.state, "blobs", blob), `["be", "os"]`);
  assert.equal(await emitted(2), 1);
  assert.equal(readFileSync(place, "utf8"), placed);
});

test("an agent that lacks a package outside the bundle says so, and which one", async (t) => {
  const stage = new Stage(t);
  await stage.start();
  const from = encodeURIComponent(join(stage.root, "nowhere", "job.ts"));
  const bundle = stage.coordinator.blob(
    `import outer from "sheaf://outside/%40own%2Fouter?${from}&${from}";`,
  );
  await stage.prepare(wordCount(), { bundle });
  const { code, blame, message, hint } = failure(await stage.coordinator.run(mapOrder(stage.split())));
  assert.deepEqual([code, blame], ["PACKAGE_MISSING", "system"]);
  assert.match(message, /^agent \S+: the package "@own\/outer".* is not on this machine/);
  assert.match(hint ?? "", /npm install @own\/outer/);
});

test("an emit after its attempt was reported is told to the coordinator, with what ran last there", async (t) => {
  const stage = new Stage(t);
  const gate = join(stage.root, "gate");
  await stage.start();
  const top = `import { existsSync } from "node:fs";`;
  const map = `
    const late = () => existsSync(${JSON.stringify(gate)}) ? emit("late", 1) : setTimeout(late, 5);
    if (line === "be") setTimeout(late, 5);`;
  await stage.prepare(wordCount({ top, map }));
  for (const [index, line] of ["be\n", "or\n"].entries()) {
    const report = await stage.coordinator.run(mapOrder(stage.split(line, index)));
    assert.equal(report.status, TASK_STATUS.FINISHED);
  }
  assert.equal(stage.coordinator.strays.length, 0);
  stage.file("gate", "");
  await until("it to be told", () => stage.coordinator.strays.length > 0);
  const [stray] = stage.coordinator.strays;
  assert.deepEqual(
    [stray!.agent, stray!.incarnation, stray!.attempt],
    ["a1", stage.coordinator.registrations[0]!.incarnation, { job, phase: "map", task: 1, attempt: 1 }],
  );
  assert.equal(stray!.failure.code, "EMIT_LATE");
  assert.match(stray!.failure.message, /emit was called after the task had ended/);
});

test("a blob that comes with other content is not run", async (t) => {
  const stage = new Stage(t);
  await stage.start();
  const { bundle } = await stage.prepare(wordCount());
  stage.coordinator.blobs.set(bundle, Buffer.from("export default 1;"));
  const told = failure(await stage.coordinator.run(mapOrder(stage.split())));
  assert.equal(told.code, "BLOCK_CORRUPT");
  assert.equal(told.blame, "system");
  assert.deepEqual(readdirSync(join(stage.state, "blobs")), []);
});

test("an input outside the agent's roots is not read, whoever planned it", async (t) => {
  const stage = new Stage(t);
  await stage.start({ roots: [join(stage.root, "elsewhere")] });
  await stage.prepare(wordCount());
  const told = failure(await stage.coordinator.run(mapOrder(stage.split())));
  assert.equal(told.code, "FORBIDDEN");
  assert.match(told.message, /input-0\.txt/);
});

test("user code sees only the environment that the agent gives its workers", async (t) => {
  const stage = new Stage(t);
  process.env["SHEAF_TEST_SECRET"] = "hidden";
  t.after(() => delete process.env["SHEAF_TEST_SECRET"]);
  await stage.start({ workerEnvironment: { PATH: "/bin", GIVEN: "yes" } });
  await stage.prepare(wordCount({ map: `throw new Error(Object.keys(process.env).sort().join());` }));
  const told = failure(await stage.coordinator.run(mapOrder(stage.split())));
  assert.match(told.message, /^GIVEN,(?:NODE_CHANNEL_\w+,)*PATH$/);
});

function isAlive(pid: number): boolean {
  try {
    // Signal 0 also reaches those that have ended and nobody has asked about.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

test("a report that is refused is told in short, once; when that is refused, too, the slot asks for other work", async (t) => {
  for (const [refusals, map] of [
    [1, `throw new Error("what was wrong");`],
    [1, ""],
    [2, `throw new Error("what was wrong");`],
    [2, ""],
  ] as const) {
    const stage = new Stage(t);
    let refused = 0;
    stage.coordinator.interfere = (route) => {
      if (!route.endsWith("/task/mapper/0/status") || refused === refusals) return null;
      refused++;
      return 400;
    };
    await stage.start();
    await stage.prepare(wordCount({ map: `if (line === "zero") { ${map} }` }));
    stage.coordinator.give(mapOrder(stage.split("zero\n", 0)));
    const well = await stage.coordinator.run(mapOrder(stage.split("well\n", 1)));
    assert.equal(well.status, TASK_STATUS.FINISHED, "the slot is free again");
    await until("as many refusals", () => refused === refusals);
    if (refusals === 1) {
      await until("the short report", () => stage.coordinator.reportOf("map 0 1") !== undefined);
      const short = failure(stage.coordinator.reportOf("map 0 1")!);
      if (map === "") assert.match(short.message, /did not take the result/);
      else assert.match(short.message, /what was wrong \(its full report was refused: /);
      assert.deepEqual(
        [short.code, short.blame],
        map === "" ? ["INTERNAL", "system"] : ["USER_CODE", "user"],
      );
    } else assert.equal(stage.coordinator.reportOf("map 0 1"), undefined);
    await until("its files to go", () => !stage.attempts().includes("map-00000.1"));
    await stage.agent.end();
  }
});
