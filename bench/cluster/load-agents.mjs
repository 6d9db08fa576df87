// Agents that speak HTTP as real ones do and run nothing, all of them in this process; their heartbeats come
// from a thread of their own, as those of real agents do. Told what to do, and asked, by messages of the
// parent (coordinator-load.mjs).
import { Worker } from "node:worker_threads";
import { withoutPages } from "../../modules/agent/errands.js";
import { ApiClient } from "../../modules/client/api-client.js";

const utility = { cpuIdle: 100, diskIdle: 100, utility: 100, freeMemoryBytes: 1 };
const statNames =
  "recordsIn bytesIn recordsOut bytesOut emitted shuffleBytes spills badRecords groups elapsedMs cpuMs";
const stats = Object.fromEntries(
  statNames.split(" ").map((name) => [name, name.endsWith("Ms") ? 1.234 : 1_000]),
);
const untilAnswered = { retryMs: Number.POSITIVE_INFINITY };
/** By "phase task": how often it was begun. */
const begun = new Map();
const counts = { finished: 0, bytesOfLists: 0, standings: 0 };

class Agent {
  running = new Map();
  jobs = new Set();
  /** By job: entries of the list of map outputs that were read, and are known to be there. */
  lists = new Map();
  asks = [];
  errands = new Set();

  constructor({ url, token, tasks, reduces, slots, hearts }, index) {
    Object.assign(this, { url, token, tasks, reduces, slots, hearts, index });
    this.name = `agent-${index}`;
    this.api = new ApiClient({ url, token });
  }

  async join() {
    const who = { agent: this.name, incarnation: 1, host: "load", pid: 1, address: "http://127.0.0.1:9" };
    const rest = { slots: this.slots, memoryBytes: 1, utility, roots: ["/"] };
    const identity = { key: this.name, previous: 0, life: "1", place: "load" };
    await this.api.register({ protocol: 1, version: "load", ...who, identity, ...rest }, untilAnswered);
    this.changed();
    void this.orders();
    for (let slot = 0; slot < this.slots; slot++) void this.serve(slot);
  }

  changed() {
    if (this.telling) return;
    this.telling = true;
    queueMicrotask(() => {
      this.telling = false;
      const running = [...this.running.values()];
      this.hearts.postMessage({ agent: this.index, running, jobs: [...this.jobs] });
    });
  }

  /** What the heart has heard. */
  heard({ standing, forget, outputs }) {
    if (standing !== "ok") counts.standings++;
    for (const job of forget) this.jobs.delete(job);
    for (const [job, version] of Object.entries(outputs)) void this.read(job, version).catch(() => undefined);
    if (forget.length > 0) this.changed();
  }

  /** Reads the job's list of map outputs at least so far, page by page, one reading at a time. */
  async read(job, version) {
    let list = this.lists.get(job);
    if (list === undefined) this.lists.set(job, (list = { read: 0, told: 0, reading: null }));
    list.told = Math.max(list.told, version);
    while (list.read < version) {
      list.reading ??= this.readOn(job, list).finally(() => (list.reading = null));
      await list.reading;
    }
  }

  async readOn(job, list) {
    while (list.read < list.told) {
      const page = await this.api.outputs(job, list.read, untilAnswered);
      counts.bytesOfLists += page.entries.length;
      list.read = page.version;
    }
  }

  async orders() {
    for (;;) {
      const { orders } = await this.api
        .orders(this.name, { incarnation: 1, errands: [...this.errands] }, untilAnswered)
        .catch(() => ({ orders: [] }));
      for (const order of orders) {
        if (order.kind === "errand") void this.errand(order.errand);
        if (order.kind === "outputs") void this.read(order.job, order.version).catch(() => undefined);
      }
    }
  }

  async errand(errand) {
    this.errands.add(errand.id);
    const from = { agent: this.name, incarnation: 1 };
    const { tasks, reduces } = this;
    const split = (index) => ({ index, bytes: 1, pieces: [piece(index)] });
    const splits = Array.from({ length: tasks }, (_, index) => split(index));
    const planned = { kind: "planned", ...from, splits, sample: [], files: tasks, bytes: tasks };
    const result =
      errand.kind === "plan"
        ? { ...planned, partitions: [reduces] }
        : { kind: "committed", ...from, parts: [] };
    const told = await withoutPages(this.api, errand.id, result, untilAnswered, () => undefined);
    await this.api.errandDone(errand.id, told, untilAnswered);
    this.errands.delete(errand.id);
  }

  async serve(slot) {
    for (;;) {
      this.asks[slot] ??= 1;
      const who = { agent: this.name, incarnation: 1, slot, ask: this.asks[slot], workerPid: 1 };
      const answer = await this.api.askTask(who, untilAnswered).catch(() => null);
      if (answer?.ask_anew) this.asks[slot]++;
      if (answer?.order == null) continue;
      this.asks[slot]++;
      await this.work(answer, who);
    }
  }

  async work({ order, type }, who) {
    const { attempt, work } = order;
    const task = `${attempt.phase} ${attempt.task}`;
    begun.set(task, (begun.get(task) ?? 0) + 1);
    this.jobs.add(attempt.job);
    const cells = { recordsIn: 1, bytesIn: 1, recordsOut: 1, spillBytes: 1, fraction: 0.5 };
    this.running.set(task, { attempt, beat: 1, ...cells });
    this.changed();
    const isMap = attempt.phase === "map";
    if (!isMap) await this.read(attempt.job, work.outputs);
    const output = isMap ? { task: attempt.task, attempt: attempt.attempt, path: "/x" } : null;
    const more = { parts: [], keys: [], hotKeys: [], badPath: null };
    const partitionBytes = isMap ? [Array.from({ length: this.reduces }, () => 1)] : [];
    const result = { kind: "success", stats, counters: { done: 1 }, output, partitionBytes, ...more };
    const digest = isMap ? { bytes: 1, fingerprint: "00" } : null;
    const report = { status: 4, attempt, result, output: digest };
    const call = this.api.report(attempt.job, type, attempt.task, report, who, untilAnswered);
    await call.catch((error) => console.error(error.message));
    counts.finished++;
    this.running.delete(task);
    this.changed();
  }
}

function piece(index) {
  const path = `/data/logs/2026/part-${String(index).padStart(6, "0")}.txt`;
  const size = { start: 0, end: 1, fileBytes: 1, mtimeMs: 1_700_000_000_000.5 };
  return { kind: "file", path, name: path, compression: "none", ...size };
}

let agents = [];
process.on("message", async ({ ask, options }) => {
  if (ask === "start") {
    const { url, token } = options;
    const workerData = { url, token, agents: options.agents };
    const hearts = new Worker(new URL("load-hearts.mjs", import.meta.url), { workerData });
    agents = Array.from({ length: options.agents }, (_, index) => new Agent({ ...options, hearts }, index));
    hearts.on("message", (message) => {
      if (message.stats !== undefined) process.send({ answer: "hearts", ...message.stats });
      else agents[message.agent].heard(message.answer);
    });
    await Promise.all(agents.map((agent) => agent.join()));
    process.send({ answer: "start" });
    process.on("message", ({ ask: more }) => {
      if (more === "hearts") hearts.postMessage({ ask: "stats" });
    });
  } else if (ask === "counts") {
    const twice = [...begun.values()].filter((times) => times > 1).length;
    process.send({ answer: "counts", ...counts, begun: begun.size, twice });
  }
});
