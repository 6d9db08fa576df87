import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import type { AttemptView, NodeView } from "#src/protocol/job-view.js";
import { assertFenced } from "./late-report.js";
import type { OutputTree } from "./output-tree.js";
import { isRunning, listeningAddresses } from "./processes.js";
import { eventually } from "./real-cluster.js";
import { Scene, againOf, taskOf } from "./scene.js";

const maps = 6;

/*
 * Workers and agents that are killed, stopped or told to leave. `--attempts 1`: none of it is a failure of
 * the job.
 */
describe("a cluster whose workers and agents end", () => {
  let scene: Scene;
  let args: readonly string[];
  let once: readonly string[];
  let expected: OutputTree;
  before(async () => {
    scene = await Scene.open({ agents: 3, heartbeatMs: 1_000, leaseMs: 4_000 });
    args = [scene.gated, await scene.generated("text", "300KB"), "--mappers", `${maps}`, "-p", "3"];
    once = [...args, "--attempts", "1"];
    expected = await scene.oracle(args);
  });
  after(() => scene.close());

  test("N1: a worker killed in map: its attempt is lost, the task runs again", async () => {
    scene.gate.clear();
    scene.gate.hold("map-00002.1");
    const started = await scene.start(once);
    const id = await started.id();
    process.kill(await started.reached("map-00002.1"), "SIGKILL");
    await scene.assertDone(started, expected);
    const attempts = await scene.attempts(id);
    assert.deepEqual(againOf(attempts), { "map-00002": 2 });
    assert.deepEqual(
      attempts.filter((one) => taskOf(one) === "map-00002").map(({ state }) => state),
      ["LOST", "SUCCEEDED"],
    );
    assertToldWhy(attempts);
  });

  test("N2: a worker killed in reduce, half its output written: nothing of it is seen", async () => {
    scene.gate.clear();
    scene.gate.hold("reduce-00001.1.half");
    const started = await scene.start(once);
    const id = await started.id();
    const worker = await started.reached("reduce-00001.1.half");
    assert.equal(existsSync(started.output), false);
    process.kill(worker, "SIGKILL");
    await scene.assertDone(started, expected);
    assert.deepEqual(againOf(await scene.attempts(id)), { "reduce-00001": 2 });
  });

  test("N3: workers killed after their maps are done: no map runs again", async () => {
    scene.gate.clear();
    const reduces = ["reduce-00000.1", "reduce-00001.1", "reduce-00002.1"];
    scene.gate.hold(...reduces);
    const started = await scene.start(once);
    const id = await started.id();
    for (const reduce of reduces) process.kill(await started.reached(reduce), "SIGKILL");
    await scene.assertDone(started, expected);
    assert.deepEqual(againOf(await scene.attempts(id)), {
      "reduce-00000": 2,
      "reduce-00001": 2,
      "reduce-00002": 2,
    });
  });

  test("N15: a worker stopped for long is given up, and what it says later changes nothing", async () => {
    scene.gate.clear();
    scene.gate.hold("map-00003.1");
    const started = await scene.start([...args, "--attempts", "2", "--no-progress-timeout", "2s"]);
    const id = await started.id();
    const worker = await started.reached("map-00003.1");
    process.kill(worker, "SIGSTOP");
    scene.gate.open("map-00003.1");
    await scene.assertDone(started, expected);
    assert.equal(isRunning(worker), false, "the stopped worker is there still");
    const attempts = (await scene.attempts(id)).filter((one) => taskOf(one) === "map-00003");
    assert.equal(attempts.filter(({ state }) => state === "SUCCEEDED").length, 1);
    assert.notEqual(attempts[0]!.state, "SUCCEEDED");
    assertToldWhy(attempts);
  });

  test("N15: an agent stopped for longer than its lease: what it says later is refused, its workers end", async () => {
    scene.gate.clear();
    scene.gate.hold("map-00003.1", "commit");
    const started = await scene.start(once);
    const id = await started.id();
    const worker = await started.reached("map-00003.1");
    const agent = agentOf(scene, worker);
    const index = Number(agent.slice(1));
    const { incarnation } = await node(scene, agent);
    const stopped = [scene.cluster.agentPid(index), ...scene.cluster.workersOf(index)];
    for (const pid of stopped) process.kill(pid, "SIGSTOP");
    await eventually(
      async () => (await node(scene, agent)).state === "lost",
      20_000,
      () => "the agent is not given up",
    );
    scene.gate.open("map-00003.1");
    // The others do all of it.
    await started.reached("commit");
    const late = (await scene.attempts(id)).find((one) => one.agent === agent && isHeld(one))!;
    await assertFenced(scene.cluster, late);
    for (const pid of stopped) process.kill(pid, "SIGCONT");
    await eventually(
      async () => (await node(scene, agent)).incarnation > incarnation,
      20_000,
      () => "the agent did not join anew",
    );
    assert.equal(isRunning(worker), false, "a worker of the life that is over is there still");
    await assertFenced(scene.cluster, late);
    scene.gate.openAll();
    await scene.assertDone(started, expected);
    const attempts = await scene.attempts(id);
    const theirs = attempts.filter((one) => one.agent === agent && one.incarnation === incarnation);
    assert.ok(theirs.every(({ state, outputLost }) => state !== "SUCCEEDED" || outputLost !== null));
    assert.equal(attempts.filter((one) => isHeld(one) && one.state === "SUCCEEDED").length, 1);
    assertToldWhy(attempts);
  });

  test("N4, N5: an agent killed with finished map output: its maps run elsewhere, no process of it is left", async () => {
    scene.gate.clear();
    const halves = ["reduce-00000.half", "reduce-00001.half", "reduce-00002.half"];
    scene.gate.hold(...halves);
    const started = await scene.start(once);
    const id = await started.id();
    for (const task of ["reduce-00000", "reduce-00001", "reduce-00002"])
      await started.reached(`${task}.1.half`);
    const running = await scene.attempts(id);
    const of = (agent: string, phase: string): string[] =>
      running.filter((one) => one.agent === agent && one.attempt.phase === phase).map(taskOf);
    const [reduceOfZero, ...more] = of("a0", "reduce");
    assert.ok(reduceOfZero !== undefined && more.length === 0, "one reduce on each agent");
    const workers = scene.cluster.workersOf(0);
    const [address] = listeningAddresses(scene.cluster.agentPid(0));
    assert.ok(workers.length > 0 && address !== undefined);
    await scene.cluster.endAgent(0, "SIGKILL");
    await eventually(
      () => !workers.some(isRunning),
      10_000,
      () => `workers outlive their agent: ${workers.filter(isRunning).join(" ")}`,
    );
    await assertRefused(address);
    scene.gate.openAll();
    await scene.assertDone(started, expected);
    const attempts = await scene.attempts(id);
    // Reduces of the others had fetched what they needed.
    const twice = Object.fromEntries([...of("a0", "map"), reduceOfZero].map((task) => [task, 2]));
    assert.deepEqual(againOf(attempts), twice);
    const lost = attempts.filter(({ outputLost }) => outputLost !== null);
    assert.deepEqual(lost.map(taskOf).sort(), of("a0", "map").sort());
    assertToldWhy(attempts);
    await scene.cluster.startAgent(0);
  });

  test("N22: an agent that comes back in the middle of a job is another one", async () => {
    scene.gate.clear();
    scene.gate.hold("map-00005");
    const started = await scene.start(once);
    const id = await started.id();
    await scene.finishedTasks(id, maps - 1);
    const held = await started.reached("map-00005.1");
    const first = (await scene.attempts(id)).find((one) => one.agent !== agentOf(scene, held))!;
    const index = Number(first.agent.slice(1));
    const incarnation = (await node(scene, first.agent)).incarnation;
    await scene.cluster.endAgent(index, "SIGKILL");
    await scene.cluster.startAgent(index);
    assert.ok((await node(scene, first.agent)).incarnation > incarnation);
    scene.gate.openAll();
    await scene.assertDone(started, expected);
    const lost = (await scene.attempts(id)).filter(({ outputLost }) => outputLost !== null);
    assert.ok(lost.some((one) => taskOf(one) === taskOf(first)));
    assert.ok(lost.every((one) => one.agent === first.agent && one.incarnation === incarnation));
  });

  test("N25: SIGTERM to an agent: what runs is finished, then it leaves, and its outputs run again if needed", async () => {
    scene.gate.clear();
    scene.gate.hold("map-00001");
    const started = await scene.start(once);
    const id = await started.id();
    const worker = await started.reached("map-00001.1");
    const index = Number(agentOf(scene, worker).slice(1));
    const left = scene.cluster.endAgent(index, "SIGTERM");
    await eventually(
      async () => (await node(scene, `a${index}`)).state === "draining",
      10_000,
      () => "the agent does not drain",
    );
    scene.gate.openAll();
    await scene.assertDone(started, expected);
    assert.equal(await left, 0);
    // It had a task, finished it, and served its output until the job was over.
    assert.deepEqual(againOf(await scene.attempts(id)), {});
    await scene.cluster.startAgent(index);
  });

  test("agents keep nothing of jobs that are over", () => scene.assertForgotten());
});

function assertToldWhy(attempts: readonly AttemptView[]): void {
  assert.deepEqual(
    attempts.filter(({ state, cause }) => state === "RUNNING" || (state !== "SUCCEEDED" && !cause)),
    [],
  );
}

function isHeld({ attempt }: AttemptView): boolean {
  return attempt.phase === "map" && attempt.task === 3;
}

/** The agent that has this worker. */
function agentOf(scene: Scene, worker: number): string {
  const { cluster } = scene;
  const found = [0, 1, 2].find((index) => cluster.workersOf(index).includes(worker));
  assert.ok(found !== undefined, `${worker} is no worker of any agent`);
  return cluster.agentName(found);
}

async function node(scene: Scene, name: string): Promise<NodeView> {
  const { nodes } = await scene.cluster.get<{ nodes: NodeView[] }>("/nodes");
  return nodes.find(({ agent }) => agent === name)!;
}

async function assertRefused(address: string): Promise<void> {
  const port = Number.parseInt(address.split(":")[1]!, 16);
  await assert.rejects(fetch(`http://127.0.0.1:${port}/health`), "somebody still listens there");
}
