import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { parseInventory } from "#src/cli/command/cluster/remote.js";
import { isRunning } from "../cluster/processes.js";
import { eventually } from "../cluster/real-cluster.js";
import { sheaf, sheafBinary, sheafHere, startSheaf, tempDir } from "./support.js";
import type { SheafOptions } from "./support.js";

interface Status {
  readonly url: string | null;
  readonly processes: readonly { name: string; pid: number; running: boolean | null; ssh: string | null }[];
  readonly nodes: readonly { agent: string; state: string; slots: number; address: string }[];
}

function writeNodes(root: string): string {
  const path = join(root, "nodes.txt");
  writeFileSync(path, "node1\n");
  return path;
}

/** Commands with a state directory of their own, whose cluster is gone with the test. */
const countJob = `import { job, generate, count } from "sheaf";
  export default job({ input: generate({ tasks: 2, *records() { yield 1; } }), reduce: count(),
    map(n, emit) { emit(n); } });`;

function place(t: TestContext, env: SheafOptions["env"] = {}) {
  // Ended before its directory goes.
  t.after(() => run(["cluster", "down", "--force"]));
  const root = tempDir(t);
  const state = join(root, "state");
  const run = (args: readonly string[], more: Pick<SheafOptions, "env" | "shell"> = {}) => {
    const options = { ...more, cwd: root, env: { SHEAF_STATE: state, ...env, ...more.env } };
    // What starts processes itself, or is to find others on its path, is one.
    const apart = args[1] === "up" || env["PATH"] !== undefined || more.shell !== undefined;
    return apart ? sheaf(args, { ...options, timeoutMs: 120_000 }) : sheafHere(args, options);
  };
  const status = async () => JSON.parse((await run(["cluster", "status", "--json"])).stdout) as Status;
  return { root, state, run, status };
}

test("--tls makes certificates, which its clients need", async (t) => {
  const { root, state, run, status } = place(t);
  writeFileSync(join(root, "job.ts"), countJob);
  const refused = await run(["cluster", "up", "--tls", "--inventory", writeNodes(root)]);
  assert.match(refused.stderr, /--tls and --inventory exclude each other.*sheaf certs/s);
  const up = await run(["cluster", "up", "--agents", "1", "--port", "0", "--tls"]);
  assert.equal(up.code, 0, up.stderr);
  const exported = Object.fromEntries(
    [...up.stderr.matchAll(/^export (\w+)=(\S+)$/gm)].map(([, name, value]) => [name, value]),
  );
  const names = ["SHEAF_ON", "SHEAF_TLS_CA", "SHEAF_TLS_CERT", "SHEAF_TLS_KEY"];
  assert.deepEqual(Object.keys(exported), names);
  assert.match(exported["SHEAF_ON"]!, /^https:\/\/127\.0\.0\.1:/);
  const job = await run(["run", "job.ts", "--collect"], { env: exported });
  assert.equal(job.stdout, "1\t2\n", job.stderr);
  const without = await run(["jobs"], { env: { SHEAF_ON: exported["SHEAF_ON"]! } });
  assert.match(without.stderr, /its certificate was not issued by the authority this side knows/);
  const { nodes } = await status();
  assert.deepEqual(
    nodes.map((node) => [node.agent, node.state, node.address.slice(0, 8)]),
    [["agent-1", "up", "https://"]],
  );
  const certs = join(state, "cluster", "certs");
  assert.equal(statSync(certs).mode & 0o777, 0o700);
  assert.equal(statSync(join(certs, "ca.key")).mode & 0o777, 0o600);
});

