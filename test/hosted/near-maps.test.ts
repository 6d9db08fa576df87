import assert from "node:assert/strict";
import { realpathSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, before, suite, test } from "node:test";
import { HostNetwork, makeTokens } from "../cluster/host-network.js";
import { Scene } from "../cluster/scene.js";
import { javaMissing, onlyWithEngines } from "../kit/jars.ts";
import { type SpreadHdfs, spreadHdfs } from "../storage/hdfs/spread.ts";

const skip =
  onlyWithEngines("WHERE MAPS OVER HDFS RUN") ??
  javaMissing("HDFS ON HOSTS OF ITS OWN", "cluster") ??
  HostNetwork.whyNot() ??
  false;

/* NameNode and coordinator on one host; on each of two others a DataNode, and an agent of two slots. */
suite("maps of a cluster over a real HDFS run where their input lies", { skip }, () => {
  let network: HostNetwork;
  let hdfs: SpreadHdfs;
  let scene: Scene;
  before(async () => {
    network = HostNetwork.open(3);
    hdfs = await spreadHdfs(network, [1, 2]);
    const hostOf = (name: string): number => Number(/^agent-(\d)$/.exec(name)?.[1] ?? -1) + 1;
    const roots = [
      realpathSync(tmpdir()),
      `webhdfs://${network.address(0)}:9870/`,
      `hdfs://${network.address(0)}:8020/`,
    ];
    const listen = (host: number): string[] => [
      "--host",
      network.address(host),
      ...roots.flatMap((root) => ["--root", root]),
    ];
    scene = await Scene.open({
      agents: 2,
      slots: () => 2,
      heartbeatMs: 500,
      leaseMs: 20_000,
      startedBy: (name) => network.inside(hostOf(name)),
      coordinatorFlags: listen(0),
      agentFlags: (index) => [...listen(index + 1), "--allow-address", "10.77.0.0/16"],
      prepare: makeTokens,
      dispatcher: (url) => network.dispatcherTo(0, Number(new URL(url).port)),
    });
  });
  after(async () => {
    await scene?.close();
    await hdfs?.close();
    await network?.close();
  });

  /** A run over four files, each of which lies on the host of that number; who ran what, and what is said. */
  const ran = async (
    address: string,
    hosts: readonly number[],
  ): Promise<{ agents: string[]; said: string }> => {
    const directory = `/${hosts.join("")}`;
    for (const [i, host] of hosts.entries())
      hdfs.put(host, `${directory}/${i}.txt`, `word${i}\n`.repeat(100));
    const job = scene.file(
      "count.ts",
      `import { count, job, text } from "sheaf"; export default job({ input: text(), map: (w) => [[w, 1]], reduce: count() });`,
    );
    const started = await scene.start([job, address + directory, "--mappers", "4", "-p", "1"]);
    const id = await started.id();
    const { code, stderr } = await started.running.done;
    assert.equal(code, 0, stderr);
    const maps = (await scene.attempts(id)).filter(({ attempt }) => attempt.phase === "map");
    const agents = maps.toSorted((a, b) => a.attempt.task - b.attempt.task).map(({ agent }) => agent);
    const { stdout } = await scene.cluster.run(["show", id]);
    return { agents, said: /^.*maps were local.*$/m.exec(stdout)?.[0] ?? stdout };
  };

  test("all of them, where there are slots; `sheaf show` says so", async () => {
    // In the order of neither the slots nor the agents.
    const { agents, said } = await ran(`webhdfs://${network.address(0)}:9870`, [2, 1, 1, 2]);
    assert.deepEqual(agents, ["a1", "a0", "a0", "a1"]);
    assert.match(said, /4 of 4 maps were local/);
  });

  test("as many as there are slots, and the others elsewhere", async () => {
    const { agents, said } = await ran(`hdfs://${network.address(0)}:8020`, [2, 2, 2, 2]);
    assert.deepEqual(agents.toSorted(), ["a0", "a0", "a1", "a1"]);
    assert.match(said, /2 of 4 maps were local/);
  });
});
