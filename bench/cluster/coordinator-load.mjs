// What a coordinator costs: a real one, in a process of its own, and agents that speak HTTP as real ones do
// but run nothing. First a job of many tasks (memory, decisions a second), then the coordinator is killed and
// all agents come back at once (how late heartbeats are).
//   node bench/cluster/coordinator-load.mjs [--tasks 50000] [--agents 200] [--slots 2]
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { parseArgs } from "node:util";
import { ApiClient } from "../../dist/client/api-client.js";

const { values } = parseArgs({
  options: {
    tasks: { type: "string", default: "50000" },
    agents: { type: "string", default: "200" },
    slots: { type: "string", default: "2" },
  },
});
const [tasks, agents, slots] = [values.tasks, values.agents, values.slots].map(Number);
const root = mkdtempSync(join(tmpdir(), "sheaf-load-"));
const main = new URL("../../dist/cli/main.js", import.meta.url).pathname;
let port = 0;
let child;

async function startCoordinator() {
  const flags = ["--port", String(port), "--state", root, "--log-level", "error"];
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

const residentMiB = () => {
  const status = readFileSync(`/proc/${child.pid}/status`, "latin1");
  const of = (name) => Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)[1]) / 1024);
  return { now: of("VmRSS"), most: of("VmHWM") };
};

const url = await startCoordinator();
const token = (kind) => readFileSync(join(root, `${kind}.token`), "utf8").trim();
const client = new ApiClient({ url, token: token("client") });
const utility = { cpuIdle: 100, diskIdle: 100, utility: 100, freeMemoryBytes: 1 };
const stats = Object.fromEntries(
  "recordsIn bytesIn recordsOut bytesOut emitted shuffleBytes spills badRecords groups elapsedMs cpuMs"
    .split(" ")
    .map((name) => [name, 1]),
);
let beatsMs = [];
let isOver = false;

class Agent {
  running = new Map();
  jobs = new Set();
  asks = [];
  constructor(index) {
    this.name = `agent-${index}`;
    this.api = new ApiClient({ url, token: token("agent"), retryMs: 120_000 });
  }

  async join() {
    await this.api.register({
      protocol: 1,
      version: "load",
      agent: this.name,
      incarnation: 1,
      host: "load",
      pid: 1,
      address: "http://127.0.0.1:9",
      slots,
      memoryBytes: 1,
      utility,
      roots: ["/"],
    });
  }

  async beat() {
    const began = performance.now();
    const running = [...this.running.values()];
    await this.api.heartbeat(this.name, {
      incarnation: 1,
      running,
      jobs: [...this.jobs],
      utility,
      draining: false,
    });
    beatsMs.push(performance.now() - began);
  }

  async live() {
    void this.orders();
    for (let slot = 0; slot < slots; slot++) void this.serve(slot);
    while (!isOver) {
      const began = performance.now();
      await this.beat().catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, 1_000 - (performance.now() - began))));
    }
  }

  async orders() {
    while (!isOver) {
      const { orders } = await this.api
        .orders(this.name, { incarnation: 1, errands: [] })
        .catch(() => ({ orders: [] }));
      for (const order of orders) if (order.kind === "errand") await this.errand(order.errand);
    }
  }

  async errand(errand) {
    const from = { agent: this.name, incarnation: 1 };
    const piece = (index) => ({
      kind: "file",
      path: `/data/logs/part-${index}.txt`,
      name: `logs/part-${index}.txt`,
      start: 0,
      end: 1,
      fileBytes: 1,
      mtimeMs: 0,
      compression: "none",
    });
    const splits = Array.from({ length: tasks }, (_, index) => ({ index, bytes: 1, pieces: [piece(index)] }));
    const planned = {
      kind: "planned",
      ...from,
      splits,
      sample: [],
      files: tasks,
      bytes: tasks,
      partitions: [1],
    };
    await this.api.errandDone(
      errand.id,
      errand.kind === "plan" ? planned : { kind: "committed", ...from, parts: [] },
    );
  }

  async serve(slot) {
    while (!isOver) {
      this.asks[slot] = (this.asks[slot] ?? 0) + 1;
      const who = { agent: this.name, incarnation: 1, slot, ask: this.asks[slot], workerPid: 1 };
      const answer = await this.api.askTask(who).catch(() => null);
      if (answer?.order == null) continue;
      const { attempt } = answer.order;
      this.jobs.add(attempt.job);
      const isMap = attempt.phase === "map";
      const result = {
        kind: "success",
        stats,
        counters: { done: 1 },
        output: isMap ? { task: attempt.task, attempt: attempt.attempt, path: "/x" } : null,
        parts: [],
        keys: [],
        partitionBytes: isMap ? [[1]] : [],
        hotKeys: [],
        badPath: null,
      };
      const output = isMap ? { bytes: 1, fingerprint: "00" } : null;
      const report = { status: 4, attempt, result, output };
      await this.api
        .report(attempt.job, answer.type, attempt.task, report, who)
        .catch((error) => console.error(error.message));
    }
  }
}

