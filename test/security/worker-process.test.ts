import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { makeToken } from "#src/security/token.js";
import { workerEnvironment } from "#src/security/worker-environment.js";
import { readFromWorker } from "#src/worker/from-worker.js";
import { startWorkerProcess } from "#src/worker/worker-process.js";

interface Seen {
  readonly env: Readonly<Record<string, string>>;
  readonly execArgv: readonly string[];
  /** Where its inspector listens. */
  readonly inspector: string | null;
  readonly argv: readonly string[];
}

const spy = `data:text/javascript,${encodeURIComponent(`
  import inspector from "node:inspector";
  const { env, execArgv, argv } = process;
  console.log("SEEN" + JSON.stringify({ env, execArgv, argv, inspector: inspector.url() ?? null }) + "END");
`)}`;

/** What user code sees in a worker process. */
function lookAround(t: TestContext, environment?: Readonly<Record<string, string>>): Promise<Seen> {
  return new Promise((resolve, reject) => {
    let text = "";
    const worker = startWorkerProcess({
      heapBytes: null,
      ...(environment !== undefined && { environment }),
      listener: {
        message: (received) => {
          const message = readFromWorker(received);
          if (message.kind === "log") text += message.text;
          const [, seen] = /SEEN(.*)END/s.exec(text) ?? [];
          if (seen !== undefined) resolve(JSON.parse(seen) as Seen);
        },
        broken: reject,
        exit: (exit) => reject(new Error(`the worker ended: ${JSON.stringify(exit)} ${text}`)),
      },
    });
    t.after(() => worker.kill());
    worker.send({ kind: "load", url: spy });
  });
}

/** The environment of this process while the test runs. */
function withEnv(t: TestContext, variables: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(variables)) {
    const before = process.env[name];
    process.env[name] = value;
    t.after(() => {
      if (before === undefined) delete process.env[name];
      else process.env[name] = before;
    });
  }
}

test("a worker process of an agent sees what it is given and no more: no secret, no NODE_OPTIONS", async (t) => {
  const token = makeToken("agent");
  withEnv(t, {
    NODE_OPTIONS: "--inspect=127.0.0.1:0",
    MY_API_KEY: "hunter2-hunter2",
    SHEAF_TOKEN_FILE: "/x/agent.token",
    AGENT: token,
    PASSED: "on",
  });
  const seen = await lookAround(t, workerEnvironment(process.env, ["PASSED"]));
  assert.equal(seen.env["PASSED"], "on");
  assert.equal(seen.env["PATH"], process.env["PATH"]);
  for (const name of ["NODE_OPTIONS", "MY_API_KEY", "SHEAF_TOKEN_FILE", "AGENT"])
    assert.equal(seen.env[name], undefined, name);
  assert.doesNotMatch(JSON.stringify(seen), /hunter2|sheaf_a_/);
  assert.equal(seen.inspector, null);
});

test("a worker process never inherits an inspector", async (t) => {
  withEnv(t, { NODE_OPTIONS: "--inspect=127.0.0.1:0 --enable-source-maps", MINE: "kept" });
  const before = [...process.execArgv];
  process.execArgv.push("--inspect=127.0.0.1:0");
  t.after(() => process.execArgv.splice(0, Infinity, ...before));
  const seen = await lookAround(t);
  assert.equal(seen.inspector, null);
  assert.equal(seen.env["NODE_OPTIONS"], undefined);
  assert.equal(seen.env["MINE"], "kept");
  assert.ok(!seen.execArgv.some((argument) => argument.includes("inspect")), seen.execArgv.join(" "));
});
