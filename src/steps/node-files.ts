import { randomBytes } from "node:crypto";
import { constants, createReadStream, lstatSync } from "node:fs";
import { copyFile, lstat, mkdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { SheafError, isSheafError } from "../base/errors.ts";
import type { NodePlace } from "../job/reader.ts";
import { insideRoots } from "../security/inside-roots.ts";
import { syncPath } from "../storage/atomic-output.ts";
import { crc32cOfFile } from "../storage/content-check.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { listInput } from "../storage/list-input.ts";

/*
 * What transfers do with files on agents: in a worker there, within the agent's roots, with every link
 * followed.
 */

/** A file that an agent has. */
export interface NodeFile {
  readonly path: string;
  /** Below what was asked for. */
  readonly place: string;
  readonly bytes: number;
  readonly crc32c: number;
  readonly mtimeMs: number;
}

/** A stretch of a file of an agent. Plain data. */
export interface ReadRange {
  readonly agent: string;
  readonly path: string;
  readonly from: number;
  readonly to: number;
}

/** A file that is to be on agents. Plain data. */
export interface WantedFile {
  /** Absolute, on the agents. */
  readonly path: string;
  readonly bytes: number;
  readonly crc32c: number;
}

/**
 * The files that a path or pattern means there; none is no error.
 * @throws SheafError FORBIDDEN for one outside the roots; as listInput
 */
export async function* listOnNode(path: string, { roots }: NodePlace): AsyncGenerator<NodeFile> {
  const files = await listInput([path]).catch((error: unknown) => {
    if (isSheafError(error) && error.code === "INPUT_MISSING") return [];
    throw error;
  });
  for (const { path: found, place = basename(found), mtimeMs } of files) {
    await insideRoots(found, roots);
    try {
      yield { path: found, place, mtimeMs, ...(await crc32cOfFile(found)) };
    } catch (error) {
      throw asSheafError(error, { path: found, doing: "read" });
    }
  }
}

/** The bytes of a stretch, in order. @throws SheafError FORBIDDEN, INPUT_CHANGED when it is shorter */
export async function* readOnNode(
  { path, from, to }: Omit<ReadRange, "agent">,
  { roots }: NodePlace,
  chunkBytes: number,
): AsyncGenerator<Uint8Array> {
  const real = await insideRoots(path, roots);
  let at = from;
  if (to > from) {
    try {
      for await (const chunk of createReadStream(real, {
        start: from,
        end: to - 1,
        highWaterMark: chunkBytes,
      })) {
        at += (chunk as Buffer).length;
        yield new Uint8Array(chunk as Buffer);
      }
    } catch (error) {
      throw asSheafError(error, { path, doing: "read" });
    }
  }
  if (at !== to) throw changedOnNode(path);
}

export function changedOnNode(path: string): SheafError {
  return new SheafError("INPUT_CHANGED", `${path} changed while it was copied`, {
    hint: "Go on when nobody writes to it: sheaf resume @.",
  });
}

/**
 * Whether a file is there as it is wanted.
 * @throws SheafError FORBIDDEN; OUTPUT_UNWRITABLE for what is none
 */
export async function isOnNode({ path, bytes, crc32c }: WantedFile, { roots }: NodePlace): Promise<boolean> {
  const real = await insideRoots(path, roots);
  const there = await lstat(real).catch(() => null);
  if (there === null) return false;
  if (!there.isFile()) {
    throw new SheafError("OUTPUT_UNWRITABLE", `${path} is there, and is no file`, {
      hint: "Remove it, or transfer to another directory.",
    });
  }
  return there.size === bytes && (await crc32cOfFile(real)).crc32c === crc32c;
}

/**
 * Makes a file of an agent a copy of `source`, by one rename.
 * @throws SheafError FORBIDDEN, OUTPUT_UNWRITABLE, DISK_FULL, BLOCK_CORRUPT
 */
export async function writeOnNode(wanted: WantedFile, source: string, node: NodePlace): Promise<void> {
  if (await isOnNode(wanted, node)) return;
  const { path, bytes, crc32c } = wanted;
  const real = await insideRoots(path, node.roots);
  const part = join(dirname(real), `.${basename(real)}.${randomBytes(6).toString("hex")}.sheaf-part`);
  try {
    await mkdir(dirname(real), { recursive: true });
    await copyFile(source, part, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    await syncPath(part);
    const copied = await crc32cOfFile(part);
    if (copied.bytes !== bytes || copied.crc32c !== crc32c) {
      throw new SheafError("BLOCK_CORRUPT", `the copy of ${path} is not what was sent`, {
        hint: "Look at the disk, then go on: sheaf resume @.",
      });
    }
    await rename(part, real);
    await syncPath(dirname(real)).catch(() => undefined);
  } catch (error) {
    throw asSheafError(error, { path, doing: "write", code: "OUTPUT_UNWRITABLE" });
  } finally {
    if (lstatSync(part, { throwIfNoEntry: false }) !== undefined) await rm(part, { force: true });
  }
}
