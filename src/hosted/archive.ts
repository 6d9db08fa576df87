import { createHash, randomBytes } from "node:crypto";
import { createReadStream, readdirSync, statSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { SheafError } from "../base/errors.ts";
import { sha256OfFile } from "../storage/content-check.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { openedForWriting } from "../storage/stream-file.ts";

/** A file as it is to be in an archive. */
export interface ArchivedFile {
  /** With "/" between its parts, relative. */
  readonly name: string;
  readonly path: string;
}

/** A .tgz that is made when it is wanted: engines keep those they have, by name. */
export interface Archive {
  /** Says what is in it: "node-v20.20.2-linux-x64-0f3a.....tgz". The same files have the same name. */
  readonly name: string;
  /** Writes it. The same files give the same bytes. @throws SheafError DISK_FULL, OUTPUT_UNWRITABLE */
  pack(to: string): Promise<void>;
}

const BLOCK = 512;
const hashDigits = 16;
/** Packed once and kept: of what is packed for each job, time counts, and of large files too. */
const gzipLevel = 3;

/** @param name what its name begins with */
export async function archiveOf(name: string, files: readonly ArchivedFile[]): Promise<Archive> {
  const sorted = [...files].sort((a, b) => (a.name < b.name ? -1 : 1));
  const digest = createHash("sha256");
  for (const file of sorted) {
    const { sha256 } = await sha256OfFile(file.path).catch((error: unknown) => {
      throw asSheafError(error, { path: file.path, doing: "read" });
    });
    digest.update(`${JSON.stringify(file.name)} ${modeOf(file.path)} ${sha256}\n`);
  }
  return {
    name: `${name}-${digest.digest("hex").slice(0, hashDigits)}.tgz`,
    pack: (to) => pack(sorted, to),
  };
}

/** All files of a directory, links followed. `skip` is asked of names relative to it, directories too. */
export function filesBelow(
  directory: string,
  under: string,
  skip: (name: string) => boolean,
): ArchivedFile[] {
  const found: ArchivedFile[] = [];
  const walk = (below: string): void => {
    for (const name of readdirSync(join(directory, below)).sort()) {
      const relative = below === "" ? name : `${below}/${name}`;
      if (skip(relative)) continue;
      const path = join(directory, relative);
      if (statSync(path).isDirectory()) walk(relative);
      else found.push({ name: `${under}${relative}`, path });
    }
  };
  walk("");
  return found;
}

async function pack(files: readonly ArchivedFile[], to: string): Promise<void> {
  const aside = `${to}.${randomBytes(6).toString("hex")}`;
  try {
    const file = openedForWriting(aside);
    await pipeline(Readable.from(tarOf(files)), createGzip({ level: gzipLevel }), file);
    await rename(aside, to);
  } catch (error) {
    await rm(aside, { force: true });
    throw asSheafError(error, { path: to, doing: "write" });
  }
}

/** POSIX ustar: no owners and no times, so that only the files count. */
async function* tarOf(files: readonly ArchivedFile[]): AsyncGenerator<Buffer> {
  for (const { name, path } of files) {
    const { size } = statSync(path);
    yield header(name, size, modeOf(path));
    let left = size;
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      left -= chunk.length;
      yield chunk;
    }
    if (left !== 0) {
      throw new SheafError("INPUT_CHANGED", `${path} has changed while it was packed`, {
        hint: "Leave the files of the job as they are until it is submitted, and submit it again.",
      });
    }
    yield Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
  }
  yield Buffer.alloc(2 * BLOCK);
}

function header(name: string, size: number, mode: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  const [prefix, short] = splitName(name);
  const octal = (value: number, at: number, digits: number): void =>
    void block.write(value.toString(8).padStart(digits, "0"), at, "latin1");
  block.write(short, 0);
  octal(mode, 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  if (size >= 8 ** 11) throw tooLarge(name, `has ${size} bytes`);
  octal(size, 124, 11);
  octal(0, 136, 11);
  block.write("        0", 148, "latin1");
  block.write("ustar\u000000", 257, "latin1");
  block.write(prefix, 345);
  let sum = 0;
  for (const byte of block) sum += byte;
  octal(sum, 148, 6);
  block[154] = 0;
  return block;
}

/** What stands before a "/" and what behind it, as far as the fields go. */
function splitName(name: string): [prefix: string, short: string] {
  if (Buffer.byteLength(name) <= 100) return ["", name];
  for (let at = name.indexOf("/"); at > 0; at = name.indexOf("/", at + 1)) {
    const [prefix, short] = [name.slice(0, at), name.slice(at + 1)];
    if (Buffer.byteLength(short) <= 100 && Buffer.byteLength(prefix) <= 155) return [prefix, short];
  }
  throw tooLarge(name, "has a name that is too long");
}

function tooLarge(name: string, problem: string): SheafError {
  return new SheafError("LIMIT_EXCEEDED", `${name} cannot travel in an archive: it ${problem}`, {
    hint: "A file of side data has a shorter name, or lies where all nodes read it (hdfs://, s3://).",
  });
}

/** 0o755 for what may be executed, else 0o644. */
function modeOf(path: string): number {
  return (statSync(path).mode & 0o111) === 0 ? 0o644 : 0o755;
}
