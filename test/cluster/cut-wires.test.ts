import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import type { NodeView } from "#src/protocol/job-view.js";
import type { OutputTree } from "./output-tree.js";
import { isRunning } from "./processes.js";
import { eventually } from "./real-cluster.js";
import type { Scene } from "./scene.js";
import { againOf, taskOf } from "./scene.js";
import { TcpProxy } from "./tcp-proxy.js";
import { Wires, deleteFile, flipBit, mapOutputsOf } from "./wires.js";

const maps = 6;
const leaseMs = 4_000;

describe("a cluster whose wires are cut and whose disks lie", () => {
  let scene: Scene;
  let wires: Wires;
  let args: readonly string[];
  let expected: OutputTree;
  before(async () => {
    ({ scene, wires } = await Wires.open({ agents: 3, heartbeatMs: 1_000, leaseMs }));
    const text = await scene.generated("text", "300KB");
    args = [scene.gated, text, "--mappers", `${maps}`, "-p", "3", "--attempts", "1"];
    expected = await scene.oracle(args);
  });
  beforeEach(() => scene.gate.clear());
  after(async () => {
    await scene.close();
    await wires.close();
  });

  const node = async (index: number): Promise<NodeView> => {
    const { nodes } = await scene.cluster.get<{ nodes: NodeView[] }>("/nodes");
    return nodes.find(({ agent }) => agent === scene.cluster.agentName(index))!;
  };
  const agentOf = (worker: number): number =>
    [0, 1, 2].find((index) => scene.cluster.workersOf(index).includes(worker))!;

  test("S6: an agent cut off from its coordinator for less than a lease: nothing happens", async () => {
    scene.gate.hold("map-00001");
    const started = await scene.start(args);
    const id = await started.id();
    const index = agentOf(await started.reached("map-00001.1"));
    const { incarnation } = await node(index);
    wires.joins[index]!.set("dead");
    await eventually(
      async () => (await node(index)).silentMs > leaseMs / 3,
      leaseMs,
      () => "the agent was not cut off",
    );
    scene.gate.openAll();
    wires.openAll();
    await scene.assertDone(started, expected);
    assert.deepEqual(againOf(await scene.attempts(id)), {});
    assert.equal((await node(index)).incarnation, incarnation);
  });

  test("N16: one cut off for longer is lost, and told so when it is back: nothing counts twice", async () => {
    scene.gate.hold("map-00001.1", "commit");
    const started = await scene.start(args);
    const id = await started.id();
    const worker = await started.reached("map-00001.1");
    const index = agentOf(worker);
    const { incarnation } = await node(index);
    wires.joins[index]!.set("dead");
    await eventually(
      async () => (await node(index)).state === "lost",
      4 * leaseMs,
      () => "the agent is not given up",
    );
    // The others do all of it.
    await started.reached("commit");
    scene.gate.open("map-00001.1");
    wires.openAll();
    await eventually(
      async () => (await node(index)).incarnation > incarnation,
      30_000,
      () => "the agent did not join anew",
    );
    assert.equal(isRunning(worker), false, "a worker of the life that is over is there still");
    scene.gate.openAll();
    await scene.assertDone(started, expected);
    const attempts = await scene.attempts(id);
    const first = attempts.find((one) => taskOf(one) === "map-00001")!;
    assert.notEqual(first.state, "SUCCEEDED");
    const lost = attempts.filter(({ state, outputLost }) => state === "LOST" || outputLost !== null);
    assert.ok(lost.every((one) => one.incarnation === incarnation && one.agent === `a${index}`));
  });

  test("S6: a client whose connections are cut follows its job as if nothing were", async (t) => {
    const { port } = new URL(scene.cluster.url);
    const proxy = await TcpProxy.listen(() => Number(port));
    t.after(() => proxy.close());
    scene.gate.hold("map-00002", "reduce-00001");
    const started = await scene.start([...args, "--on", proxy.url]);
    const id = await started.id();
    await started.reached("map-00002.1");
    proxy.cut();
    scene.gate.open("map-00002");
    await started.reached("reduce-00001.1");
    proxy.cut();
    scene.gate.openAll();
    await scene.assertDone(started, expected);
    assert.deepEqual(againOf(await scene.attempts(id)), {});
  });

  test("S3: connections between agents cut in the middle: fetched again, no record twice", async () => {
    for (const wire of wires.shuffles) wire.cutNext(2, 1_500);
    const started = await scene.start(args);
    const id = await started.id();
    await scene.assertDone(started, expected);
    const left = wires.shuffles.map((wire) => wire.cutsLeft);
    assert.ok(
      left.some((count) => count < 2),
      `no connection was cut: ${left.join(" ")}`,
    );
    for (const wire of wires.shuffles) wire.cutNext(0, 0);
    assert.deepEqual(againOf(await scene.attempts(id)), {});
  });

  test("S6: an agent that no other one reaches: its maps run on others", async () => {
    scene.gate.hold("map-00005");
    const started = await scene.start(args);
    const id = await started.id();
    await scene.finishedTasks(id, maps - 1);
    const [first] = await scene.attempts(id);
    wires.shuffles[Number(first!.agent.slice(1))]!.set("refuses");
    scene.gate.openAll();
    await scene.assertDone(started, expected);
    wires.openAll();
  });

  const damages: readonly [row: string, what: string, how: (path: string) => void][] = [
    ["S1", "deleted", deleteFile],
    ["S2", "changed in one bit", (path) => flipBit(path, 0.4)],
  ];
  for (const [row, what, damage] of damages) {
    test(`${row}: a map output ${what} before it is fetched: its map runs again`, async () => {
      // Nothing can be fetched before the damage is done.
      for (const wire of wires.shuffles) wire.set("dead");
      scene.gate.hold("map-00005");
      const started = await scene.start(args);
      const id = await started.id();
      await scene.finishedTasks(id, maps - 1);
      const damaged = [0, 1, 2].flatMap((index) => mapOutputsOf(scene.cluster, index));
      assert.equal(damaged.length, maps - 1, damaged.join("\n"));
      for (const path of damaged.slice(0, 2)) damage(path);
      scene.gate.openAll();
      wires.openAll();
      await scene.assertDone(started, expected);
      const attempts = await scene.attempts(id);
      const lost = attempts.filter(({ outputLost }) => outputLost !== null);
      const names = damaged.slice(0, 2).map((path) => /map-\d+/.exec(path)![0]);
      const told = lost.map((one) => `${taskOf(one)}: ${one.outputLost}`).join("\n");
      // An agent that several reads failed from may be barred for the job, and all it holds is made again.
      const unread = lost.filter(({ outputLost }) => !outputLost!.includes("is barred after"));
      const again = new Set(lost.map(taskOf));
      assert.ok(unread.length > 0 && names.every((name) => again.has(name)), told);
      assert.ok(
        unread.map(taskOf).every((name) => names.includes(name)),
        told,
      );
      // A reduce that could not read is lost, which costs no attempt; a map is not to blame either.
      assert.deepEqual(
        attempts.filter(({ state }) => state === "FAILED"),
        [],
      );
    });
  }

  test("agents keep nothing of jobs that are over", () => scene.assertForgotten());
});
