import type * as Crc32 from "@node-rs/crc32";
import { createRequire } from "node:module";

/*
 * By require: to import a CommonJS module Node first looks through its text for what it may export, and the
 * loader of this native module is so long that every start of a worker would wait tens of milliseconds for
 * it.
 */
const native = createRequire(import.meta.url)("@node-rs/crc32") as typeof Crc32;

/** CRC-32 as gzip has it, of bytes or text; given the sum of what stands before, the sum of both. */
export const crc32: typeof Crc32.crc32 = native.crc32;

/** CRC-32C (Castagnoli), the checksum of blocks, parts and records. */
export const crc32c: typeof Crc32.crc32c = native.crc32c;

/** A checksum as manifests have it: eight hex digits. */
export function crcText(crc: number): string {
  return crc.toString(16).padStart(8, "0");
}
