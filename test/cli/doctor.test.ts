import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import {
  type Finding,
  checkDirectory,
  checkLimits,
  checkNode,
  readGroupLimits,
} from "#src/cli/command/doctor/checks.js";
import { sheafHere, tempDir } from "./support.js";

function programs(t: TestContext, texts: Readonly<Record<string, string>>): string {
  const bin = tempDir(t);
  for (const [name, text] of Object.entries(texts))
    writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  return bin;
}

async function doctor(args: readonly string[], env: Readonly<Record<string, string | undefined>>) {
  const { code, stdout, stderr } = await sheafHere(["doctor", ...args, "--json"], { env });
  assert.notEqual(stdout, "", stderr);
  const { findings } = JSON.parse(stdout) as { readonly findings: readonly Finding[] };
  const of = (about: string) => findings.find((one) => one.about === about);
  return { code, findings, of };
}

const nowhere = { JAVA_HOME: undefined, HADOOP_HOME: undefined, SPARK_HOME: undefined, SHEAF_ON: undefined };

test("this machine is told line by line; what fails makes the exit code 1", async (t) => {
  const { code, findings, of } = await doctor([], { ...nowhere, SHEAF_STATE: join(tempDir(t), "not/yet") });
  assert.equal(code, findings.some(({ status }) => status === "fail") ? 1 : 0);
  for (const about of ["node", "platform", "native packages", "cores", "memory", "temporary files", "state"])
    assert.ok(of(about) !== undefined && of(about)!.found !== "", about);
  assert.equal(of("node")!.status, "ok");
  const file = join(tempDir(t), "file");
  writeFileSync(file, "");
  const text = await sheafHere(["doctor"], { env: { ...nowhere, SHEAF_STATE: join(file, "x") } });
  assert.equal(text.code, 1);
  assert.match(text.stdout, /^STATUS +WHAT +FOUND\nok +node /);
  assert.match(text.stdout, /\nfail +state +\S+\/file\/x: /);
  assert.match(text.stdout, /\nstate: Make it writable, or set SHEAF_STATE to a directory that is\.\n/);
});

test("an engine that is not there, or half, is told by what is missing", async (t) => {
  const empty = programs(t, {});
  const env = { ...nowhere, PATH: empty };
  const spark = await doctor(["--on", "spark"], env);
  assert.equal(spark.code, 1);
  assert.equal(spark.of("java")!.status, "fail");
  assert.match(spark.of("spark")!.found, /there is no Spark here/);
  const home = tempDir(t);
  for (const name of ["bin", "jars"]) mkdirSync(join(home, name));
  writeFileSync(join(home, "bin/spark-submit"), "", { mode: 0o755 });
  writeFileSync(join(home, "jars/spark-core_2.13-4.0.1.jar"), "");
  const java = programs(t, { java: 'echo "openjdk version \\"17.0.1\\"" >&2', sbatch: "echo slurm 22.05.8" });
  const found = await doctor(["--on", "spark"], { ...nowhere, PATH: java, SPARK_HOME: home });
  assert.match(found.of("java")!.found, /^openjdk version "17\.0\.1", /);
  assert.equal(found.of("spark")!.found, `4.0.1, ${join(home, "bin/spark-submit")}`);
  assert.match(found.of("slurm")!.found, /but no srun, squeue, scontrol, scancel$/);
  writeFileSync(join(home, "bin/hadoop"), "#!/bin/sh\necho broken >&2; exit 3\n", { mode: 0o755 });
  const half = await doctor(["--on", "hadoop"], { ...nowhere, PATH: join(home, "bin"), JAVA_HOME: home });
  assert.equal(half.of("java")!.found, `JAVA_HOME is ${home}, without bin/java`);
  assert.match(half.of("hadoop")!.todo!, /^Run it by hand: .*hadoop version\.$/);
  assert.match(half.of("hadoop streaming")!.found, /no hadoop-streaming-\*\.jar/);
});

test("a coordinator is asked for its version, agents and time", async (t) => {
  const none = await doctor(["--on", "http://127.0.0.1:1"], nowhere);
  assert.deepEqual([none.code, none.of("coordinator")!.status], [1, "fail"]);
  // Its clock is an hour ahead.
  const server = createServer((request, response) => {
    response.setHeader("date", new Date(Date.now() + 3_600_000).toUTCString());
    response.setHeader("content-type", "application/json");
    const cluster = { protocol: 0, version: "0", agents: 0 };
    response.end(JSON.stringify(request.url === "/health" ? { ok: true } : cluster));
  });
  server.listen(0, "127.0.0.1");
  t.after(() => server.close());
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  const other = await doctor(["--on", `http://127.0.0.1:${port}`], nowhere);
  assert.match(other.of("coordinator")!.found, /the coordinator speaks protocol 0/);
  assert.equal(other.of("clock")!.status, "warn");
  assert.match(other.of("clock")!.found, /the coordinator's is 3\d\d\d s ahead of this machine's/);
});

test("limits are read as the system writes them", (t) => {
  assert.deepEqual(
    ["20.18.9", "20.19.0", "18.20.0", "22.0.0"].map((version) => checkNode(version).status),
    ["fail", "ok", "fail", "ok"],
  );
  const limits = (files: string, address: string): string =>
    `Limit                     Soft Limit           Hard Limit           Units\n` +
    `Max open files            ${files}                 524288               files\n` +
    `Max address space         ${address}            unlimited            bytes\n`;
  const statuses = (text: string) => checkLimits(text).map(({ status }) => status);
  assert.deepEqual(statuses(limits("65536", "unlimited")), ["ok", "ok"]);
  assert.deepEqual(statuses(limits("1024", "4294967296")), ["warn", "fail"]);
  assert.deepEqual(statuses(limits("unlimited", "99999999999999")), ["ok", "ok"]);
  assert.deepEqual(statuses("nothing"), []);

  const groups = (files: Readonly<Record<string, string>>) => {
    const root = tempDir(t);
    for (const name of ["cpu", "memory", "own"]) mkdirSync(join(root, name));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(root, name), `${text}\n`);
    return readGroupLimits(root, "/own");
  };
  assert.deepEqual(groups({ "cpu.max": "150000 100000", "memory.max": "1073741824" }), {
    cores: 1.5,
    memoryBytes: 2 ** 30,
  });
  assert.deepEqual(groups({ "own/cpu.max": "200000 100000", "cpu.max": "max 100000", "memory.max": "max" }), {
    cores: 2,
    memoryBytes: null,
  });
  assert.deepEqual(groups({ "cpu.max": "max 100000" }), { cores: null, memoryBytes: null });
  const old = { "cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000" };
  const unlimited = { "memory/memory.limit_in_bytes": "9223372036854771712" };
  assert.deepEqual(groups({ ...old, ...unlimited }), { cores: 0.5, memoryBytes: null });
  assert.deepEqual(groups({ "cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000" }), {
    cores: null,
    memoryBytes: null,
  });
  assert.deepEqual(groups({}), { cores: null, memoryBytes: null });
  assert.equal(checkDirectory("x", join(tempDir(t), "a/b"), "state").found.startsWith("/"), true);
});
