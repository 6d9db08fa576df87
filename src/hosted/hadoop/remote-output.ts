import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SheafError, isSheafError } from "../../base/errors.ts";
import { foreignIn, outputExists, replacesForeign } from "../../storage/own-output.ts";
import { removeDirectory } from "../../storage/remove-directory.ts";
import { FileToolError, type FileTool } from "../file-tool.ts";
import type { HostFiles, HostMove, HostPlaceOptions } from "../host-engine.ts";

/** Addresses that mean the same to Hadoop, and where a rename makes a directory visible at once. */
export function isRenamedByHadoop(output: string): boolean {
  return /^(?:hdfs|s?webhdfs|viewfs):\/\//.test(output);
}

/** "hdfs://host/a" and "b/c" make "hdfs://host/a/b/c". */
export function below(uri: string, name: string): string {
  return uri.endsWith("/") ? uri + name : `${uri}/${name}`;
}

export function parentOf(uri: string): string {
  const trimmed = uri.replace(/\/+$/, "");
  return trimmed.slice(0, trimmed.lastIndexOf("/") + 1);
}

/**
 * Whether a directory can become an output, as for every store.
 * @throws SheafError OUTPUT_EXISTS, OUTPUT_UNWRITABLE
 */
export async function checkFreeByHadoop(tool: FileTool, output: string, overwrite: boolean): Promise<void> {
  const there = await tool.stat(output);
  if (there === null) return;
  if (!overwrite) throw outputExists(output);
  const files = {
    async names(name: string) {
      const entries = await tool.list(name === "" ? output : below(output, name));
      return entries.map((entry) => ({ name: entry.name, isDirectory: entry.kind === "directory" }));
    },
    async success() {
      const success = below(output, "_SUCCESS");
      return (await tool.stat(success))?.kind === "file" ? await tool.readText(success) : null;
    },
  };
  const foreign =
    there.kind === "directory"
      ? await foreignIn(files, (name) => below(output, name))
      : "replace a file that is not the output of a job";
  if (foreign !== null) throw replacesForeign(output, foreign);
}

export interface RemotePlaces {
  /** What the engine's committer has made: `files/` and `reports/`. */
  readonly committed: string;
  /** All that the job has on Hadoop's file systems: removed in the end. */
  readonly owned: readonly string[];
  /** A directory beside the output, of `owned`. */
  readonly aside: string;
  /** Others go on with the tool when these are removed. */
  readonly keepsTool: boolean;
}

/** The files of a job on a file system of Hadoop's. */
export class RemoteFiles implements HostFiles {
  readonly reports: string;
  readonly local = null;
  readonly #tool: FileTool;
  readonly #places: RemotePlaces;
  readonly #warn: (message: string) => void;

  /** @param reports directory of this machine, to which they have been fetched */
  constructor(tool: FileTool, places: RemotePlaces, reports: string, warn: (message: string) => void) {
    this.#tool = tool;
    this.#places = places;
    this.reports = reports;
    this.#warn = warn;
  }

  canPlace(output: string): boolean {
    return isRenamedByHadoop(output);
  }

  async place(files: readonly HostMove[], success: string, options: HostPlaceOptions): Promise<void> {
    const { output, overwrite, directories } = options;
    const tool = this.#tool;
    const made = below(this.#places.aside, "new");
    await this.#checkSizes(files);
    const targets = new Set(files.map(({ to }) => parentOf(below(made, to))));
    for (const name of directories) targets.add(below(made, name));
    await Promise.all([made, ...targets].map((directory) => tool.makeDirectory(directory)));
    await Promise.all(
      files.map(({ from, to }) => tool.rename(below(this.#places.committed, from), below(made, to))),
    );
    const work = await mkdtemp(join(tmpdir(), "sheaf-success-"));
    try {
      await writeFile(join(work, "_SUCCESS"), success);
      await tool.put(join(work, "_SUCCESS"), below(made, "_SUCCESS"));
    } finally {
      await rm(work, { recursive: true, force: true });
    }
    if (overwrite) await this.#replace(made, output);
    else await this.#show(made, output);
  }

  async fetch(files: readonly HostMove[]): Promise<void> {
    await this.#checkSizes(files);
    for (const { from, to } of files) await this.#tool.get(below(this.#places.committed, from), to);
  }

  async remove(): Promise<void> {
    await removeOwned(this.#tool, this.#places.owned, this.#warn);
    await removeDirectory(this.reports);
    if (!this.#places.keepsTool) await this.#tool.close();
  }

  async #checkSizes(files: readonly HostMove[]): Promise<void> {
    await Promise.all(
      files.map(async ({ from, bytes }) => {
        const uri = below(this.#places.committed, from);
        const entry = await this.#tool.stat(uri);
        if (entry?.kind === "file" && (entry.bytes === bytes || bytes < 0)) return;
        const is = entry === null ? "is not there" : `has ${entry.bytes} bytes`;
        throw new SheafError("BLOCK_CORRUPT", `${uri} ${is}, and its task has written ${bytes}`, {
          hint: "Something has changed it since. Run the job again.",
        });
      }),
    );
  }

  async #show(made: string, output: string): Promise<void> {
    try {
      await this.#tool.rename(made, output);
    } catch (error) {
      if (isSheafError(error) && error.code === "OUTPUT_EXISTS") throw outputExists(output);
      throw error;
    }
  }

  /** What was there goes aside first, and comes back when what is new cannot take its place. */
  async #replace(made: string, output: string): Promise<void> {
    const old = below(this.#places.aside, "old");
    await checkFreeByHadoop(this.#tool, output, true);
    const hadOld = (await this.#tool.stat(output)) !== null;
    if (hadOld) await this.#tool.rename(output, old);
    try {
      await this.#show(made, output);
    } catch (error) {
      if (hadOld) await this.#tool.rename(old, output).catch(() => this.#warn(`the former output is ${old}`));
      throw error;
    }
  }
}

/** Removes what a job has left; what cannot be removed is named in a warning. */
export async function removeOwned(
  tool: FileTool,
  owned: readonly string[],
  warn: (message: string) => void,
): Promise<void> {
  for (const uri of owned) {
    try {
      await tool.remove(uri);
    } catch (error) {
      const why = error instanceof FileToolError ? error.message : String(error);
      warn(`${uri} could not be removed: ${why}`);
    }
  }
}
