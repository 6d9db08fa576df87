import type { BigIntStats, Dirent } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../../../storage/fs-error.ts";

/** What the files below a directory are, at one moment. */
export interface Look {
  /** Regular files that are not ignored and not empty, by their path below the directory. */
  readonly files: ReadonlyMap<string, SeenFile>;
  /** Files with a name that is ignored: what they are known by when they get another name. */
  readonly hidden: ReadonlySet<string>;
}

export interface SeenFile {
  readonly bytes: number;
  /** Size and time of the last change. */
  readonly signature: string;
  /** The same with the number of the file itself, which a rename leaves as it is. */
  readonly identity: string;
}

/**
 * Looks at a directory and all below it. Names that begin with "." or "_" are ignored; empty files, and links
 * to nothing, are looked at as if they were not there yet. Links are followed.
 * @param except absolute real path of a directory that is left out
 * @throws what the system says of a directory that cannot be read
 */
export async function lookAt(directory: string, except: string): Promise<Look> {
  const files = new Map<string, SeenFile>();
  const hidden = new Set<string>();
  const above = new Set<string>();
  const walk = async (path: string, below: string): Promise<void> => {
    const real = await realpath(path);
    if (real === except || above.has(real)) return;
    above.add(real);
    for (const entry of await readdir(path, { withFileTypes: true })) {
      const at = join(path, entry.name);
      const name = below === "" ? entry.name : `${below}/${entry.name}`;
      const isIgnored = /^[._]/.test(entry.name);
      const status = await statusOf(at, entry);
      if (status === null) continue;
      if (status.isDirectory() && !isIgnored) await walk(at, name);
      if (!status.isFile() || status.size === 0n) continue;
      const seen = seenFile(status);
      if (isIgnored) hidden.add(seen.identity);
      else files.set(name, seen);
    }
    above.delete(real);
  };
  await walk(directory, "");
  return { files, hidden };
}

async function statusOf(path: string, entry: Dirent): Promise<BigIntStats | null> {
  if (!entry.isFile() && !entry.isDirectory() && !entry.isSymbolicLink()) return null;
  try {
    return await stat(path, { bigint: true });
  } catch (error) {
    // It has just gone, leads nowhere, or round in a circle.
    if (["ENOENT", "ENOTDIR", "ELOOP"].includes(errnoOf(error) ?? "")) return null;
    throw error;
  }
}

function seenFile({ size, mtimeNs, dev, ino }: BigIntStats): SeenFile {
  const signature = `${size}:${mtimeNs}`;
  return { bytes: Number(size), signature, identity: `${dev}:${ino}:${signature}` };
}

/**
 * The files that nobody seems to write any more, sorted by their paths: those that two looks in a row saw
 * with one size and time of change, and those that came by a rename of an ignored name.
 */
export function wholeFiles(before: Look | null, now: Look): string[] {
  if (before === null) return [];
  const isWhole = ([path, { signature, identity }]: readonly [string, SeenFile]): boolean =>
    before.files.get(path)?.signature === signature || before.hidden.has(identity);
  return [...now.files]
    .filter(isWhole)
    .map(([path]) => path)
    .sort((a, b) => (a < b ? -1 : 1));
}
