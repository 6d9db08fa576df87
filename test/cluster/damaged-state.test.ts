import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { seededRandom } from "#src/base/random.js";
import type { RunEvent } from "#src/engine/events.js";
import { packageRoot } from "../cli/support.js";
import { namesBelow } from "./files-below.js";
import { Gate, gatedWordCount } from "./gate.js";
import { treeOf } from "./output-tree.js";
import type { OutputTree } from "./output-tree.js";
import { eventually } from "./real-cluster.js";
import { Scene } from "./scene.js";
import type { Started } from "./scene.js";

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

const seed = Number(process.env["SHEAF_DAMAGE_SEED"] ?? 1);

describe(`a coordinator whose state has lost what it had acknowledged (seed ${seed})`, () => {
  const random = seededRandom(seed);
  let scene: Scene;
  let input: string;
  let expected: OutputTree;
  before(async () => {
    scene = await Scene.open({ agents: 2, slots: () => 2, heartbeatMs: 1_000, leaseMs: 4_000 });
    input = await scene.generated("text", "100KB");
    expected = partsOf(await scene.oracle([scene.gated, input, "-p", "2"]));
  });
  after(() => scene.close());

  const file = (ending = ""): string => join(scene.cluster.state, `coordinator.db${ending}`);
  const cut = (share: number) => (): void => {
    const { size } = statSync(file("-wal"));
    truncateSync(file("-wal"), Math.floor(size * share));
  };
  /** Refused, and told what to do; which is done. */
  const refusedAnd = async (flip: () => void, moved: readonly string[]): Promise<void> => {
    flip();
    const { code, stderr } = await scene.localAnyhow([
      "coordinator",
      "--port",
      "0",
      "--state",
      scene.cluster.state,
    ]);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /STATE_CORRUPT/);
    assert.match(stderr, /move coordinator\.db and coordinator\.db-wal out of the state directory/);
    for (const ending of moved) renameSync(file(ending), scene.path(`moved${ending}`));
  };
  const flipIn = (ending: string) => (): void => {
    const bytes = readFileSync(file(ending));
    // Not in the last transaction, which would count as cut off.
    const at = 100 + random.below(Math.floor(bytes.length / 2));
    bytes.fill(0x5a, at, at + 5_000);
    writeFileSync(file(ending), bytes);
  };

  type Damage = readonly [what: string, signal: NodeJS.Signals, damage: () => void | Promise<void>];
  const damages: readonly Damage[] = [
    ["cut in its second half", "SIGKILL", cut(0.5 + random.next() * 0.45)],
    ["damaged, and moved away as told", "SIGKILL", () => refusedAnd(flipIn("-wal"), ["-wal"])],
    ["of a database that is damaged and moved away", "SIGTERM", () => refusedAnd(flipIn(""), [""])],
  ];
  /** With SHEAF_DAMAGES=all, as .ci/run has it: each takes half a minute of a processor. */
  const more: readonly Damage[] = [
    ["cut in its first half", "SIGKILL", cut(0.1 + random.next() * 0.4)],
    ["missing", "SIGKILL", () => rmSync(file("-wal"))],
  ];

  /** A job of its own gate, which holds it there. */
  const heldAt = async (name: string, point: string, reached = point): Promise<Held> => {
    const gate = new Gate(scene.path(`${name}-gate`));
    gate.clear();
    if (point !== "") gate.hold(point);
    const job = scene.file(`${name}.ts`, gatedWordCount(gate));
    const args = [job, input, "--mappers", "2", "-p", "2"];
    const started = await scene.start(args);
    const id = await started.id();
    if (point === "") await started.running.done;
    else
      await eventually(
        () => gate.isReached(reached),
        20_000,
        () => `nobody came to ${reached}: ${gate.passed().join(" ")}`,
      );
    return { id, args, gate, started };
  };

  /** The job is right, or told as lost where its client and others look; and can be run again. */
  const assertRightOrLost = async ({ id, args, started }: Held, isRunAgain: boolean): Promise<string> => {
    const { code, stderr } = await started.running.done;
    const { output } = started;
    const view = await scene.job(id);
    if (view.state === "SUCCEEDED") {
      assert.equal(code, 0, stderr);
      assert.deepEqual(partsOf(treeOf(output)), expected);
      return "right";
    }
    assert.equal(view.state, "FAILED");
    assert.equal(code, 1, stderr);
    assert.equal(view.error?.code, "STATE_CORRUPT", JSON.stringify(view.error));
    assert.match(stderr, /the coordinator's state was damaged, and the job is lost/);
    assert.match(scene.cluster.log("coordinator"), new RegExp(`job ${id} is lost: `));
    assert.equal(readEvents(id).at(-1)?.kind, "job-finished");
    const beside = `.${output.slice(output.lastIndexOf("/") + 1)}.`;
    const left = (): string[] => readdirSync(join(output, "..")).filter((name) => name.startsWith(beside));
    await eventually(
      () => left().length === 0,
      20_000,
      () => `what the job left is still there: ${namesBelow(join(output, "..", left()[0]!)).join(" ")}`,
    );
    if (existsSync(output)) assert.deepEqual(partsOf(treeOf(output)), expected);
    if (!isRunAgain && !existsSync(output)) return "lost";
    const again = await scene.cluster.run([
      "run",
      ...args,
      "-o",
      output,
      ...(existsSync(output) ? ["--overwrite"] : []),
    ]);
    assert.equal(again.code, 0, again.stderr);
    assert.deepEqual(partsOf(treeOf(output)), expected);
    return "lost";
  };
  const readEvents = (id: string): RunEvent[] =>
    readFileSync(join(scene.cluster.state, "jobs", id, "events.jsonl"), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as RunEvent);

  for (const [what, signal, damage] of process.env["SHEAF_DAMAGES"] === "all"
    ? [...damages, ...more]
    : damages) {
    test(`S11: its log is ${what}: each job is right or told as lost, nothing is left`, async (t) => {
      // All that is damaged is of these jobs.
      await scene.cluster.endCoordinator("SIGTERM");
      await scene.cluster.startCoordinator();
      const ended = await heldAt("ended", "");
      const before = await scene.job(ended.id);
      const held = [
        await heldAt("committing", "commit"),
        await heldAt("reducing", "reduce-00001.half", "reduce-00001.1.half"),
        await heldAt("mapping", "map-00001", "map-00001.1"),
      ];
      await scene.cluster.endCoordinator(signal);
      await damage();
      await scene.cluster.startCoordinator();
      for (const { gate } of held) gate.openAll();
      const outcomes: string[] = [];
      for (const one of held) outcomes.push(await assertRightOrLost(one, !outcomes.includes("lost")));
      t.diagnostic(`committing, reducing, mapping: ${outcomes.join(", ")}`);
      assert.match(scene.cluster.log("coordinator"), /the coordinator's state lacks its last \d+ writes/);
      // What had ended has ended as it had, and its output is as it was.
      assert.deepEqual(await scene.job(ended.id), before);
      for (const [index, { id, started }] of held.entries()) {
        scene.assertNothingBeside(started.output, existsSync(started.output));
        const said = readEvents(id).some(
          (event) => event.kind === "warning" && event.message.includes("state lacks its last"),
        );
        assert.equal(said, outcomes[index] === "right", `the history of ${id}`);
      }
      scene.assertNothingBeside(ended.started.output, true);
      assert.deepEqual(partsOf(treeOf(ended.started.output)), expected);
      await scene.assertForgotten();
    });
  }
});

/** _SUCCESS names the job, which has another name in each place. */
function partsOf(tree: OutputTree): OutputTree {
  return Object.fromEntries(Object.entries(tree).filter(([name]) => name !== "_SUCCESS"));
}

interface Held {
  readonly id: string;
  readonly args: readonly string[];
  readonly gate: Gate;
  readonly started: Started;
}
