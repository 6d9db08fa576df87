import { readFileSync } from "node:fs";
import { cpus, freemem } from "node:os";
import type { Clock } from "../base/clock.ts";
import type { Utility } from "../protocol/agent-messages.ts";
import { parseDiskStats, parseProcStat, utilityBetween } from "./utility.ts";
import type { Reading } from "./utility.ts";

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
