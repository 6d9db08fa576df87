import { SheafError } from "./errors.ts";

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: KiB,
  kb: KiB,
  kib: KiB,
  m: MiB,
  mb: MiB,
  mib: MiB,
  g: GiB,
  gb: GiB,
  gib: GiB,
  t: 1024 * GiB,
  tb: 1024 * GiB,
  tib: 1024 * GiB,
};

/**
 * Bytes meant by "7", "64k", "128MiB", "1.5 GB". Units are powers of 1024, case does not matter.
 * @throws SheafError USAGE when the text is no size; `what` names the flag or field in the message.
 */
export function parseSize(text: string | number, what: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(String(text));
  const unit = match && UNITS[match[2]!.toLowerCase()];
  const bytes = match && unit !== undefined ? Math.round(Number(match[1]) * unit!) : Number.NaN;
  if (!Number.isSafeInteger(bytes) || bytes < 0) {
    throw new SheafError("USAGE", `${what}: "${text}" is not a size`, {
      hint: 'Give bytes or a unit of 1024: "65536", "64KiB", "256M", "1.5GiB".',
    });
  }
  return bytes;
}

/** "0 B", "1.5 KiB", "256 MiB": at most one decimal, for people. */
export function formatSize(bytes: number): string {
  const names = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < names.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 100 || Number.isInteger(value) ? 0 : 1;
  return `${value.toFixed(digits)} ${names[unit]}`;
}
