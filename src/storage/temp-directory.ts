import { createHash } from "node:crypto";
import { rmSync } from "node:fs";
import { mkdir, mkdtemp, readdir } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { asSheafError } from "./fs-error.ts";
import { isAlive, removeStale } from "./remove-directory.ts";

/**
 * Makes a directory that the next of these calls removes if this process is killed before it can.
 * @throws SheafError OUTPUT_UNWRITABLE, DISK_FULL
 */
export async function makeTempDirectory(parent: string): Promise<string> {
  try {
    await mkdir(parent, { recursive: true });
    const prefix = `sheaf-${createHash("sha256").update(hostname()).digest("hex").slice(0, 8)}-`;
    await clearStale(parent, prefix);
    return await mkdtemp(join(parent, `${prefix}${process.pid}-`));
  } catch (error) {
    throw asSheafError(error, { path: parent, doing: "create", code: "OUTPUT_UNWRITABLE" });
  }
}

/** Removes what killed runs of this host and user have left. */
async function clearStale(parent: string, prefix: string): Promise<void> {
  for (const name of await readdir(parent).catch(() => [])) {
    const pid = name.startsWith(prefix) ? /^(\d+)-\w+$/.exec(name.slice(prefix.length)) : null;
    if (pid === null || isAlive(Number(pid[1]))) continue;
    await removeStale(join(parent, name));
  }
}

/** Removes a directory when the process exits, unless it is released before. */
export function removeAtExit(directory: string): () => void {
  atExit ??= listenForExit();
  atExit.add(directory);
  return () => void atExit?.delete(directory);
}

/**
 * The one thing here that belongs to the process: its exit. One listener, however many results are waiting.
 */
let atExit: Set<string> | null = null;

function listenForExit(): Set<string> {
  const directories = new Set<string>();
  process.once("exit", () => {
    for (const directory of directories) rmSync(directory, { recursive: true, force: true });
  });
  return directories;
}
