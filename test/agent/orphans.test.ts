import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { until } from "../kit/wait.js";
import { mapOrder, Stage, wordCount } from "./support.js";

/** Processes that descend from one, by number. */
function descendants(of: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {
      // It has ended meanwhile.
    }
  }
  const found: number[] = [];
  for (const wanted = [of]; wanted.length > 0;) {
    const next = children.get(wanted.shift()!) ?? [];
    found.push(...next);
    wanted.push(...next);
  }
  return found;
}

function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

test("an agent that is killed takes all it has started with it, also user code that hangs and what that started", async (t) => {
  const stage = new Stage(t);
  const marks = stage.file("marks/.keep", "").replace(".keep", "");
  const top = `import { spawn } from "node:child_process"; import { writeFileSync } from "node:fs";`;
  const map = `
    const child = spawn("sleep", ["600"]);
    writeFileSync(${JSON.stringify(marks)} + line, String(child.pid));
    if (line === "hang") for (;;);
    await new Promise(() => setInterval(() => undefined, 1000));`;
  await stage.coordinator.start();
  await stage.prepare(wordCount({ top, map }).replace("map(line", "async map(line"));
  const entry = new URL("../../../dist/inside/agent/agent.js", import.meta.url).href;
  const { startShuffle: _, log: _log, random: _random, ...options } = stage.options({ slots: 2 });
  const script = `
    import { startAgent } from ${JSON.stringify(entry)};
    const agent = await startAgent(${JSON.stringify(options)});
    await agent.joined;
    console.log(agent.address);`;
  const agent = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => agent.kill("SIGKILL"));
  const [address] = (await once(agent.stdout, "data")) as [Buffer];
  for (const [index, line] of ["hang", "wait"].entries()) {
    stage.coordinator.give(mapOrder(stage.split(`${line}\n`, index)));
  }
  await until("both tasks to run", () => ["hang", "wait"].every((line) => existsSync(join(marks, line))));
  await until("a spare worker", () => descendants(agent.pid!).length >= 5);
  const all = descendants(agent.pid!);
  agent.kill("SIGKILL");
  await once(agent, "exit");
  await until("all of them to end", () => all.every((pid) => !isRunning(pid)));
  await assert.rejects(fetch(`${String(address).trim()}/health`));
});
