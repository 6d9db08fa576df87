import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { startAgent } from "#src/agent/agent.js";
import { TASK_STATUS } from "#src/protocol/version.js";
import { until } from "../kit/wait.js";
import { counted, job, mapOrder, reduceOrder, Stage, wordCount } from "./support.js";

/** Runs until a file that the test makes is there: a task that lasts as long as the test wants. */
function waiting(stage: Stage): { code: string; begun: string; go: string } {
  const [begun, go] = [join(stage.root, "begun"), join(stage.root, "go")];
  const map = `
    writeFileSync(${JSON.stringify(begun)}, String(process.pid));
    while (!existsSync(${JSON.stringify(go)})) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
      ctx.progress();
    }`;
  return { code: wordCount({ top: `import { existsSync, writeFileSync } from "node:fs";`, map }), begun, go };
}

const written = (path: string): boolean => existsSync(path) && readFileSync(path, "utf8") !== "";

test("an agent registers, says what it offers, and keeps saying that it lives", async (t) => {
  const stage = new Stage(t);
  await stage.start({ slots: 3, advertise: "http://10.0.0.5:7078", roots: ["/data"] });
  const [register] = stage.coordinator.registrations;
  assert.equal(register!.agent, "a1");
  assert.equal(register!.slots, 3);
  assert.equal(register!.address, "http://10.0.0.5:7078");
  assert.deepEqual(register!.roots, ["/data"]);
  await until("three heartbeats", () => stage.coordinator.heartbeats.length >= 3);
  const { incarnation, running, draining } = stage.coordinator.lastHeartbeat!;
  assert.equal(incarnation, register!.incarnation);
  assert.deepEqual([running, draining], [[], false]);
});

test("an agent waits for a coordinator that is not there yet, and for answers that are lost", async (t) => {
  const stage = new Stage(t);
  let lost = 0;
  stage.coordinator.interfere = (route) => (route === "POST /agents" && lost++ < 2 ? "lose-answer" : null);
  await stage.coordinator.start();
  await stage.coordinator.stop();
  stage.agent = await startAgent(stage.options());
  await stage.coordinator.start();
  await stage.agent.joined;
  assert.equal(lost, 3);
  assert.equal(new Set(stage.coordinator.registrations.map(({ incarnation }) => incarnation)).size, 1);
});

test("an agent that the coordinator refuses ends with the reason, and lets its directory go", async (t) => {
  const stage = new Stage(t);
  stage.coordinator.interfere = (route) => (route === "POST /agents" ? 409 : null);
  await stage.coordinator.start();
  stage.agent = await startAgent(stage.options());
  await assert.rejects(stage.agent.ended, { code: "VERSION_MISMATCH" });
  assert.equal(stage.shuffle.closed, true);
  assert.equal(existsSync(join(stage.state, "agent.lock")), false);
});

test("a second agent in the same directory is refused, and the first one goes on", async (t) => {
  const stage = new Stage(t);
  await stage.start();
  await assert.rejects(startAgent(stage.options({ name: "a2" })), { code: "STATE_LOCKED" });
  await stage.prepare(wordCount());
  assert.equal((await stage.coordinator.run(mapOrder(stage.split()))).status, TASK_STATUS.FINISHED);
});

test("reports, results and tasks survive lost requests and lost answers; heartbeats list what is not yet taken", async (t) => {
  const stage = new Stage(t);
  const { coordinator } = stage;
  const seen = new Map<string, number>();
  const isListed = (): boolean => coordinator.heartbeats.some(({ running }) => running.length > 0);
  // Of every request but heartbeats the first is lost, of the second the answer; and no report is taken
  // before a heartbeat has listed what it is about.
  coordinator.interfere = (route) => {
    if (route.includes("heartbeat") || route === "PUT /task") return null;
    if (route.endsWith("/status") && !isListed()) return "lose-request";
    const count = (seen.get(route) ?? 0) + 1;
    seen.set(route, count);
    return count === 1 ? "lose-request" : count === 2 ? "lose-answer" : null;
  };
  await stage.start();
  await stage.prepare(wordCount());
  await coordinator.run(mapOrder(stage.split()));
  for (const partition of [0, 1]) await coordinator.run(reduceOrder(partition));
  const found = [...coordinator.results.values()].flatMap((bytes) =>
    bytes.toString("utf8").trimEnd().split("\n"),
  );
  assert.deepEqual(found.sort(), counted);
  await until("heartbeats without attempts", () => coordinator.running.length === 0);
  assert.ok(isListed());
  const told = coordinator.reports.map(({ report }) => JSON.stringify(report));
  // Each was told twice, in the same words: the first answer was lost.
  assert.equal(told.length, 6);
  assert.equal(new Set(told).size, 3);
});

