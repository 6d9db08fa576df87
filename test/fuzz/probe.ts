import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { isMainThread } from "node:worker_threads";

/*
 * Loaded ahead of a process of the cluster: tells how long its event loop was kept at most, on the clock and
 * in time of the processor (which other processes of the machine do not lengthen, but its own threads do).
 */

const everyMs = 10;
const directory = process.env["SHEAF_FUZZ_PROBE"];

if (isMainThread && directory !== undefined) {
  let wallMs = 0;
  let cpuMs = 0;
  let lastMs = performance.now();
  let lastCpu = process.cpuUsage();
  let sinceStart = 0;
  const path = join(directory, `${process.pid}.json`);
  setInterval(() => {
    const nowMs = performance.now();
    const turnMs = nowMs - lastMs - everyMs;
    const { user, system } = process.cpuUsage(lastCpu);
    lastMs = nowMs;
    lastCpu = process.cpuUsage();
    // What it takes to load it is not meant.
    if (sinceStart++ < 200) return;
    const busyMs = Math.min(turnMs, (user + system) / 1_000);
    if (turnMs <= wallMs && busyMs <= cpuMs) return;
    wallMs = Math.max(wallMs, turnMs);
    cpuMs = Math.max(cpuMs, busyMs);
    writeFileSync(path, JSON.stringify({ wallMs: Math.round(wallMs), cpuMs: Math.round(cpuMs) }));
  }, everyMs).unref();
}
