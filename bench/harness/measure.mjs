// Runs a command and measures it: wall time, and memory of its whole process tree.
import { spawn } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";

const SAMPLE_MS = 20;

/**
 * Answers {seconds, peakBytes, cpuSeconds}. peakBytes: the largest sum, over all processes alive at one time,
 * of the most memory each has had (VmHWM); null where there is no /proc. Pages that processes share count for
 * each; what a process gains in its last 20 ms may be missed. cpuSeconds: user and system time of all of them
 * as last seen.
 */
export async function measure(command, { cwd, environment = {}, timeoutMs = 3_600_000 } = {}) {
  const [file, ...rest] = command;
  const start = performance.now();
  const child = spawn(file, rest, {
    cwd,
    env: { ...process.env, ...environment },
    stdio: ["ignore", "ignore", "pipe"],
    timeout: timeoutMs,
  });
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (errors = (errors + text).slice(-4000)));
  let peakBytes = null;
  const cpuTicks = new Map();
  const sample = () => {
    let sum = 0;
    for (const id of tree(child.pid)) {
      sum += highWaterBytes(id);
      const ticks = cpuTicksOf(id);
      if (ticks !== null) cpuTicks.set(id, ticks);
    }
    if (sum > 0) peakBytes = Math.max(peakBytes ?? 0, sum);
  };
  const timer = setInterval(sample, SAMPLE_MS);
  sample();
  const [code, signal] = await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (...ended) => resolve(ended));
  });
  const seconds = (performance.now() - start) / 1000;
  clearInterval(timer);
  if (code !== 0) {
    const [first] = errors.trim().split("\n");
    throw new Error(`ended with ${signal ?? code}: ${first}\n${command.join(" ")}\n${errors}`);
  }
  const cpuSeconds = cpuTicks.size === 0 ? null : [...cpuTicks.values()].reduce((a, b) => a + b, 0) / 100;
  return { seconds, peakBytes, cpuSeconds };
}

/**
 * Ids of a process and all its descendants; children are listed per thread, as each may have started some.
 */
function tree(root) {
  const ids = [root];
  for (let i = 0; i < ids.length; i++) {
    let threads = [];
    try {
      threads = readdirSync(`/proc/${ids[i]}/task`);
    } catch {
      continue; // it has ended
    }
    for (const thread of threads) {
      const children = read(`/proc/${ids[i]}/task/${thread}/children`);
      for (const id of children.split(" ")) if (id !== "") ids.push(Number(id));
    }
  }
  return ids;
}

function highWaterBytes(id) {
  const line = /^VmHWM:\s+(\d+) kB$/m.exec(read(`/proc/${id}/status`));
  return line === null ? 0 : Number(line[1]) * 1024;
}

/** User plus system time in ticks of 10 ms, null when the process has ended. */
function cpuTicksOf(id) {
  const stat = read(`/proc/${id}/stat`);
  // The name in parentheses may hold spaces; the fields after it do not. utime and stime are fields 14 and
  // 15.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields.length < 13 ? null : Number(fields[11]) + Number(fields[12]);
}

function read(path) {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