test("a cluster is started, used, looked at and ended; what it knew is there when it is up again", async (t) => {
  const { root, state, run, status } = place(t);
  writeFileSync(join(root, "job.ts"), countJob);
  const up = await run(["cluster", "up", "--agents", "2", "--port", "0"]);
  assert.equal(up.code, 0, up.stderr);
  assert.match(up.stdout, /^AGENT .*\nagent-1 +up .*\nagent-2 +up /);
  const url = /export SHEAF_ON=(\S+)/.exec(up.stderr)![1]!;
  assert.doesNotMatch(up.stderr, /SHEAF_TOKEN_FILE/);
  const job = await run(["run", "job.ts", "--collect"], { env: { SHEAF_ON: url } });
  assert.equal(job.stdout, "1\t2\n", job.stderr);
  const seen = await status();
  assert.deepEqual(
    seen.processes.map(({ name, running }) => [name, running]),
    [
      ["coordinator", true],
      ["agent-1", true],
      ["agent-2", true],
    ],
  );
  assert.equal(statSync(join(state, "cluster")).mode & 0o777, 0o700);
  assert.match((await run(["cluster", "up"])).stderr, /a cluster was started already/);

  // One that died by itself is seen, and does not stand in the way of ending the others.
  process.kill(seen.processes[2]!.pid, "SIGKILL");
  await eventually(
    async () => (await status()).processes[2]!.running === false,
    10_000,
    () => "the killed agent counts as running",
  );
  assert.equal((await run(["cluster", "status"])).code, 1);
  const down = await run(["cluster", "down"]);
  assert.equal(down.code, 0, down.stderr);
  assert.match(down.stderr, /coordinator has ended/);
  for (const { pid } of seen.processes) assert.ok(!isRunning(pid));
  assert.deepEqual((await status()).processes, []);

  const again = await run(["cluster", "up", "--agents", "1", "--slots", "2", "--port", "0", "--json"]);
  const { url: newUrl, nodes } = JSON.parse(again.stdout) as Status;
  assert.deepEqual(
    nodes.filter((node) => node.state === "up").map((node) => [node.agent, node.slots]),
    [["agent-1", 2]],
  );
  assert.match((await run(["jobs", "--on", newUrl!])).stdout, /SUCCEEDED/);
  const { processes } = await status();
  const killed = await run(["cluster", "down", "--force", "--json"]);
  assert.deepEqual(JSON.parse(killed.stdout), { ended: 2 });
  for (const { pid } of processes) assert.ok(!isRunning(pid));
  // At once: nobody may have reaped those that were killed.
  const third = await run(["cluster", "up", "--agents", "1", "--slots", "1", "--port", "0", "--json"]);
  assert.equal(third.code, 0, third.stderr);
});

test("a killed coordinator is started again by up and goes on with its job, which may be looked at and left", async (t) => {
  const { root, run, status } = place(t);
  writeFileSync(join(root, "in.txt"), "x\n");
  // It prints until it is told to end, which is after the coordinator was killed.
  writeFileSync(
    join(root, "talk.ts"),
    `import { existsSync } from "node:fs";
     import { setTimeout as pause } from "node:timers/promises";
     import { count, job, text } from "sheaf";
     export default job({ input: text(), reduce: count(), async map(line, emit, ctx) {
       for (let i = 0; !existsSync(${JSON.stringify(join(root, "end"))}); i++) {
         console.log("still here", i); ctx.progress(); await pause(50);
       }
       emit(line); } });`,
  );
  const up = await run(["cluster", "up", "--agents", "1", "--port", "0"]);
  assert.equal(up.code, 0, up.stderr);
  const SHEAF_ON = /export SHEAF_ON=(\S+)/.exec(up.stderr)![1]!;
  const submitted = await run(["submit", "talk.ts", "in.txt"], { env: { SHEAF_ON } });
  const job = submitted.stdout.trim();

  // Who reads goes away while the job prints on.
  const logs = await run(["logs", "-f"], { env: { SHEAF_ON }, shell: "exec > >(head -n 2); " });
  assert.deepEqual([logs.code, logs.stderr], [0, ""]);
  assert.match(logs.stdout, /^\[map-00000\.1 stdout\] still here 0\n.*\n$/);

  const watching = startSheaf(["attach", "--watch", "--on", SHEAF_ON], {
    cwd: root,
    env: { SHEAF_STATE: join(root, "state") },
  });
  await watching.until("still here");
  watching.child.kill("SIGTERM");
  const left = await watching.done;
  assert.equal(left.code, 3);
  assert.match(left.stderr, new RegExp(`left by SIGTERM; see it again with: sheaf attach --watch ${job}\n$`));
  assert.doesNotMatch(left.stderr, /nothing was written|stopped/);

  const before = await status();
  process.kill(before.processes[0]!.pid, "SIGKILL");
  await eventually(
    async () => (await status()).processes[0]!.running === false,
    10_000,
    () => "the killed coordinator counts as running",
  );
  const again = await run(["cluster", "up"]);
  assert.equal(again.code, 0, again.stderr);
  assert.match(again.stderr, /started again, with the settings the cluster had: coordinator\n/);
  const after = await status();
  assert.equal(after.url, before.url);
  assert.equal(after.processes[1]!.pid, before.processes[1]!.pid);
  assert.notEqual(after.processes[0]!.pid, before.processes[0]!.pid);
  writeFileSync(join(root, "end"), "");
  const ended = await run(["attach", "--collect"], { env: { SHEAF_ON } });
  assert.equal(ended.stdout, "x\t1\n", ended.stderr);
  assert.match((await run(["cluster", "up"])).stderr, /a cluster was started already/);
});

