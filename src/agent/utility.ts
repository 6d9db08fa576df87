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
