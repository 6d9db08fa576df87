import { lstat, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { SheafError } from "../base/errors.ts";
import { asSheafError, errnoOf, quotePath } from "./fs-error.ts";

/** What a job puts beside the parts that its `_SUCCESS` names. */
const OWN_NAMES: ReadonlySet<string> = new Set(["_SUCCESS", "_bad", "_state"]);
/** What desktops and network file systems leave in any directory. */
const NOBODYS = /^(?:\.DS_Store|Thumbs\.db|desktop\.ini|\.nfs[0-9a-f]+)$/;

/**
 * Refuses to replace anything but the output of a job, whole and with nothing added to it, or an empty
 * directory. A job's output is known by its `_SUCCESS`: it is there as soon as the directory is.
 * @param out the path as the user knows it
 * @throws SheafError OUTPUT_UNWRITABLE naming what is there
 */
export async function checkOwnOutput(path: string, out: string): Promise<void> {
  let foreign: string | null;
  try {
    foreign = await foreignIn(path, out);
  } catch (error) {
    throw asSheafError(error, { path: out, doing: "remove" });
  }
  if (foreign === null) return;
  throw new SheafError("OUTPUT_UNWRITABLE", `overwriting ${quotePath(out)} would ${foreign}`, {
    hint:
      "--overwrite replaces nothing but what a job has written. Choose another output; or, if what is there is not " +
      "wanted any more, remove it yourself.",
    details: { path: out },
  });
}

/** What would be lost at `path` that no job has made, as it reads behind "would"; null when nothing. */
async function foreignIn(path: string, out: string): Promise<string | null> {
  const status = await lstat(path);
  if (status.isSymbolicLink()) return "replace a symbolic link, which no job has made";
  if (!status.isDirectory()) return "replace a file that is not the output of a job";
  const names = (await readdir(path)).filter((name) => !NOBODYS.test(name)).toSorted();
  if (names.length === 0) return null;
  const files = await committedFiles(join(path, "_SUCCESS"));
  const added = files === null ? names[0]! : await addedTo(path, "", new Set([...OWN_NAMES, ...files]));
  if (added === null) return null;
  const why =
    files === null ? "there is no _SUCCESS of a job beside it" : "which the job there has not written";
  return `remove ${quotePath(join(out, added))}: ${why}`;
}

/** The parts that a job's manifest names; null when that is no manifest of a job. */
async function committedFiles(manifest: string): Promise<string[] | null> {
  try {
    const found: unknown = JSON.parse(await readFile(manifest, "utf8"));
    if (typeof found !== "object" || found === null || !("sheaf" in found) || !("parts" in found))
      return null;
    if (typeof found.sheaf !== "number" || !Array.isArray(found.parts)) return null;
    return found.parts.flatMap((part: { file?: unknown } | null) =>
      typeof part?.file === "string" ? [part.file] : [],
    );
  } catch (error) {
    if (error instanceof SyntaxError || errnoOf(error) === "ENOENT" || errnoOf(error) === "EISDIR")
      return null;
    throw error;
  }
}

/** The first name below `path` that the job did not write; directories of its own hold nothing but parts. */
async function addedTo(path: string, below: string, own: ReadonlySet<string>): Promise<string | null> {
  const parts = [...own].map((file) => `/${file}`);
  for (const entry of await readdir(join(path, below), { withFileTypes: true })) {
    const name = below === "" ? entry.name : `${below}/${entry.name}`;
    if (NOBODYS.test(entry.name) || own.has(name)) continue;
    if (!entry.isDirectory()) return name;
    // An empty collection has a directory without a part.
    const isOurs = parts.some((part) => part.startsWith(`/${name}/`));
    const inside = await addedTo(path, name, own);
    if (inside !== null) return inside;
    if (!isOurs && (await readdir(join(path, name))).length > 0) return name;
  }
  return null;
}
