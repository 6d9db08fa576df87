import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { packageRoot } from "../cli/support.js";
import { Scene } from "./scene.js";

describe("the disk under a coordinator and its agents", () => {
  let scene: Scene;
  let args: readonly string[];
  before(async () => {
    scene = await Scene.open({ agents: 1, slots: () => 2, heartbeatMs: 1_000, leaseMs: 4_000 });
    args = [scene.gated, await scene.generated("text", "100KB"), "--mappers", "4", "-p", "2"];
  });
  after(() => scene.close());

  const database = (ending = ""): string => join(scene.cluster.state, `coordinator.db${ending}`);
  const refused = async (): Promise<string> => {
    const { state } = scene.cluster;
    const result = await scene.localAnyhow(["coordinator", "--port", "0", "--state", state]);
    assert.equal(result.code, 1, result.stderr);
    assert.match(result.stderr, /\[STATE_CORRUPT\]/);
    return result.stderr;
  };

  test("S11: a log that is cut at its end: what was acknowledged before is there", async () => {
    const expected = await scene.oracle(args);
    scene.gate.clear();
    scene.gate.hold("reduce-00001");
    const started = await scene.start(args);
    const id = await started.id();
    await started.reached("reduce-00001.1");
    await scene.finishedTasks(id, 5);
    await scene.cluster.endCoordinator("SIGKILL");
    const log = database("-wal");
    assert.ok(existsSync(log) && statSync(log).size > 10_000, "there is no log to cut");
    // Within the last page: a transaction that was being written when the power went.
    truncateSync(log, statSync(log).size - 1_000);
    await scene.cluster.startCoordinator();
    scene.gate.openAll();
    await scene.assertDone(started, expected);
  });

  test("S11: damage in the middle of the log or the database: refused, naming the file and the place", async () => {
    // After SIGKILL all is in the log, after SIGTERM in the database.
    for (const [signal, ending] of [
      ["SIGKILL", "-wal"],
      ["SIGTERM", ""],
    ] as const) {
      await scene.cluster.endCoordinator(signal);
      const path = database(ending);
      const whole = readFileSync(path);
      const damaged = Buffer.from(whole);
      damaged.fill(0x5a, Math.floor(whole.length / 3), Math.floor((whole.length * 2) / 3));
      writeFileSync(path, damaged);
      const said = await refused();
      assert.ok(said.includes(path), said);
      assert.match(said, /byte \d+|page \d+|tree|frame/i);
      writeFileSync(path, whole);
      await scene.cluster.startCoordinator();
    }
    const [job] = await scene.jobs();
    assert.equal(job?.state, "SUCCEEDED");
  });

  test("S9: an agent whose disk is full: its tasks run on others, and it says why", async (t) => {
    const state = scene.cluster.agentState(1);
    mkdirSync(state, { recursive: true });
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=600k,mode=700", "tmpfs", state], { stdio: "ignore" });
    } catch {
      t.skip("no file system can be mounted here");
      return;
    }
    try {
      await scene.cluster.startAgent(1);
      const sort = join(packageRoot, "examples", "sort.ts");
      const lines = [sort, await scene.generated("text", "6MB"), "--mappers", "8", "-p", "2"];
      const expected = await scene.oracle(lines);
      const started = await scene.start(lines);
      const id = await started.id();
      await scene.assertDone(started, expected);
      const failed = (await scene.attempts(id)).filter(
        ({ state: how }) => how === "FAILED" || how === "LOST",
      );
      assert.ok(failed.length > 0, "the disk was not full");
      for (const { agent, cause } of failed) {
        assert.equal(agent, "a1");
        assert.match(cause!, /no space|full|ENOSPC/i);
      }
    } finally {
      await scene.cluster.endAgent(1, "SIGKILL");
      execFileSync("umount", ["-l", state]);
    }
  });
});