const code = Buffer.from("export default null;");
const hash = createHash("sha256").update(code).digest("hex");
await client.putBlob(hash, { bytes: code.length, open: () => Readable.from([code]) });
const all = Array.from({ length: agents }, (_, index) => new Agent(index));
await Promise.all(all.map((agent) => agent.join()));
for (const agent of all) void agent.live();

const began = performance.now();
const { job } = await client.submit(submission(), "load-0123456789");
let most = 0;
for (;;) {
  await new Promise((resolve) => setTimeout(resolve, 500));
  const { state } = await client.job(job);
  most = Math.max(most, residentMiB().most);
  if (state === "SUCCEEDED") break;
  if (state === "FAILED" || state === "CANCELLED") throw new Error(state);
}
const elapsedMs = performance.now() - began;
const quantile = (list, share) =>
  Math.round([...list].sort((a, b) => a - b)[Math.floor(list.length * share)] ?? 0);
console.log(
  `${tasks} tasks on ${agents} agents: ${(elapsedMs / 1000).toFixed(1)} s, ` +
    `${Math.round((tasks * 1000) / elapsedMs)} tasks/s`,
);
console.log(
  `memory of the coordinator: ${most} MiB at most; ` +
    `heartbeats: median ${quantile(beatsMs, 0.5)} ms, worst ${quantile(beatsMs, 0.9999)} ms`,
);

beatsMs = [];
child.kill("SIGKILL");
await new Promise((resolve) => child.once("close", resolve));
const restarted = performance.now();
await startCoordinator();
console.log(`restarted in ${Math.round(performance.now() - restarted)} ms`);
while (beatsMs.length < 5 * agents) await new Promise((resolve) => setTimeout(resolve, 50));
console.log(
  `${agents} agents come back: 5 beats of each ${Math.round(performance.now() - restarted)} ms after; ` +
    `worst heartbeat ${quantile(beatsMs, 0.9999)} ms (lease 10,000 ms)`,
);
const nodes = await client.nodes();
console.log(`agents lost: ${(nodes.nodes ?? nodes).filter(({ state }) => state === "lost").length}`);
isOver = true;
child.kill("SIGKILL");
rmSync(root, { recursive: true, force: true });
process.exit(0);

function submission() {
  return {
    protocol: 1,
    name: "load",
    submitter: "bench",
    host: "here",
    group: null,
    project: null,
    file: null,
    code: hash.slice(0, 16),
    bundle: hash,
    sourceMap: null,
    aux: [],
    outline: {
      name: null,
      input: {
        kind: "text",
        framing: { kind: "delimiter", delimiter: "Cg==" },
        needsHeader: false,
        compression: "auto",
        recordBytesMax: null,
      },
      collections: [{ name: "", partitions: 1, order: "hash", mapOnly: false }],
      params: {},
      hasExpect: false,
      seed: 0,
      aux: [],
    },
    inputs: ["/data/logs"],
    options: {
      partitions: [1],
      splitBytes: null,
      memoryBytes: 2 ** 28,
      heapBytes: null,
      sample: 1,
      params: {},
      badBudget: null,
      attempts: 4,
      failedTasksShare: 0,
      noProgressMs: 60_000,
      partBytes: 2 ** 26,
      cores: null,
      priority: 0,
      speculation: false,
      queueTimeoutMs: null,
      mappers: null,
    },
    output: { kind: "collect", write: true, collect: false },
    attached: false,
    faults: [],
  };
}
