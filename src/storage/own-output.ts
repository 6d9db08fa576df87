import { lstat, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { SheafError } from "../base/errors.ts";
import { asSheafError, errnoOf, quotePath } from "./fs-error.ts";

/** What a job puts beside the parts that its `_SUCCESS` names. */
const OWN_NAMES: ReadonlySet<string> = new Set(["_SUCCESS", "_bad", "_state"]);
/** What desktops and network file systems leave in any directory. */
const NOBODYS = /^(?:\.DS_Store|Thumbs\.db|desktop\.ini|\.nfs[0-9a-f]+)$/;

/** How what lies below an output is looked at, wherever it is. */
export interface OutputFiles {
  /** Names in a directory below the output; "" is the output itself. */
  names(below: string): Promise<readonly { readonly name: string; readonly isDirectory: boolean }[]>;
  /** The output's `_SUCCESS`; null when there is none. */
  success(): Promise<string | null>;
}

/**
 * Refuses to replace anything but the output of a job, whole and with nothing added to it, or an empty
 * directory. A job's output is known by its `_SUCCESS`: it is there as soon as the directory is.
 * @param out the path as the user knows it
 * @throws SheafError OUTPUT_UNWRITABLE naming what is there
 */
export async function checkOwnOutput(path: string, out: string): Promise<void> {
  let foreign: string | null;
  try {
    const status = await lstat(path);
    if (status.isSymbolicLink()) foreign = "replace a symbolic link, which no job has made";
    else if (!status.isDirectory()) foreign = "replace a file that is not the output of a job";
    else foreign = await foreignIn(filesAt(path), (name) => join(out, name));
  } catch (error) {
    throw asSheafError(error, { path: out, doing: "remove" });
  }
  if (foreign !== null) throw replacesForeign(out, foreign);
}

/** @param foreign what would be lost, as it reads behind "would" */
export function replacesForeign(out: string, foreign: string): SheafError {
  return new SheafError("OUTPUT_UNWRITABLE", `overwriting ${quotePath(out)} would ${foreign}`, {
    hint:
      "--overwrite replaces nothing but what a job has written. Choose another output; or, if what is there is not " +
      "wanted any more, remove it yourself.",
    details: { path: out },
  });
}

function filesAt(path: string): OutputFiles {
  return {
    async names(below) {
      const entries = await readdir(join(path, below), { withFileTypes: true });
      return entries.map((entry) => ({ name: entry.name, isDirectory: entry.isDirectory() }));
    },
    async success() {
      try {
        return await readFile(join(path, "_SUCCESS"), "utf8");
      } catch (error) {
        if (errnoOf(error) === "ENOENT" || errnoOf(error) === "EISDIR") return null;
        throw error;
      }
    },
  };
}

/**
 * What would be lost of a directory that no job has made, as it reads behind "would"; null when nothing.
 * @param shown the path of a name in it as the user knows it
 */
export async function foreignIn(
  output: OutputFiles,
  shown: (name: string) => string,
): Promise<string | null> {
  const names = (await output.names("")).map(({ name }) => name).filter((name) => !NOBODYS.test(name));
  if (names.length === 0) return null;
  const files = committedFiles(await output.success());
  const added =
    files === null
      ? names.toSorted()[0]!
      : await addedTo(output, "", {
          files: new Set([...OWN_NAMES, ...files]),
          directories: directoriesOf(files),
        });
  if (added === null) return null;
  const why =
    files === null ? "there is no _SUCCESS of a job beside it" : "which the job there has not written";
  return `remove ${quotePath(shown(added))}: ${why}`;
}

/** The parts that a job's manifest names; null when that is no manifest of a job. */
function committedFiles(manifest: string | null): string[] | null {
  if (manifest === null) return null;
  try {
    const found: unknown = JSON.parse(manifest);
    if (typeof found !== "object" || found === null || !("sheaf" in found) || !("parts" in found))
      return null;
    if (typeof found.sheaf !== "number" || !Array.isArray(found.parts)) return null;
    return found.parts.flatMap((part: { file?: unknown } | null) =>
      typeof part?.file === "string" ? [part.file] : [],
    );
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** What a job has written, by its names below the output. */
interface Own {
  readonly files: ReadonlySet<string>;
  readonly directories: ReadonlySet<string>;
}

function directoriesOf(files: readonly string[]): Set<string> {
  const directories = new Set<string>();
  for (const file of files) {
    for (let end = file.lastIndexOf("/"); end > 0; end = file.lastIndexOf("/", end - 1)) {
      const directory = file.slice(0, end);
      if (directories.has(directory)) break;
      directories.add(directory);
    }
  }
  return directories;
}

/** The first name below `below` that the job did not write; directories of its own hold nothing but parts. */
async function addedTo(output: OutputFiles, below: string, own: Own): Promise<string | null> {
  for (const entry of await output.names(below)) {
    const name = below === "" ? entry.name : `${below}/${entry.name}`;
    if (NOBODYS.test(entry.name) || own.files.has(name)) continue;
    if (!entry.isDirectory) return name;
    // An empty collection has a directory without a part.
    const inside = await addedTo(output, name, own);
    if (inside !== null) return inside;
    if (!own.directories.has(name) && (await output.names(name)).length > 0) return name;
  }
  return null;
}

export function outputExists(out: string): SheafError {
  return new SheafError("OUTPUT_EXISTS", `the output ${quotePath(out)} exists already`, {
    hint: "Choose another output, remove it, or give --overwrite to replace it when the job has succeeded.",
    details: { path: out },
  });
}
