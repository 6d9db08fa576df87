import assert from "node:assert/strict";
import { realpathSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, before, beforeEach, describe, test } from "node:test";
import type { AttemptView, NodeView } from "#src/protocol/job-view.js";
import { HostNetwork, makeTokens } from "./host-network.js";
import { assertFenced } from "./late-report.js";
import type { OutputTree } from "./output-tree.js";
import { isRunning } from "./processes.js";
import { eventually } from "./real-cluster.js";
import type { Started } from "./scene.js";
import { Scene, againOf, taskOf } from "./scene.js";
import { mapOutputsOf } from "./wires.js";

const maps = 6;
const leaseMs = 4_000;
const noNetwork = HostNetwork.whyNot();

/*
 * Coordinator and first agent on one host, the other agents on hosts of their own. A cut is silent: what is
 * sent gets lost, and nobody is told.
 */
describe("a cluster on hosts of their own", { skip: noNetwork ?? false }, () => {
  let network: HostNetwork;
  let scene: Scene;
  let args: readonly string[];
  let expected: OutputTree;
  before(async () => {
    network = HostNetwork.open(3);
    const listen = (host: number): string[] => {
      return ["--host", network.address(host), "--root", realpathSync(tmpdir())];
    };
    const hostOf = (name: string): number => Number(/^agent-(\d)$/.exec(name)?.[1] ?? 0);
    scene = await Scene.open({
      agents: 3,
      heartbeatMs: 500,
      leaseMs,
      startedBy: (name) => network.inside(hostOf(name)),
      coordinatorFlags: listen(0),
      agentFlags: listen,
      prepare: makeTokens,
      dispatcher: (url) => network.dispatcherTo(0, Number(new URL(url).port)),
    });
    args = [scene.gated, await scene.generated("text", "300KB")];
    args = [...args, "--mappers", `${maps}`, "-p", "3", "--attempts", "1"];
    expected = await scene.oracle(args);
  });
  beforeEach(() => scene.gate.clear());
  after(async () => {
    network?.heal();
    await scene?.close();
    await network?.close();
  });

  const node = async (index: number): Promise<NodeView> => {
    const { nodes } = await scene.cluster.get<{ nodes: NodeView[] }>("/nodes");
    return nodes.find(({ agent }) => agent === `a${index}`)!;
  };

  interface Busy {
    readonly started: Started;
    readonly id: string;
    /** By agent: the worker that stands in a map. */
    readonly workers: readonly number[];
    /** By agent: that map's attempt. */
    readonly attempts: readonly AttemptView[];
  }

  /** A job of which every agent runs a map, and has perhaps finished one; they stand there until opened. */
  const begin = async (): Promise<Busy> => {
    const points = [3, 4, 5].map((task) => `map-0000${task}.1`);
    scene.gate.hold(...points, "commit");
    const started = await scene.start(args);
    const id = await started.id();
    const pids = await Promise.all(points.map((point) => started.reached(point)));
    const attempts = (await scene.attempts(id)).filter(({ state }) => state === "RUNNING");
    const agents = [0, 1, 2];
    return {
      started,
      id,
      workers: agents.map((index) => scene.cluster.workersOf(index).find((worker) => pids.includes(worker))!),
      attempts: agents.map((index) => attempts.find(({ agent }) => agent === `a${index}`)!),
    };
  };

  const pointOf = ({ attempt }: AttemptView): string => `map-0000${attempt.task}.1`;

  /** The job goes on without the agents; they finish what they have, come back with it, and are fenced. */
  const goesOnWithout = async (lost: readonly number[], { started, id, workers, attempts }: Busy) => {
    const [first] = await Promise.all(lost.map((index) => node(index)));
    const lives = new Map(
      await Promise.all(lost.map(async (i) => [i, (await node(i)).incarnation] as const)),
    );
    scene.gate.open(...attempts.filter((_, index) => !lost.includes(index)).map(pointOf));
    await eventually(
      async () => (await Promise.all(lost.map(node))).every(({ state }) => state === "lost"),
      4 * leaseMs,
      () => `the agents are not given up; the first is ${JSON.stringify(first)}`,
    );
    // All of it is done by the others.
    await started.reached("commit");
    for (const index of lost) {
      const late = attempts[index]!;
      scene.gate.open(pointOf(late));
      await eventually(
        () => mapOutputsOf(scene.cluster, index).some((path) => path.includes(`/${pointOf(late)}/`)),
        20_000,
        () => `the agent that is cut off does not finish ${pointOf(late)}`,
      );
      await assertFenced(scene.cluster, late);
    }
    network.heal();
    for (const index of lost) {
      await eventually(
        async () => (await node(index)).incarnation > lives.get(index)!,
        30_000,
        () => `a${index} did not join anew`,
      );
      assert.equal(isRunning(workers[index]!), false, "a worker of the life that is over is there still");
      await assertFenced(scene.cluster, attempts[index]!);
    }
    scene.gate.openAll();
    await scene.assertDone(started, expected);
    const all = await scene.attempts(id);
    const counts = ({ state, outputLost }: AttemptView): boolean =>
      state === "SUCCEEDED" && outputLost === null;
    const theirs = all.filter(
      (one) => lives.get(Number(one.agent.slice(1))) === one.incarnation && counts(one),
    );
    assert.deepEqual(theirs.map(taskOf), [], "something of the lives that are over counts");
    assert.deepEqual(
      all.filter(({ state }) => state === "FAILED"),
      [],
    );
  };

  test("S6: a host cut off for less than a lease: nothing happens", async () => {
    const { started, id, attempts } = await begin();
    const { incarnation } = await node(2);
    assert.equal(new URL(scene.cluster.url).hostname, network.address(0));
    for (const index of [0, 1, 2]) {
      assert.equal(new URL((await node(index)).address).hostname, network.address(index));
      assert.ok(attempts[index] !== undefined, `a${index} runs nothing`);
    }
    network.cutOff(2);
    await eventually(
      async () => (await node(2)).silentMs > leaseMs / 4,
      leaseMs,
      () => "the host was not cut off",
    );
    network.heal();
    scene.gate.openAll();
    await scene.assertDone(started, expected);
    assert.deepEqual(againOf(await scene.attempts(id)), {});
    assert.equal((await node(2)).incarnation, incarnation);
  });

  test("N16, N15: a host cut off in the middle of a job: it ends without it, and its late reports are refused", async () => {
    const busy = await begin();
    network.cutOff(2);
    await goesOnWithout([2], busy);
  });

  test("S6: one whose words get lost, and one that gets no answers: both are given up, and told so", async () => {
    const busy = await begin();
    network.drop(1, 0);
    network.drop(0, 2);
    await goesOnWithout([1, 2], busy);
  });

  test("agents keep nothing of jobs that are over", () => scene.assertForgotten());
});
