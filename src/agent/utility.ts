import { readFileSync } from "node:fs";
import { cpus, freemem } from "node:os";
import type { Clock } from "../base/clock.ts";
import type { Utility } from "../protocol/agent-messages.ts";

/** Readings of the machine, of which two make a measurement. */
export interface Reading {
  readonly atMs: number;
  /** Summed over all processors, in units of the system's own; null where it does not tell. */
  readonly cpu: { readonly idle: number; readonly total: number } | null;
  /** Of each disk, how long it has been busy, ms. */
  readonly disksBusyMs: Readonly<Record<string, number>>;
}

/** The first line of Linux's /proc/stat; null when it is not there. */
export function parseProcStat(text: string): Reading["cpu"] {
  const line = /^cpu +(\d[\d ]*)$/m.exec(text)?.[1];
  if (line === undefined) return null;
  const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] = line
    .split(/ +/)
    .map(Number);
  // Time waited for disks is idle for the processor; guests are counted in user and nice already.
  const free = idle + iowait;
  return { idle: free, total: user + nice + system + irq + softirq + steal + free };
}

/** Parts of disks, and devices that are no disks or stand on others, which are counted themselves. */
const notDisks = /^(?:loop|ram|zram|dm-|md|sr|fd|nbd)\d*|^(?:[shv]d[a-z]+|xvd[a-z]+)\d+$|p\d+$/;

/** Linux's /proc/diskstats: the time each whole disk had requests under way, ms. */
export function parseDiskStats(text: string): Record<string, number> {
  const busy: Record<string, number> = {};
  for (const line of text.split("\n")) {
    const fields = line.trim().split(/ +/);
    const name = fields[2];
    // Major, minor, name, then the statistics, of which the tenth is the time spent doing requests.
    const ms = Number(fields[12]);
    if (name === undefined || fields[12] === undefined || !Number.isFinite(ms) || notDisks.test(name))
      continue;
    busy[name] = ms;
  }
  return busy;
}

/** VmRSS of Linux's /proc/<pid>/status, bytes; null when it is not there. */
export function parseResidentBytes(text: string): number | null {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1];
  return kib === undefined ? null : Number(kib) * 1024;
}

/**
 * Idle shares between two readings, percent. The disk's is that of the busiest one. What the system does not
 * tell, or cannot have been measured in no time, counts as idle.
 */
export function utilityBetween(from: Reading, to: Reading, freeMemoryBytes: number): Utility {
  const cpuIdle = cpuShare(from.cpu, to.cpu);
  const elapsedMs = to.atMs - from.atMs;
  let busiest = 0;
  for (const [name, busyMs] of Object.entries(to.disksBusyMs)) {
    const before = from.disksBusyMs[name];
    // The system's counter has 32 bits and begins anew.
    if (before === undefined || busyMs < before || elapsedMs <= 0) continue;
    busiest = Math.max(busiest, (busyMs - before) / elapsedMs);
  }
  const diskIdle = percent(1 - busiest);
  return { cpuIdle, diskIdle, utility: Math.min(cpuIdle, diskIdle), freeMemoryBytes };
}

function cpuShare(from: Reading["cpu"], to: Reading["cpu"]): number {
  if (from === null || to === null) return 100;
  const total = to.total - from.total;
  return total <= 0 ? 100 : percent((to.idle - from.idle) / total);
}

/** In [0, 100], with one decimal. */
function percent(share: number): number {
  return Math.round(Math.min(1, Math.max(0, share)) * 1_000) / 10;
}

/** What is measured over: shorter, and single bursts would decide where jobs go. */
const windowMs = 5_000;

/** Measures how idle this machine is. */
export class UtilityMeter {
  readonly #clock: Clock;
  /** Oldest first; the oldest is the youngest that is old enough. */
  readonly #readings: Reading[];

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#readings = [this.#read()];
  }

  /** Over the last seconds, up to now. */
  measure(): Utility {
    const now = this.#read();
    this.#readings.push(now);
    while (this.#readings.length > 2 && now.atMs - this.#readings[1]!.atMs >= windowMs)
      this.#readings.shift();
    return utilityBetween(this.#readings[0]!, now, freeMemory());
  }

  #read(): Reading {
    const stat = readText("/proc/stat");
    return {
      atMs: this.#clock.nowMs(),
      cpu: stat === null ? cpuTimes() : parseProcStat(stat),
      disksBusyMs: parseDiskStats(readText("/proc/diskstats") ?? ""),
    };
  }
}

/** Where there is no /proc. */
function cpuTimes(): Reading["cpu"] {
  let idle = 0;
  let total = 0;
  for (const { times } of cpus()) {
    idle += times.idle;
    total += times.idle + times.user + times.nice + times.sys + times.irq;
  }
  return total === 0 ? null : { idle, total };
}

/** Memory that can be had without swapping, caches of files included. */
function freeMemory(): number {
  const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(readText("/proc/meminfo") ?? "")?.[1];
  return kib === undefined ? freemem() : Number(kib) * 1024;
}

/** Files of /proc are made when they are read, in memory: this does not wait for a disk. */
function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
