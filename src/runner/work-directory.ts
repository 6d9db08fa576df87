import { createHash } from "node:crypto";
import { rmSync } from "node:fs";
import { mkdir, mkdtemp, readdir } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createTempOutput, discardTempOutput } from "../storage/atomic-output.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { isAlive, removeDirectory, removeStale } from "../storage/remove-directory.ts";

/*
 * Where a run keeps its files until it ends:
 *   <root>/work/<attempt>/     one directory per attempt: shuffle files, output not yet committed
 *   <root>/out/                the output, being put together; renamed to the output directory
 *   <root>/collected/          results for result.records(), kept until dispose()
 * <root> lies beside the output, so that committing is a rename; without an output in the temporary
 * directory. With a
 * temporary directory of one's own, `work` lies there.
 */
export interface WorkDirectory {
  readonly attempts: string;
  readonly output: string;
  readonly collected: string;
  /** Removes all of it but `collected`, and that too unless `keepCollected`. Never throws. */
  remove(keepCollected: boolean): Promise<void>;
}

/** @throws SheafError OUTPUT_UNWRITABLE, DISK_FULL */
export async function makeWorkDirectory(
  output: string | null,
  tempDirectory: string | undefined,
): Promise<WorkDirectory> {
  const elsewhere = tempDirectory === undefined ? null : resolve(tempDirectory);
  const roots: string[] = [];
  try {
    if (output !== null) roots.push(await createTempOutput(output));
    if (output === null || elsewhere !== null) roots.push(await makeTempDirectory(elsewhere ?? tmpdir()));
    const directory: WorkDirectory = {
      attempts: join(roots.at(-1)!, "work"),
      output: join(roots[0]!, "out"),
      collected: join(roots.at(-1)!, "collected"),
      remove: async (keepCollected) => {
        const kept = keepCollected ? roots.at(-1) : null;
        for (const root of roots) if (root !== kept) await discardTempOutput(root);
        if (kept === null) return;
        for (const part of ["work", "out"]) await removeDirectory(join(kept!, part));
      },
    };
    await mkdir(directory.attempts);
    return directory;
  } catch (error) {
    for (const root of roots) await discardTempOutput(root);
    throw error;
  }
}

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
