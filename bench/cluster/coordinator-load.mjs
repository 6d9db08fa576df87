// What a coordinator costs: a real one in a process of its own; in another one agents that speak HTTP as real
// ones do but run nothing (load-agents.mjs). A job of many tasks runs; when half of its maps are done the
// coordinator is killed with SIGKILL and started again, all agents come back at once, and the job goes on to
// its end. This process only looks: at memory, and every 20 ms at how long an answer takes.
//   node bench/cluster/coordinator-load.mjs [--tasks 50000] [--reduces 64] [--agents 200] [--slots 2]
import { fork, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { ApiClient } from "../../modules/client/api-client.js";
import { submission } from "./load-submission.mjs";

const { values } = parseArgs({
  options: {
    tasks: { type: "string", default: "50000" },
    reduces: { type: "string", default: "64" },
    agents: { type: "string", default: "200" },
    slots: { type: "string", default: "2" },
  },
});
const [tasks, reduces, agents, slots] = ["tasks", "reduces", "agents", "slots"].map((name) =>
  Number(values[name]),
);
const root = mkdtempSync(join(tmpdir(), "sheaf-load-"));
const main = new URL("../../dist/cli/main.js", import.meta.url).pathname;
const leaseMs = 10_000;
let port = 0;
let child;
let host;
let isLooking = true;

async function startCoordinator() {
  const flags = ["--port", String(port), "--state", root, "--log-level", "error", "--lease", `${leaseMs}ms`];
  child = spawn(process.execPath, [main, "coordinator", ...flags], { stdio: ["ignore", "pipe", "inherit"] });
  const url = await new Promise((resolve) =>
    child.stdout.setEncoding("utf8").on("data", (text) => {
      const match = /listens on (\S+?);/.exec(text);
      if (match !== null) resolve(match[1]);
    }),
  );
  port = Number(new URL(url).port);
  return url;
}

/** The most it ever had, as the kernel counts it. */
const peakMiB = () =>
  Math.round(Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, "latin1"))[1]) / 1024);

/** Processor time it has used so far. */
const cpuSeconds = () => {
  const fields = readFileSync(`/proc/${child.pid}/stat`, "latin1").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
};

/** The longest answer to a request that costs nothing: how long the coordinator was busy with one thing. */
let longestMs = 0;
async function look(url) {
  while (isLooking) {
    const began = performance.now();
    const answer = await fetch(`${url}/health`).then(
      (one) => one.text(),
      () => null,
    );
    if (answer !== null) longestMs = Math.max(longestMs, performance.now() - began);
    await pause(20);
  }
}

function ask(question, options = {}) {
  return new Promise((resolve) => {
    const heard = (message) => {
      if (message.answer !== question) return;
      host.off("message", heard);
      resolve(message);
    };
    host.on("message", heard);
    host.send({ ask: question, options });
  });
}

async function until(isSo, everyMs = 200) {
  while (!(await isSo())) await pause(everyMs);
}

async function told(what) {
  const { beats, medianMs, worstMs, silentMs, failed } = await ask("hearts");
  console.log(
    `${what}: coordinator's peak ${peakMiB()} MiB, ${cpuSeconds().toFixed(1)} s of a processor; longest stall ${Math.round(longestMs)} ms; ${beats} heartbeats, ` +
      `median ${medianMs} ms, worst ${worstMs} ms, longest silence ${silentMs} ms (lease ${leaseMs}), ${failed} unanswered`,
  );
  longestMs = 0;
}

function clean() {
  isLooking = false;
  host?.kill("SIGKILL");
  child?.kill("SIGKILL");
  rmSync(root, { recursive: true, force: true, maxRetries: 3 });
}
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
process.once("exit", clean);

try {
  const url = await startCoordinator();
  const token = (kind) => readFileSync(join(root, `${kind}.token`), "utf8").trim();
  const client = new ApiClient({ url, token: token("client") });
  host = fork(new URL("load-agents.mjs", import.meta.url));
  await ask("start", { url, token: token("agent"), agents, tasks, reduces, slots });
  void look(url);
  console.log(`${agents} agents of ${slots} slots have joined; the coordinator has ${peakMiB()} MiB`);

  const code = Buffer.from("export default null;");
  const hash = createHash("sha256").update(code).digest("hex");
  await client.putBlob(hash, { bytes: code.length, open: () => Readable.from([code]) });
  const began = performance.now();
  const { job } = await client.submit(submission(hash, reduces), "load-0123456789");
  await until(async () => (await client.job(job)).state === "RUNNING", 200);
  const plannedMs = Math.round(performance.now() - began);
  await told(`${tasks} maps and ${reduces} reduces planned in ${plannedMs} ms`);
  await until(async () => (await ask("counts")).finished >= tasks / 2);
  const half = (performance.now() - began - plannedMs) / 1000;
  await told(`half of the maps in ${half.toFixed(1)} s (${Math.round(tasks / 2 / half)} a second)`);

  child.kill("SIGKILL");
  await new Promise((resolve) => child.once("close", resolve));
  await ask("hearts");
  const killed = Date.now();
  await startCoordinator();
  console.log(`killed and started again: it listens after ${Date.now() - killed} ms`);
  // Of what the hearts tell, only what came after the kill counts.
  let back = { back: 0, lastBackMs: 0, worstMs: 0, silentMs: 0 };
  await until(async () => {
    const now = await ask("hearts");
    back = {
      back: Math.max(back.back, now.back),
      lastBackMs: Math.max(back.lastBackMs, now.lastBackMs),
      worstMs: Math.max(back.worstMs, now.worstMs),
      silentMs: Math.max(back.silentMs, now.silentMs),
    };
    return back.back === agents;
  }, 3_000);
  const lost = (nodes) => nodes.filter(({ state }) => state === "lost").length;
  console.log(
    `all ${back.back} agents are back ${back.lastBackMs - killed} ms after the kill; worst heartbeat ` +
      `${back.worstMs} ms, longest silence ${back.silentMs} ms; lost: ${lost(await client.nodes())}`,
  );
  let state = "";
  await until(async () => {
    ({ state } = await client.job(job));
    return ["SUCCEEDED", "FAILED", "CANCELLED"].includes(state);
  });
  await told(`${state} ${((performance.now() - began) / 1000).toFixed(1)} s after it was submitted`);
  const { begun, twice, standings } = await ask("counts");
  const { counters } = await client.job(job);
  console.log(
    `tasks begun: ${begun} of ${tasks + reduces}; begun twice: ${twice}; counted: ${counters.done}; ` +
      `agents lost: ${lost(await client.nodes())}, told to join again: ${standings}`,
  );
  process.exit(0);
} catch (error) {
  console.error(error);
  process.exit(1);
}