test("answers that make no sense are taken for none: the agent lives, and does what it is told next", async (t) => {
  const stage = new Stage(t);
  const { coordinator } = stage;
  const anything = [null, [], 3, "x", {}, { error: null }];
  const kinds = (): string[] => Object.keys(nonsense);
  // After each but those to heartbeats a pause is made, a longer one every time.
  const answersTo = (kind: string): readonly unknown[] => [
    ...(kind === "heartbeat" ? anything : [anything[kinds().indexOf(kind)]]),
    ...nonsense[kind]!,
  ];
  const order = mapOrder(stage.split());
  const nonsense: Readonly<Record<string, readonly unknown[]>> = {
    "POST /agents": [
      { coordinator: "c", heartbeatMs: 0, leaseMs: 10_000, fencedBelow: null },
      { coordinator: "c", heartbeatMs: 2 ** 53, leaseMs: 10_000, fencedBelow: null },
      { coordinator: "c", heartbeatMs: 50, leaseMs: 10_000, fencedBelow: 2 ** 53 },
    ],
    heartbeat: [
      { standing: "ok", outputs: {} },
      { standing: "ok", forget: {}, outputs: {} },
      { standing: "ok", forget: ["../.."], outputs: null },
      { standing: "gone", forget: [], outputs: {} },
    ],
    orders: [{ orders: {} }, { orders: [null] }, { orders: [{ kind: "errand", errand: { kind: "plan" } }] }],
    "PUT /task": [
      { order: {} },
      { ...order, order: { ...order, attempt: undefined } },
      { type: "mapper", order: { ...order, attempt: { ...order.attempt, job: 7 } } },
      { retry_after_ms: 2 ** 53, order: null },
    ],
    preparation: [{ job, settings: {}, aux: null }],
    status: [{ status: 4 }, { accepted: "no" }],
  };
  const told = new Map<string, number>();
  coordinator.interfere = (route) => {
    const kind = kinds().find((one) => route === one || route.endsWith(`/${one}`));
    if (kind === undefined) return null;
    const all = answersTo(kind);
    const count = told.get(kind) ?? 0;
    told.set(kind, count + 1);
    return count < all.length ? { instead: all[count] } : null;
  };
  await stage.start();
  await stage.prepare(wordCount());
  const report = await coordinator.run(order);
  assert.equal(report.status, TASK_STATUS.FINISHED);
  await until("heartbeats without attempts", () => coordinator.lastHeartbeat?.running.length === 0);
  for (const kind of kinds())
    assert.ok(told.get(kind)! > answersTo(kind).length, `${kind}: ${told.get(kind)}`);
  assert.equal(new Set(coordinator.registrations.map(({ incarnation }) => incarnation)).size, 1);
});

test("work goes on while the coordinator is away, and is reported when it is back", async (t) => {
  const stage = new Stage(t);
  const { coordinator } = stage;
  const { code, begun, go } = waiting(stage);
  await stage.start();
  await stage.prepare(code);
  coordinator.give(mapOrder(stage.split("be\n")));
  await until("the task to begin", () => written(begun));
  await coordinator.stop();
  stage.file("go", "");
  await until("its output to be served", () => stage.shuffle.jobs().length === 1);
  await coordinator.start();
  await until("its report", () => coordinator.reportOf("map 0 1") !== undefined);
  assert.equal(coordinator.reportOf("map 0 1")!.status, TASK_STATUS.FINISHED);
  assert.equal(coordinator.registrations.length, 1);
  assert.equal(written(go), false);
});

test("a coordinator that has forgotten the agent has it join again, in the same life", async (t) => {
  const stage = new Stage(t);
  await stage.start();
  stage.coordinator.standing = "join";
  await until("a second registration", () => stage.coordinator.registrations.length === 2);
  const [first, second] = stage.coordinator.registrations;
  assert.equal(second!.incarnation, first!.incarnation);
  assert.equal(stage.coordinator.standing, "ok");
});

