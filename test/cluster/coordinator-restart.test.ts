import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { BUCKET, s3Missing, startS3, type S3Server } from "../storage/s3-server.js";
import { toldOf, type OutputTree } from "./output-tree.js";
import { isRunning } from "./processes.js";
import { eventually } from "./real-cluster.js";
import { Scene, againOf, taskOf } from "./scene.js";
import { storedIsKnown } from "./stored-outputs.js";
import { TcpProxy } from "./tcp-proxy.js";

const missing = s3Missing();
const maps = 8;
const reduces = 4;
const names = (phase: string, count: number, from = 0): string[] =>
  Array.from({ length: count - from }, (_, task) => `${phase}-0000${from + task}`);
const tasks = [...names("map", maps), ...names("reduce", reduces)];

describe("a coordinator that is killed", () => {
  let scene: Scene;
  let args: readonly string[];
  let expected: OutputTree;
  let s3: S3Server | null = null;
  let web: Server;
  before(async () => {
    if (missing === null) s3 = await startS3();
    // Coordinator, agents and clients find it there.
    Object.assign(process.env, s3?.env());
    web = await startWeb();
    const roots = ["/", `s3://${BUCKET}/open/`, `${urlOf(web)}in/`].flatMap((root) => ["--root", root]);
    scene = await Scene.open({
      agents: 2,
      heartbeatMs: 1_000,
      leaseMs: 4_000,
      coordinatorFlags: roots,
      agentFlags: () => [...roots, "--allow-address", "127.0.0.1"],
    });
    args = [scene.gated, await scene.generated("text", "400KB"), "--mappers", `${maps}`, "-p", `${reduces}`];
    expected = await scene.oracle(args);
  });
  after(async () => {
    await scene.close();
    for (const name of Object.keys(s3?.env() ?? {})) delete process.env[name];
    web.closeAllConnections();
    web.close();
    await s3?.close();
  });

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
    assert.ok(ids.length >= 5);
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
       import { scheduler } from "node:timers/promises";
       import { count, generate, job } from "sheaf";
       export default job({
         input: generate({
           tasks: 2,
           async *records({ index }) {
             for (let at = 0; at < 100; at++) yield "x";
             while (index === 1) {
               await scheduler.wait(20);
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

  /** What lies below an output in the bucket: its files, and no uploads or names of sheaf's own. */
  const stored = async (prefix: string): Promise<OutputTree> => {
    assert.deepEqual(await s3!.uploads(prefix), []);
    const files = (await s3!.keys(prefix)).map(async (key): Promise<[string, string]> => [
      key.slice(prefix.length),
      toldOf(await s3!.get(key)),
    ]);
    return Object.fromEntries((await Promise.all(files)).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  };

  test(
    "in a commit into a storage, of what came from a web server: it is carried out once",
    {
      skip: missing ?? false,
    },
    async () => {
      scene.gate.clear();
      scene.gate.hold("commit");
      const [job, text, ...more] = args;
      served = readFileSync(text!);
      const output = `s3://${BUCKET}/open/counts/`;
      const words = ["run", job!, `${urlOf(web)}in/words.txt`, ...more, "--no-speculation", "-o", output];
      const before = new Set((await scene.jobs()).map((one) => one.job));
      const running = scene.cluster.run(words);
      let id: string | undefined;
      await eventually(
        async () => {
          id = (await scene.jobs()).find((one) => !before.has(one.job))?.job;
          return scene.gate.isReached("commit");
        },
        60_000,
        () => `nobody came to the commit: ${scene.gate.passed().join(" ")}`,
      );
      // All results are there, under names that nobody lists.
      assert.equal(
        (await s3!.keys("open/counts/")).filter((key) => /_sheaf-part-/.test(key)).length,
        reduces,
      );
      await scene.cluster.restartCoordinator();
      scene.gate.openAll();
      const result = await running;
      assert.equal(result.code, 0, result.stderr);
      assert.deepEqual(await stored("open/counts/"), expected);
      assert.equal((await scene.job(id!)).output, output);
      // Nothing of it came by way of the coordinator.
      assert.equal(existsSync(join(scene.cluster.state, "jobs", id!, "results")), false);
      const again = await scene.cluster.run(words);
      assert.equal(again.code, 1);
      assert.match(again.stderr, /\[OUTPUT_EXISTS\]/);
      assert.deepEqual(await stored("open/counts/"), expected);
    },
  );

  test(
    "runs with --once and --incremental, and pipelines, know what lies in a storage as they know directories",
    { skip: missing ?? false },
    () => storedIsKnown(scene, s3!, stored),
  );

  test("a job that fails leaves nothing in a storage", { skip: missing ?? false }, async () => {
    const failing = scene.file(
      "failing.ts",
      `import { job, text } from "sheaf";
      export default job({
        input: text(),
        map: (line) => [[line.length % 8, 1]],
        reduce(key, values) {
          if (key === 5) throw new Error("not this one");
          return key;
        },
      });`,
    );
    const words = [
      "run",
      failing,
      args[1]!,
      "-p",
      "4",
      "--attempts",
      "1",
      "-o",
      `s3://${BUCKET}/open/failed/`,
    ];
    const result = await scene.cluster.run(words);
    assert.equal(result.code, 1, result.stderr);
    assert.match(result.stderr, /not this one/);
    assert.deepEqual(await stored("open/failed/"), {});
    // Into what is not open the agents write nothing: the client does.
    const own = `s3://${BUCKET}/closed/`;
    const [file, text, ...more] = args;
    const fetched = await scene.cluster.run(["run", file!, text!, ...more, "-o", own]);
    assert.equal(fetched.code, 0, fetched.stderr);
    assert.deepEqual(await stored("closed/"), expected);
    const detached = await scene.cluster.run(["submit", file!, text!, "-o", own, "--overwrite"]);
    assert.equal(detached.code, 2);
    assert.match(detached.stderr, /nobody will fetch it/);
  });

  test("an address outside of the roots is not read", async () => {
    for (const place of ["secret.txt", "in/../secret.txt", "in/%2e%2e/secret.txt"]) {
      const result = await scene.cluster.run([
        "run",
        args[0]!,
        urlOf(web) + place,
        "-o",
        scene.path("refused"),
      ]);
      assert.equal(result.code, 1, result.stderr);
      assert.match(result.stderr, /may not read .* \[FORBIDDEN\]/);
    }
    const elsewhere = urlOf(web).replace("127.0.0.1", "localhost");
    const other = await scene.cluster.run(["run", args[0]!, `${elsewhere}in/a`, "-o", scene.path("refused")]);
    assert.match(other.stderr, /\[FORBIDDEN\]/);
    assert.deepEqual(asked, []);
  });

  test("agents keep nothing of jobs that are over", () => scene.assertForgotten());
});

let served = Buffer.alloc(0);
/** What was asked for outside of /in/. */
const asked: string[] = [];

/** One file below /in/, in ranges, as web servers have it. */
async function startWeb(): Promise<Server> {
  const server = createServer((request, response) => {
    if (!request.url!.startsWith("/in/")) asked.push(request.url!);
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
    const headers = { etag: '"1"', "accept-ranges": "bytes" };
    const start = Number(from ?? 0);
    const end = Math.min(served.length, to === undefined || to === "" ? Infinity : Number(to) + 1);
    const range = from === undefined ? {} : { "content-range": `bytes ${start}-${end - 1}/${served.length}` };
    response.writeHead(from === undefined ? 200 : 206, {
      ...headers,
      ...range,
      "content-length": end - start,
    });
    if (request.method === "HEAD") response.end();
    else response.end(served.subarray(start, end));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

function urlOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

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
