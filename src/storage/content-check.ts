import { createHash } from "node:crypto";
import { type BigIntStats, createReadStream, statSync, utimesSync } from "node:fs";
import { crc32c } from "../base/crc32.ts";
import { MiB } from "../base/size.ts";

/** Reads the whole file: its size, and the SHA-256 of its content in hex. @throws what reading it throws */
export async function sha256OfFile(path: string): Promise<{ bytes: number; sha256: string }> {
  const digest = createHash("sha256");
  const bytes = await eachChunk(path, (chunk) => digest.update(chunk));
  return { bytes, sha256: digest.digest("hex") };
}

/** The same with CRC-32C. @param until bytes that are read at most. Default: all */
export async function crc32cOfFile(
  path: string,
  until = Number.POSITIVE_INFINITY,
): Promise<{ bytes: number; crc32c: number }> {
  let sum = 0;
  const bytes = until === 0 ? 0 : await eachChunk(path, (chunk) => (sum = crc32c(chunk, sum)), until);
  return { bytes, crc32c: sum };
}

async function eachChunk(
  path: string,
  take: (chunk: Buffer) => void,
  until = Number.POSITIVE_INFINITY,
): Promise<number> {
  let bytes = 0;
  const pieces = createReadStream(path, { highWaterMark: MiB, end: until - 1 }) as AsyncIterable<Buffer>;
  for await (const chunk of pieces) {
    take(chunk);
    bytes += chunk.length;
  }
  return bytes;
}

/**
 * Whether files that are kept under the SHA-256 of their content still have that content. Each is read once
 * by this process, and again when its inode has changed.
 */
export class ContentChecks {
  /** By path: the inode as it was when the content was right. */
  readonly #sound = new Map<string, string>();

  /** False: there is no such file. Sets its times, by which the stores know what was used last. */
  used(path: string, wallMs: number): boolean {
    const before = inodeOf(path);
    if (before === null) return false;
    utimesSync(path, wallMs / 1000, wallMs / 1000);
    if (this.#sound.get(path) === before) this.made(path);
    return true;
  }

  /** The file has just been written, and its content was right. */
  made(path: string): void {
    const inode = inodeOf(path);
    if (inode !== null) this.#sound.set(path, inode);
  }

  /** @throws what reading the file throws */
  async isSound(path: string, sha256: string): Promise<boolean> {
    const inode = inodeOf(path);
    if (inode === null) return false;
    if (this.#sound.get(path) === inode) return true;
    this.#sound.delete(path);
    if ((await sha256OfFile(path)).sha256 !== sha256) return false;
    this.#sound.set(path, inode);
    return true;
  }
}

/** Whoever writes to a file changes this, whatever time of change it is given; null: it is not there. */
export function inodeOf(path: string): string | null {
  const found = statSync(path, { throwIfNoEntry: false, bigint: true });
  return found === undefined ? null : inodeText(found);
}

export function inodeText({ ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
}
