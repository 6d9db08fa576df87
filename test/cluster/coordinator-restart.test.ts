import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { OutputTree } from "./output-tree.js";
import { isRunning } from "./processes.js";
import { eventually } from "./real-cluster.js";
import { Scene, againOf, taskOf } from "./scene.js";
import { TcpProxy } from "./tcp-proxy.js";

const maps = 8;
const reduces = 4;
const names = (phase: string, count: number, from = 0): string[] =>
  Array.from({ length: count - from }, (_, task) => `${phase}-0000${from + task}`);
const tasks = [...names("map", maps), ...names("reduce", reduces)];

describe("a coordinator that is killed", () => {
  let scene: Scene;
  let args: readonly string[];
  let expected: OutputTree;
  before(async () => {
    scene = await Scene.open({ agents: 2, heartbeatMs: 1_000, leaseMs: 4_000 });
    args = [scene.gated, await scene.generated("text", "400KB"), "--mappers", `${maps}`, "-p", `${reduces}`];
    expected = await scene.oracle(args);
  });
  after(() => scene.close());

  /**
   * No task was begun twice. An order that was on its way
   * when the coordinator was killed may come to nothing: then another attempt of the task is the first.
   */
  const assertOnce = async (id: string): Promise<void> => {
    const attempts = await scene.attempts(id);
    const begun = attempts.filter((one) => scene.gate.isReached(`${taskOf(one)}.${one.attempt.attempt}`));
    assert.deepEqual([...new Set(begun.map(taskOf))].sort(), tasks);
    const causes = attempts.map((one) => `${taskOf(one)}.${one.attempt.attempt} ${one.state} ${one.cause}`);
    assert.deepEqual(againOf(begun), {}, causes.join("\n"));
  };

  const moments: readonly [when: string, finished: number, held: readonly string[]][] = [
    ["at 25 % of the tasks", 3, names("map", maps, 3)],
    ["when one task is left", 11, ["reduce-00003.half"]],
  ];
  for (const [when, finished, held] of moments) {
    test(`N6: ${when}: the job goes on where it was, no task runs twice`, async () => {
      scene.gate.clear();
      scene.gate.hold(...held);
      const started = await scene.start(args);
      const id = await started.id();
      await scene.finishedTasks(id, finished);
      const before = await scene.attempts(id);
      await scene.cluster.restartCoordinator();
      assert.equal((await scene.job(id)).job, id);
      const restored = await scene.attempts(id);
      for (const one of before.filter(({ state }) => state === "SUCCEEDED")) {
        assert.deepEqual(
          restored.find(
            ({ attempt }) => attempt.task === one.attempt.task && attempt.phase === one.attempt.phase,
          ),
          one,
        );
      }
      scene.gate.openAll();
      await scene.assertDone(started, expected);
      await assertOnce(id);
    });
  }

  test("N7: in a commit, before anything is renamed: the commit is carried out once", async () => {
    scene.gate.clear();
    scene.gate.hold("commit");
    const started = await scene.start(args);
    const id = await started.id();
    await started.reached("commit");
    await scene.cluster.restartCoordinator();
    assert.equal(existsSync(started.output), false);
    assert.equal((await scene.job(id)).state, "COMMITTING");
    scene.gate.openAll();
    await scene.assertDone(started, expected);
    await assertOnce(id);
  });

  test("N7: in a commit, when the output has just appeared: the job has succeeded", async () => {
    scene.gate.clear();
    scene.gate.hold("commit");
    const started = await scene.start(args);
    const id = await started.id();
    await started.reached("commit");
    scene.gate.openAll();
    await nextTurns(() => existsSync(started.output));
    await scene.cluster.restartCoordinator();
    await scene.assertDone(started, expected);
    assert.equal((await scene.job(id)).state, "SUCCEEDED");
    await assertOnce(id);
  });

  test("N8: again and again within one job: it still ends, and no user attempt is used up", async () => {
    scene.gate.clear();
    scene.gate.hold(...tasks);
    const started = await scene.start([...args, "--attempts", "1"]);
    const id = await started.id();
    for (const count of [2, 8, 10]) {
      scene.gate.open(...tasks.slice(0, count));
      await scene.finishedTasks(id, count);
      await scene.cluster.restartCoordinator();
    }
    scene.gate.openAll();
    await scene.assertDone(started, expected);
    await assertOnce(id);
  });

  test("N6: what ended before is told as before", async () => {
    const ids = (await scene.jobs()).map(({ job }) => job);
    assert.ok(ids.length >= 6);
    const views = async (): Promise<unknown> =>
      Promise.all(ids.map(async (id) => [await scene.job(id), await scene.attempts(id)]));
    const told = await views();
    await scene.cluster.restartCoordinator();
    assert.deepEqual(await views(), told);
  });

  test("N25: SIGTERM ends it with 0, and the next one goes on", async () => {
    scene.gate.clear();
    scene.gate.hold("map-00004");
    const started = await scene.start(args);
    const id = await started.id();
    await started.reached("map-00004.1");
    assert.equal(await scene.cluster.endCoordinator("SIGTERM"), 0);
    await scene.cluster.startCoordinator();
    scene.gate.openAll();
    await scene.assertDone(started, expected);
    await assertOnce(id);
  });

  test("N23: a second coordinator on the same state is refused, and the first one works on", async () => {
    const second = await scene.localAnyhow(["coordinator", "--port", "0", "--state", scene.cluster.state]);
    assert.equal(second.code, 1);
    assert.match(second.stderr, /\[STATE_LOCKED\]/);
    await scene.cluster.get("/cluster");
  });

  test("N9: an attached job stops three leases after its client was killed", async () => {
    scene.gate.clear();
    scene.gate.hold("map-00000");
    const started = await scene.start(args, {});
    const id = await started.id();
    const worker = await started.reached("map-00000.1");
    started.running.child!.kill("SIGKILL");
    await started.running.done;
    await ends(scene, id, "CANCELLED");
    await eventually(
      () => !isRunning(worker),
      10_000,
      () => "the worker of the cancelled job is there still",
    );
    scene.assertNothingBeside(started.output, false);
  });

  test("N9: a detached job goes on without a client, and over a restart", async () => {
    scene.gate.clear();
    scene.gate.hold("map-00000");
    const started = await scene.start([...args, "--detach"]);
    const id = await started.id();
    const said = await started.running.done;
    assert.equal(said.code, 0, said.stderr);
    assert.match(said.stdout, new RegExp(id));
    await started.reached("map-00000.1");
    await scene.cluster.restartCoordinator();
    scene.gate.openAll();
    await ends(scene, id, "SUCCEEDED");
    await scene.assertDone(started, expected);
  });

  test("N9: a submission whose answer is lost is made once", async (t) => {
    scene.gate.clear();
    const { port } = new URL(scene.cluster.url);
    const proxy = await TcpProxy.listen(() => Number(port));
    t.after(() => proxy.close());
    proxy.loseAnswerTo("POST /jobs ");
    const count = (await scene.jobs()).length;
    const started = await scene.start([...args, "--on", proxy.url]);
    await scene.assertDone(started, expected);
    assert.equal(proxy.isLosing, false, "no answer was lost");
    assert.equal((await scene.jobs()).length, count + 1);
  });

  test("a stop condition knows after it what maps had told before, those that had finished among them", async () => {
    const open = scene.path("open");
    const file = scene.file(
      "stops.ts",
      `import { existsSync } from "node:fs";
       import { count, generate, job } from "sheaf";
       export default job({
         input: generate({
           tasks: 2,
           async *records({ index }) {
             for (let at = 0; at < 100; at++) yield "x";
             while (index === 1) {
               await new Promise((resolve) => setTimeout(resolve, 20));
               if (existsSync(${JSON.stringify(open)})) yield "idle";
             }
           },
           until: ({ x }) => x === 200 && existsSync(${JSON.stringify(open)}),
         }),
         map(record: string, emit) { if (record === "x") emit("x", 1); },
         reduce: count(),
       });`,
    );
    const started = await scene.start([file, "-p", "1"]);
    await scene.finishedTasks(await started.id(), 1);
    await scene.cluster.restartCoordinator();
    writeFileSync(open, "");
    const { code, stderr } = await started.running.done;
    assert.equal(code, 0, stderr);
    assert.equal(readFileSync(join(started.output, "part-00000.tsv"), "utf8"), "x\t200\n");
  });

  test("agents keep nothing of jobs that are over", () => scene.assertForgotten());
});

/** Looks again in every turn of the loop: for what is over in a moment. */
async function nextTurns(isSo: () => boolean): Promise<void> {
  const endMs = performance.now() + 60_000;
  while (!isSo()) {
    assert.ok(performance.now() < endMs, "it did not happen");
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function ends(scene: Scene, id: string, state: string): Promise<void> {
  const isEnded = async (): Promise<boolean> =>
    ["SUCCEEDED", "FAILED", "CANCELLED"].includes((await scene.job(id)).state);
  await eventually(isEnded, 60_000, () => "the job does not end");
  const view = await scene.job(id);
  assert.equal(view.state, state, view.error?.report);
}
