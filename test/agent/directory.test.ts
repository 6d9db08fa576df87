import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { AgentDirectory } from "#src/agent/agent-directory.js";
import { until } from "../kit/wait.js";

function place(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), "sheaf-agent-test-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  return join(root, "state");
}

test("an agent's directory is its own: private, and used by one agent at a time", (t) => {
  const path = place(t);
  const directory = new AgentDirectory(path);
  assert.equal(statSync(path).mode & 0o777, 0o700);
  assert.throws(() => new AgentDirectory(path), {
    code: "STATE_LOCKED",
    message: new RegExp(`${process.pid}`),
  });
  directory.release();
  new AgentDirectory(path).release();
  assert.deepEqual(readdirSync(path).sort(), ["blobs", "jobs", "logs"]);
});

test("a lock that a dead process has left is taken over, whoever has its number now", async (t) => {
  const path = place(t);
  const child = spawn(process.execPath, ["-e", "0"]);
  await once(child, "exit");
  for (const left of [
    JSON.stringify({ pid: child.pid, began: null }),
    // This process, but not the one that began then.
    JSON.stringify({ pid: process.pid, began: "another-boot:1" }),
    "torn",
    "",
  ]) {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    writeFileSync(join(path, "agent.lock"), left);
    const directory = new AgentDirectory(path);
    assert.match(readFileSync(join(path, "agent.lock"), "utf8"), new RegExp(`"pid":${process.pid}`));
    directory.release();
  }
});

test("a process that has ended holds no lock, though nobody has asked how it ended", async (t) => {
  if (process.platform !== "linux") return t.skip("no /proc");
  const path = place(t);
  // The shell becomes a program that never asks after its child, which ends only then.
  const parent = spawn("sh", ["-c", "cat <&3 >/dev/null & echo $!; exec sleep 1000 3<&-"], {
    stdio: ["ignore", "pipe", "ignore", "pipe"],
  });
  t.after(() => parent.kill("SIGKILL"));
  const [said] = (await once(parent.stdout!, "data")) as [Buffer];
  const zombie = Number(String(said));
  await until("the program", () => readFileSync(`/proc/${parent.pid}/comm`, "latin1") === "sleep\n");
  parent.stdio[3]!.destroy();
  const stat = (): string => readFileSync(`/proc/${zombie}/stat`, "latin1");
  await until("the end of its child", () => /\) Z/.test(stat()));
  process.kill(zombie, 0);
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const began = `${boot}:${
    stat()
      .slice(stat().lastIndexOf(")") + 2)
      .split(" ")[19]!
  }`;
  mkdirSync(path, { recursive: true, mode: 0o700 });
  writeFileSync(join(path, "agent.lock"), JSON.stringify({ pid: zombie, began }));
  new AgentDirectory(path).release();
});

test("each life has a higher number than all before it, also when the clock goes back", (t) => {
  const directory = new AgentDirectory(place(t));
  t.after(() => directory.release());
  assert.equal(directory.beginLife(1_000.7, 0).incarnation, 1_000);
  assert.equal(directory.beginLife(1_000, 0).incarnation, 1_001);
  assert.equal(directory.beginLife(5, 0).incarnation, 1_002);
  assert.equal(directory.beginLife(5, 9_000).incarnation, 9_001);
  assert.equal(directory.beginLife(20_000, 9_000).incarnation, 20_000);
});

test("an agent keeps its key from life to life; a copy lies in another place", (t) => {
  const path = place(t);
  const directory = new AgentDirectory(path);
  t.after(() => directory.release());
  const first = directory.beginLife(1_000, 0);
  assert.equal(first.previous, 0);
  assert.deepEqual(directory.beginLife(2_000, 0), { incarnation: 2_000, previous: 1_000, key: first.key });
  cpSync(path, `${path}-copy`, { recursive: true, filter: (name) => !name.endsWith("agent.lock") });
  const copy = new AgentDirectory(`${path}-copy`);
  t.after(() => copy.release());
  assert.deepEqual(copy.beginLife(3_000, 0), { incarnation: 3_000, previous: 2_000, key: first.key });
  assert.notEqual(copy.place, directory.place);
  assert.notEqual(new AgentDirectory(`${path}-other`).beginLife(1, 0).key, first.key);
  // Written before agents had keys.
  writeFileSync(join(path, "agent.json"), `{"incarnation":7}`);
  const { key } = directory.beginLife(1, 0);
  assert.equal(directory.beginLife(1, 0).key, key);
});

test("a damaged life file is told, not counted from anew", (t) => {
  const path = place(t);
  const directory = new AgentDirectory(path);
  t.after(() => directory.release());
  for (const damaged of [
    `{"incarnation":"x"}`,
    `{"incarnation":1,"key":"\\n"}`,
    `{"incarnation":1,"key":3}`,
  ]) {
    writeFileSync(join(path, "agent.json"), damaged);
    assert.throws(() => directory.beginLife(1, 0), { code: "STATE_CORRUPT", message: /agent\.json/ });
  }
});

test("what earlier lives have left of jobs is removed", async (t) => {
  const path = place(t);
  const directory = new AgentDirectory(path);
  t.after(() => directory.release());
  mkdirSync(join(path, "jobs", "j1", "attempts", "map-00000.1"), { recursive: true });
  writeFileSync(join(path, "jobs", "j1", "attempts", "map-00000.1", "run"), "x");
  await directory.clearJobs();
  assert.deepEqual(readdirSync(join(path, "jobs")), []);
});
