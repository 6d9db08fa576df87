import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { sliceTarget } from "#src/exchange/slice-protocol.js";
import { run } from "#src/index.js";
import { answerHeaders } from "#src/security/answer-headers.js";
import { startSheaf, tempDir } from "../cli/support.js";
import type { RunningSheaf } from "../cli/support.js";
import { waitFor } from "../kit/wait.js";
import { startCoordinator } from "./coordinator-process.js";
import type { CoordinatorProcess } from "./coordinator-process.js";
import { ask } from "./http-support.js";
import { listeners } from "./listeners.js";
import { traversals } from "./traversals.js";

const secrets = { AWS_SECRET_ACCESS_KEY: "hunter2-hunter2", DB_PASSWORD: "hunter2-hunter2" };

/** A job that looks around in its worker; its second task waits for the gate to be opened. */
const spy = (mark: string, gate: string): string => `
  import { appendFileSync, existsSync } from "node:fs";
  import inspector from "node:inspector";
  import { generate, job, sum, tsv } from "sheaf";
  appendFileSync(${JSON.stringify(mark)}, process.pid + "\\n");
  export default job({
    name: "$(touch pwned) \`touch pwned\`; touch pwned | touch pwned\\n",
    input: generate({ tasks: 2, *records(ctx) { yield ctx.index; } }),
    async map(task, emit) {
      const { env, argv, execArgv } = process;
      emit("seen " + JSON.stringify({ env, argv, execArgv, inspector: inspector.url() ?? null }), 1);
      while (task === 1 && !existsSync(${JSON.stringify(gate)})) await new Promise((r) => setTimeout(r, 20));
    },
    reduce: sum(),
    output: tsv(),
  });`;

async function startAgent(t: TestContext, coordinator: CoordinatorProcess): Promise<Agent> {
  const state = join(tempDir(t), "agent");
  const join_ = ["--join", `http://127.0.0.1:${coordinator.port}`, "--name", "node1", "--slots", "4"];
  const sheaf = startSheaf(["agent", ...join_, "--state", state], {
    env: { ...secrets, SHEAF_TOKEN_FILE: join(coordinator.state, "agent.token") },
    shell: "export NODE_OPTIONS=--inspect=127.0.0.1:0; ",
    cwd: tempDir(t),
  });
  let said = "";
  sheaf.child.stdout!.on("data", (text: string) => (said += text));
  sheaf.child.stderr!.on("data", (text: string) => (said += text));
  t.after(async () => {
    sheaf.child.kill("SIGKILL");
    await sheaf.done.catch(() => undefined);
  });
  await sheaf.until("has joined");
  return { sheaf, state, said: () => said };
}

interface Agent {
  readonly sheaf: RunningSheaf;
  readonly state: string;
  said(): string;
}

async function get<T>(coordinator: CoordinatorProcess, target: string, token: string): Promise<T> {
  const answer = await coordinator.ask({ target, token });
  assert.equal(answer.status, 200, answer.raw);
  return JSON.parse(answer.body) as T;
}