test("an agent that was given up ends all it runs, forgets what it has, and joins as a new life", async (t) => {
  const stage = new Stage(t);
  const { coordinator } = stage;
  const { code, begun } = waiting(stage);
  await stage.start();
  await stage.prepare(wordCount());
  await coordinator.run(mapOrder(stage.split("to be\n")));
  coordinator.forget = [job];
  await until("the job to be forgotten", () => stage.shuffle.jobs().length === 0);
  await stage.prepare(code);
  coordinator.give(mapOrder(stage.split("be\n", 1)));
  await until("the task to begin", () => written(begun));
  const [first] = coordinator.registrations;
  coordinator.standing = "fenced";
  await until("a new life", () => coordinator.registrations.length === 2);
  const [, second] = coordinator.registrations;
  assert.ok(second!.incarnation > first!.incarnation);
  assert.throws(() => process.kill(Number(readFileSync(begun, "utf8")), 0), { code: "ESRCH" });
  assert.equal(existsSync(join(stage.state, "jobs", job)), false);
  assert.equal(coordinator.reportOf("map 1 1"), undefined, "nothing of the old life is told");
  const kept = JSON.parse(readFileSync(join(stage.state, "agent.json"), "utf8")) as { incarnation: number };
  assert.equal(kept.incarnation, second!.incarnation);
  await stage.prepare(wordCount());
  assert.equal((await coordinator.run(mapOrder(stage.split("x\n", 2)))).status, TASK_STATUS.FINISHED);
});

test("a life that was fenced before it was registered is followed by a higher one", async (t) => {
  const stage = new Stage(t);
  const far = Date.now() + 1_000_000;
  stage.coordinator.fencedBelow = far;
  await stage.start();
  assert.deepEqual(stage.coordinator.registrations.length, 2);
  assert.equal(stage.coordinator.registrations[1]!.incarnation, far + 1);
});