test("a coordinator that cannot start takes nothing with it, and its last words are told", async (t) => {
  const { run, state } = place(t);
  const up = await run(["cluster", "up", "--host", "192.0.2.1", "--port", "0"]);
  assert.equal(up.code, 1);
  assert.match(up.stderr, /the coordinator did not start \[[^]*192\.0\.2\.1/);
  assert.ok(!existsSync(join(state, "cluster", "cluster.json")));
  assert.equal((await run(["cluster", "status"])).code, 1);
});

test("agents of an inventory are started and ended by ssh, which gets no secret on its command line", async (t) => {
  const bin = tempDir(t);
  // Runs here what a machine would run, and keeps what it was asked.
  writeFileSync(
    join(bin, "ssh"),
    `#!/bin/bash\nprintf '%s\\0' "$@" >> ${bin}/asked; printf '\\n' >> ${bin}/asked\n` +
      `while [ "$1" != -- ]; do shift; done; host=$2; [ $host = gone ] && { echo no route >&2; exit 255; }\nexec sh -c "$3"\n`,
    { mode: 0o755 },
  );
  const { root, run, status } = place(t, { PATH: `${bin}:${process.env["PATH"]}` });
  mkdirSync(join(root, "far"));
  const wrapped = join(bin, "sheaf-there");
  writeFileSync(wrapped, `#!/bin/sh\nexec ${process.execPath} ${sheafBinary} "$@"\n`, { mode: 0o755 });
  writeFileSync(
    join(root, "nodes.txt"),
    `# two machines\nme@127.0.0.1 name=one slots=2 sheaf=${wrapped} state=${root}/far root=${root}\n` +
      `localhost name=two sheaf=${wrapped} state=${root}/far # the other\n`,
  );
  const up = await run(["cluster", "up", "--inventory", "nodes.txt", "--port", "0"]);
  assert.equal(up.code, 0, up.stderr);
  assert.match(up.stdout, /\none +up [^\n]* 2 +\d+%[^]*\ntwo +up /);
  const seen = await status();
  assert.deepEqual(seen.processes.map(({ ssh }) => String(ssh)).sort(), [
    "localhost",
    "me@127.0.0.1",
    "null",
  ]);
  const asked = readFileSync(join(bin, "asked"), "utf8");
  assert.match(asked, /^-o\0BatchMode=yes\0-o\0ConnectTimeout=10\0--\0me@127\.0\.0\.1\0/m);
  assert.doesNotMatch(asked, /sheaf_a_/);
  const down = await run(["cluster", "down"]);
  assert.equal(down.code, 0, down.stderr);
  for (const { pid } of seen.processes) {
    await eventually(
      () => !isRunning(pid),
      20_000,
      () => `${pid} is left`,
    );
  }
  writeFileSync(join(root, "nodes.txt"), "gone name=one address=127.0.0.1\n");
  const failed = await run(["cluster", "up", "--inventory", "nodes.txt", "--port", "0"]);
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /gone: no route[^]*ssh -o BatchMode=yes gone true/);
  assert.deepEqual((await status()).processes, []);
  writeFileSync(join(root, "nodes.txt"), "10.0.0.9\n");
  for (const host of ["127.0.0.1", "0.0.0.0"]) {
    const lost = await run(["cluster", "up", "--inventory", "nodes.txt", "--port", "0", "--host", host]);
    assert.deepEqual([lost.code, /--host 10\.0\.0\.1/.test(lost.stderr)], [2, true]);
  }
});

test("an inventory is read line by line, and what is wrong in it is told by file and line", () => {
  const [node] = parseInventory("\n  db@node-1.example slots=4 root=/a root=/b port=9 # x\n", "n.txt");
  assert.deepEqual(node, {
    ssh: "db@node-1.example",
    address: "node-1.example",
    name: "node-1.example",
    slots: 4,
    port: 9,
    roots: ["/a", "/b"],
    sheaf: "sheaf",
    state: null,
  });
  for (const [text, message] of [
    ["", /^n\.txt: no machine/],
    ["a\n-oProxyCommand=x", /^n\.txt:2: "-oProxyCommand=x" is no host/],
    ["a;b", /^n\.txt:1: "a;b" is no host/],
    ["a slots=0", /slots=0/],
    ["a color=red", /"color=red" is not understood/],
    ["a root=x", /"x" is no absolute path/],
    ["a name=../b", /cannot be the name of an agent/],
    ["a\na", /two agents are called a/],
  ] as const) {
    assert.throws(() => parseInventory(text, "n.txt"), { code: "USAGE", message });
  }
});
