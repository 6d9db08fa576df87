// The hearts of all agents of load-agents.mjs: a thread that does nothing else, so that what it measures is
// how late the coordinator answers.
import { parentPort, workerData } from "node:worker_threads";
import { ApiClient } from "../../modules/client/api-client.js";

const utility = { cpuIdle: 100, diskIdle: 100, utility: 100, freeMemoryBytes: 1 };
const { url, token, agents } = workerData;
const everyMs = 1_000;
const states = Array.from({ length: agents }, () => ({ running: [], jobs: [] }));
/** Since it was last asked: answers, and of each agent the longest time between two answers. */
let answeredMs = [];
let failed = 0;
const heardMs = Array.from({ length: agents }, () => performance.now());
let silentMs = Array.from({ length: agents }, () => 0);
let firstMs = Array.from({ length: agents }, () => null);

async function beat(agent, api) {
  const began = performance.now();
  const { running, jobs } = states[agent];
  try {
    const heartbeat = { incarnation: 1, running, jobs, utility, draining: false };
    const answer = await api.heartbeat(`agent-${agent}`, heartbeat, { retryMs: 0, timeoutMs: 5_000 });
    const nowMs = performance.now();
    answeredMs.push(nowMs - began);
    silentMs[agent] = Math.max(silentMs[agent], nowMs - heardMs[agent]);
    heardMs[agent] = nowMs;
    firstMs[agent] ??= Date.now();
    parentPort.postMessage({ agent, answer });
  } catch {
    failed++;
  }
  setTimeout(() => void beat(agent, api), Math.max(0, everyMs - (performance.now() - began)));
}

for (let agent = 0; agent < agents; agent++) {
  const api = new ApiClient({ url, token });
  setTimeout(() => void beat(agent, api), (agent * everyMs) / agents);
}

parentPort.on("message", ({ ask, agent, running, jobs }) => {
  if (ask === undefined) {
    states[agent] = { running, jobs };
    return;
  }
  const sorted = answeredMs.sort((a, b) => a - b);
  const at = (share) => Math.round(sorted[Math.floor((sorted.length - 1) * share)] ?? 0);
  parentPort.postMessage({
    stats: {
      beats: sorted.length,
      failed,
      medianMs: at(0.5),
      worstMs: at(1),
      silentMs: Math.round(Math.max(...silentMs)),
      back: firstMs.filter((ms) => ms !== null).length,
      lastBackMs: Math.max(...firstMs.map((ms) => ms ?? 0)),
    },
  });
  answeredMs = [];
  failed = 0;
  silentMs = silentMs.map(() => 0);
  firstMs = firstMs.map(() => null);
});