test("heartbeats go on while the main thread works, and stop when it hangs", async (t) => {
  const stage = new Stage(t);
  stage.coordinator.leaseMs = 1_600;
  await stage.coordinator.start();
  // The agent is in another process here: this one has to go on answering.
  const { spawn } = await import("node:child_process");
  const entry = new URL("../../../dist/inside/agent/agent.js", import.meta.url).href;
  const { startShuffle: _, log: _log, random: _random, ...options } = stage.options();
  const script = `
    import { startAgent } from ${JSON.stringify(entry)};
    const agent = await startAgent(${JSON.stringify(options)});
    await agent.joined;
    const never = new Int32Array(new SharedArrayBuffer(4));
    process.stdin.once("data", () => Atomics.wait(never, 0, 0));`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["pipe", "inherit", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  await until("heartbeats", () => stage.coordinator.heartbeats.length > 2);
  child.stdin.write("hang\n");
  const count = (): number => stage.coordinator.heartbeats.length;
  // 3.2 s of the main thread's silence are within what work may take: 16 heartbeats.
  const before = count();
  await until("heartbeats of a busy agent", () => count() >= before + 4);
  let last = { count: count(), atMs: performance.now() };
  await until("heartbeats to stop", () => {
    if (count() !== last.count) last = { count: count(), atMs: performance.now() };
    return performance.now() - last.atMs > 1_600;
  });
});

test("an agent that is stopped finishes what runs, takes nothing new, and leaves nothing", async (t) => {
  const stage = new Stage(t);
  const { coordinator } = stage;
  const { code, begun } = waiting(stage);
  await stage.start({ graceMs: 20_000 });
  await stage.prepare(code, {}, { output: "none" });
  coordinator.give(mapOrder(stage.split("be\n")));
  await until("the task to begin", () => written(begun));
  const stopped = stage.agent.stop();
  await until("a heartbeat that says so", () => coordinator.lastHeartbeat?.draining === true);
  stage.file("go", "");
  await until("its report", () => coordinator.reportOf("map 0 1")?.status === TASK_STATUS.FINISHED);
  // Its output is needed until the job is forgotten; a task that comes meanwhile is handed back.
  const late = await coordinator.run(mapOrder(stage.split("x\n", 1)));
  assert.equal(late.status, TASK_STATUS.CANCELLED);
  assert.match(late.message ?? "", /leaving the cluster/);
  assert.equal(stage.shuffle.closed, false);
  coordinator.forget = [job];
  await stopped;
  assert.equal(stage.shuffle.closed, true);
  assert.equal(existsSync(join(stage.state, "agent.lock")), false);
  assert.equal(existsSync(join(stage.state, "jobs", job)), false);
});

test("an agent that is stopped goes when it hears that nothing it has is needed, and says so", async (t) => {
  const stage = new Stage(t);
  const { coordinator } = stage;
  await stage.start({ graceMs: 20_000 });
  await stage.prepare(wordCount(), {}, { output: "none" });
  await coordinator.run(mapOrder(stage.split("be\n")));
  coordinator.beside = { needed: 1 };
  const stopped = stage.agent.stop();
  await until("a heartbeat that says so", () => coordinator.lastHeartbeat?.draining === true);
  const beats = coordinator.heartbeats.length;
  await until("some more", () => coordinator.heartbeats.length > beats + 4);
  assert.equal(stage.shuffle.closed, false);
  assert.ok(!coordinator.heard.includes("POST /agents/a1/leave"));
  coordinator.beside = { needed: 0 };
  await stopped;
  assert.ok(coordinator.heard.includes("POST /agents/a1/leave"));
  assert.equal(stage.shuffle.closed, true);
});

test("what is not finished within the grace is handed back as ended, not as failed", async (t) => {
  const stage = new Stage(t);
  const { code, begun } = waiting(stage);
  await stage.start({ graceMs: 150 });
  await stage.prepare(code);
  stage.coordinator.give(mapOrder(stage.split("be\n")));
  await until("the task to begin", () => written(begun));
  await stage.agent.stop();
  const report = stage.coordinator.reportOf("map 0 1")!;
  assert.deepEqual(
    [report.status, report.message],
    [TASK_STATUS.CANCELLED, "the agent is leaving the cluster"],
  );
  assert.throws(() => process.kill(Number(readFileSync(begun, "utf8")), 0), { code: "ESRCH" });
});

test("an agent that is ended is gone at once, coordinator or not", async (t) => {
  const stage = new Stage(t);
  const { code, begun } = waiting(stage);
  await stage.start();
  await stage.prepare(code);
  stage.coordinator.give(mapOrder(stage.split("be\n")));
  await until("the task to begin", () => written(begun));
  await stage.coordinator.stop();
  await stage.agent.end();
  assert.throws(() => process.kill(Number(readFileSync(begun, "utf8")), 0), { code: "ESRCH" });
  assert.equal(stage.shuffle.closed, true);
});

test("jobs share the slots: no more workers than slots, whichever jobs they are of", async (t) => {
  const stage = new Stage(t);
  await stage.start({ slots: 1 });
  const pids = new Set<string>();
  const code = wordCount({ map: `ctx.count("pid-" + process.pid);` });
  const first = await stage.prepare(code);
  const other = "20260101-101010123-words-efgh";
  stage.coordinator.preparations.set(other, { ...first, job: other });
  for (const [index, name] of [job, other, job, other].entries()) {
    const order = mapOrder(stage.split("x\n", index));
    const report = await stage.coordinator.run({ ...order, attempt: { ...order.attempt, job: name } });
    const { counters } = report.result as { counters: Record<string, number> };
    const pid = Object.keys(counters)
      .find((counter) => counter.startsWith("pid-"))!
      .slice(4);
    assert.equal(pids.has(pid), false, "the other job's worker was ended for this one");
    for (const earlier of pids) assert.throws(() => process.kill(Number(earlier), 0), { code: "ESRCH" });
    pids.add(pid);
  }
});

test("an agent that is told how long to wait gives up a coordinator that has gone", async (t) => {
  const stage = new Stage(t);
  await stage.start({ giveUpMs: 300 });
  await stage.coordinator.stop();
  await assert.rejects(stage.agent.ended, { code: "UNREACHABLE", message: /has not answered/ });
  assert.equal(existsSync(join(stage.state, "agent.lock")), false);
  const late = await startAgent(stage.options({ giveUpMs: 300 }));
  await assert.rejects(late.ended, { code: "UNREACHABLE" });
});