test("an agent's doors, and what jobs see behind them", async (t) => {
  const place = tempDir(t);
  const [mark, gate] = [join(place, "pids"), join(place, "gate")];
  const coordinator = await startCoordinator(t);
  const agent = await startAgent(t, coordinator);
  const { client, agent: agentToken } = coordinator;
  const file = join(place, "spy.ts");
  writeFileSync(file, spy(mark, gate));
  // Whatever fails: the runs end, and with them what this process waits for.
  const over = new AbortController();
  t.after(() => over.abort());

  const outputs = ["a", "b"].map((name) => join(place, name));
  const runs = outputs.map((output) =>
    run(file, {
      on: `http://127.0.0.1:${coordinator.port}`,
      tokenFile: join(coordinator.state, "client.token"),
      stateDirectory: join(place, "state"),
      output,
      signal: over.signal,
    }),
  );
  for (const one of runs) one.catch(() => undefined);
  const failed = Promise.race(runs.map((one) => one.then(() => assert.fail("it did not wait"))));
  failed.catch(() => undefined);
  interface Listed {
    readonly jobs: readonly { readonly job: string }[];
  }
  interface Outputs {
    readonly entries: readonly { readonly task: number; readonly attempt: number }[];
  }
  const jobs = await waitFor("two jobs", async () => {
    const { jobs: listed } = await get<Listed>(coordinator, "/jobs", client);
    return listed.length === 2 ? listed.map(({ job }) => job) : undefined;
  });
  for (const job of jobs) {
    await waitFor("a map output", () =>
      Promise.race([
        failed,
        get<Outputs>(coordinator, `/jobs/${job}/outputs?after=0`, agentToken).then((found) =>
          found.entries.length > 0 ? found : undefined,
        ),
      ]),
    );
  }
  const keys = await Promise.all(
    jobs.map(async (job) => {
      const target = `/jobs/${job}/preparation?agent=node1`;
      return (await get<{ readonly shuffleKey: string }>(coordinator, target, agentToken)).shuffleKey;
    }),
  );
  interface Nodes {
    readonly nodes: readonly { readonly address: string }[];
  }
  const [node] = (await get<Nodes>(coordinator, "/nodes", client)).nodes;
  const port = Number(new URL(node!.address).port);
  const expiresMs = Date.now() + 60_000;
  const question = (job: string) => ({
    job,
    collection: 0,
    partition: 0,
    maps: [{ task: 0, attempt: 1 }],
    from: 0,
  });
  const [a = "", b = ""] = jobs;
  const [keyA = "", keyB = ""] = keys;

  await t.test(
    "agent and coordinator listen on loopback only, workers not at all",
    { skip: process.platform !== "linux" },
    () => {
      const pid = agent.sheaf.child.pid!;
      assert.ok(listeners(pid).length >= 1);
      for (const address of [...listeners(pid), ...listeners(coordinator.sheaf.child.pid!)])
        assert.equal(address, "0100007F");
      const workers = [...new Set(readFileSync(mark, "utf8").trim().split("\n").map(Number))];
      for (const worker of workers) {
        if (worker !== process.pid && existsSync(`/proc/${worker}`)) assert.deepEqual(listeners(worker), []);
      }
    },
  );

  await t.test("blocks are for those who hold the job's key, until a time, as they were signed", async () => {
    const status = (target: string, more = {}): Promise<number> =>
      ask(port, { target, ...more }).then((answer) => answer.status);
    const good = sliceTarget(question(a), keyA, expiresMs);
    assert.equal(await status(good), 200);
    assert.equal(await status(sliceTarget(question(b), keyB, expiresMs)), 200);
    assert.notEqual(keyA, keyB);
    assert.equal(await status(sliceTarget(question(b), keyA, expiresMs)), 401);
    assert.equal(await status(good.replace(a, b)), 401);
    assert.equal(await status(sliceTarget(question(a), keyA, Date.now() - 1)), 401);
    for (const token of [client, agentToken, keyA]) {
      assert.equal(await status(good.replace(/\?.*/, ""), { token }), 401);
    }
    assert.equal(await status(good, { method: "HEAD" }), 401);
    assert.equal(await status(good, { host: `evil.test:${port}` }), 403);
    const step = Math.ceil(good.length / 60);
    for (let at = 1; at < good.length; at += step) {
      const changed = good.slice(0, at) + (good[at] === "1" ? "2" : "1") + good.slice(at + 1);
      const answer = await status(changed);
      assert.ok(answer === 401, `${changed} ${answer}`);
    }
  });

  await t.test("no path leads from the shuffle server to anything else", async () => {
    for (const text of traversals.filter((one) => one.length < 300)) {
      const path = `/shuffle/${encodeURIComponent(text)}`;
      for (const target of [
        path,
        sliceTarget({ ...question(a), job: encodeURIComponent(text) }, keyA, expiresMs),
      ]) {
        const { status } = await ask(port, { target });
        assert.ok(status === 401 || status === 400, `${target} ${status}`);
      }
    }
    const { status, headers } = await ask(port, { target: "/etc/passwd" });
    assert.equal(status, 401);
    for (const [name, value] of Object.entries(answerHeaders)) assert.equal(headers[name], value);
    assert.equal((await ask(port, { target: "/health" })).status, 200);
  });

  await t.test("what attempts write is for its user only", () => {
    const attempts = join(agent.state, "jobs", a, "attempts");
    assert.ok(readdirSync(attempts).length > 0);
    for (const path of [agent.state, join(agent.state, "jobs", a), attempts])
      assert.equal(statSync(path).mode & 0o077, 0, path);
  });

  await t.test(
    "no token is on a command line, in an environment or in a log",
    { skip: process.platform !== "linux" },
    () => {
      const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
      let looked = 0;
      for (const pid of all) {
        for (const part of ["cmdline", "environ"]) {
          const text = readOr(`/proc/${pid}/${part}`);
          if (text !== "") looked++;
          for (const secret of [client, agentToken, keyA, keyB])
            assert.ok(!text.includes(secret), `${pid} ${part}`);
        }
      }
      assert.ok(looked > 4);
      for (const secret of [client, agentToken, keyA, keyB])
        assert.ok(!(coordinator.said() + agent.said()).includes(secret.slice(8)));
    },
  );

  writeFileSync(gate, "");
  await Promise.all(runs);

  await t.test("a worker's environment holds no secret, and no inspector", () => {
    const text = outputs
      .flatMap((output) => readdirSync(output).map((name) => readFileSync(join(output, name), "utf8")))
      .join("\n");
    const seen = [...text.matchAll(/^seen (.*)\t\d$/gm)].map(
      ([, one = ""]) => JSON.parse(one.replaceAll("\\\\", "\\")) as Seen,
    );
    assert.ok(seen.length >= 2, text.slice(0, 2_000));
    for (const { env, execArgv, inspector } of seen) {
      assert.equal(env["PATH"], process.env["PATH"]);
      assert.deepEqual(
        Object.keys(env).filter((name) => /^(SHEAF_|NODE_OPTIONS|AWS_|DB_)/.test(name)),
        [],
      );
      assert.doesNotMatch(JSON.stringify(env), /hunter2|sheaf_[caj]_/);
      assert.equal(inspector, null);
      assert.ok(!execArgv.some((one) => one.includes("inspect")));
    }
  });

  await t.test("job code is loaded by workers only, never by coordinator or agent", () => {
    const pids = new Set(readFileSync(mark, "utf8").trim().split("\n").map(Number));
    // This process is the client: its worker threads have looked at the job before it was submitted.
    pids.delete(process.pid);
    assert.ok(pids.size >= 1);
    for (const pid of [coordinator.sheaf.child.pid!, agent.sheaf.child.pid!]) assert.ok(!pids.has(pid));
  });

  await t.test("a job's name is a name and nothing else", () => {
    const places = [place, agent.state, coordinator.state, process.cwd()];
    for (const directory of places) {
      const names = readdirSync(directory, { recursive: directory !== process.cwd(), encoding: "utf8" });
      assert.deepEqual(
        names.filter((name) => /(^|\/)pwned$/.test(name)),
        [],
      );
    }
  });
});

interface Seen {
  readonly env: Readonly<Record<string, string>>;
  readonly execArgv: readonly string[];
  readonly inspector: string | null;
}

function readOr(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
