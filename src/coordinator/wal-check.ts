import { closeSync, openSync, readSync } from "node:fs";
import { errnoOf } from "../storage/fs-error.ts";

/*
 * SQLite takes a write-ahead log up to the first frame that does not fit and drops the rest. That is right
 * for a tail that was cut when power went, and wrong for damage in the middle: transactions that were
 * acknowledged would vanish without a word. With synchronous=FULL a transaction's frames are on disk before
 * the next transaction's are written. So a frame that does not fit is a cut tail if all that follows of this
 * log belongs to the same transaction, and damage if a later transaction follows.
 *
 * The format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
 */

const headerBytes = 32;
const frameHeaderBytes = 24;
const littleEndianMagic = 0x377f0682;
const bigEndianMagic = 0x377f0683;

/** Where the log of a database is damaged, in words; null when it is whole, cut at its end, or not there. */
export function findWalDamage(path: string): string | null {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return null;
    throw error;
  }
  try {
    return damageIn(file);
  } finally {
    closeSync(file);
  }
}

function damageIn(file: number): string | null {
  const header = Buffer.alloc(headerBytes);
  if (readSync(file, header, 0, headerBytes, 0) < headerBytes || header.every((byte) => byte === 0))
    return null;
  const magic = header.readUInt32BE(0);
  const isLittle = magic === littleEndianMagic;
  let sums = checksum(header.subarray(0, 24), isLittle, [0, 0]);
  if ((!isLittle && magic !== bigEndianMagic) || !fits(header, 24, sums)) return "its header (byte 0)";
  const frame = Buffer.alloc(frameHeaderBytes + header.readUInt32BE(8));
  let bad: number | null = null;
  let transactionOver = false;
  for (
    let at = headerBytes;
    readSync(file, frame, 0, frame.length, at) === frame.length;
    at += frame.length
  ) {
    // Frames with other salts are left over from before the log began anew.
    const isOfThisLog = frame.compare(header, 16, 24, 8, 16) === 0;
    if (bad === null && isOfThisLog) {
      sums = checksum(frame.subarray(0, 8), isLittle, sums);
      sums = checksum(frame.subarray(frameHeaderBytes), isLittle, sums);
      if (fits(frame, 16, sums)) continue;
    }
    bad ??= at;
    if (!isOfThisLog) continue;
    if (transactionOver) return `the frame at byte ${bad}, with later transactions behind it`;
    transactionOver = frame.readUInt32BE(4) !== 0;
  }
  return null;
}

type Sums = readonly [number, number];

function checksum(bytes: Buffer, isLittle: boolean, before: Sums): Sums {
  let [a, b] = before;
  for (let at = 0; at < bytes.length; at += 8) {
    a = (a + (isLittle ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at)) + b) >>> 0;
    b = (b + (isLittle ? bytes.readUInt32LE(at + 4) : bytes.readUInt32BE(at + 4)) + a) >>> 0;
  }
  return [a, b];
}

function fits(bytes: Buffer, at: number, [a, b]: Sums): boolean {
  return bytes.readUInt32BE(at) === a && bytes.readUInt32BE(at + 4) === b;
}
