import { formatSize } from "../../base/size.ts";

/** "1,234,567". */
export function formatCount(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** Three figures for a rate: "950", "12.3k", "1.25M". */
export function formatShortCount(value: number): string {
  const units = ["", "k", "M", "G", "T"];
  let scaled = value;
  let unit = 0;
  while (scaled >= 999.5 && unit < units.length - 1) {
    scaled /= 1000;
    unit++;
  }
  const digits = unit === 0 || scaled >= 99.95 ? 0 : scaled >= 9.995 ? 1 : 2;
  return `${scaled.toFixed(digits)}${units[unit]}`;
}

/** "1 task", "20 tasks". */
export function plural(count: number, noun: string, nouns = `${noun}s`): string {
  return `${formatCount(count)} ${count === 1 ? noun : nouns}`;
}

/** A rate of less than this is the cost of starting, and says nothing. */
export function worthARate(bytes: number): boolean {
  return bytes >= 1024 * 1024;
}

export function formatByteRate(bytes: number, elapsedMs: number): string {
  return `${formatSize(Math.round((bytes * 1000) / Math.max(1, elapsedMs)))}/s`;
}

/** Time left, coarse on purpose: "<1 s", "8 s", "1m 20s", "2h 05m". */
export function formatTimeLeft(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 1) return "<1 s";
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${String(seconds % 60).padStart(2, "0")}s`;
  return `${Math.floor(seconds / 3600)}h ${String(Math.floor((seconds % 3600) / 60)).padStart(2, "0")}m`;
}

/** A share of at most 1 as a percentage: 0.015 is "1.5%". */
export function shareText(share: number): string {
  return `${Number((share * 100).toPrecision(6))}%`;
}
