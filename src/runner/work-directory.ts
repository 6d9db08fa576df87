import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTempOutput, discardTempOutput } from "../storage/atomic-output.ts";
import { removeDirectory } from "../storage/remove-directory.ts";
import { localPath } from "../storage/store.ts";
import { makeTempDirectory } from "../storage/temp-directory.ts";

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
  const elsewhere =
    tempDirectory === undefined ? null : localPath(tempDirectory, "tempDirectory", process.cwd());
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
