import {
  accessSync,
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  realpathSync,
  renameSync,
  statSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describeThrown, SheafError } from "../base/errors.ts";
import type { FileRef } from "../job/job-plan.ts";
import { sha256OfFile } from "../storage/content-check.ts";
import { asSheafError } from "../storage/fs-error.ts";
import type { JobFile } from "../task/task-spec.ts";

/** Permissions without those that change who a program runs as. */
const MODE = 0o777;

/** A file that travels with a job, where it lies before. */
export interface FoundFile {
  readonly name: string;
  readonly path: string;
  readonly mode: number;
}

/**
 * The files that a job names, beside its own file.
 * @throws SheafError INPUT_MISSING naming the first that cannot be read
 */
export function findJobFiles(files: readonly FileRef[] | undefined, jobFile: string | null): FoundFile[] {
  if (files === undefined || files.length === 0) return [];
  const base = jobFile === null ? process.cwd() : dirname(realpathSync(jobFile));
  return files.map(({ name, file }) => {
    const path = resolve(base, file);
    try {
      const found = statSync(path);
      if (!found.isFile()) throw new Error("it is no file");
      accessSync(path, constants.R_OK);
      return { name, path, mode: found.mode & MODE };
    } catch (cause) {
      const here = resolve(file);
      const near = here !== path && existsSync(here) ? `There is ${here}, but files` : "Files";
      throw new SheafError("INPUT_MISSING", `files: cannot read ${path}: ${describeThrown(cause)}`, {
        hint: `${near} of a job are found relative to the job file (in ${base}), or by an absolute path.`,
        details: { path },
        cause,
      });
    }
  });
}

/**
 * Puts a copy of each file into a directory, which is made: what tasks link to does not change with the
 * original.
 * @param origins false: the originals are none that a task may look at again
 * @throws SheafError INPUT_UNREADABLE, DISK_FULL, OUTPUT_UNWRITABLE
 */
export async function copyJobFiles(
  files: readonly FoundFile[],
  directory: string,
  origins: boolean,
): Promise<JobFile[]> {
  if (files.length > 0) mkdirSync(directory, { recursive: true, mode: 0o700 });
  const copied: JobFile[] = [];
  for (const { name, path, mode } of files) {
    const copy = join(directory, name);
    // A task that runs may link to the one that was there.
    const temporary = join(directory, `.${name}.tmp`);
    try {
      copyFileSync(path, temporary);
      chmodSync(temporary, mode);
      renameSync(temporary, copy);
    } catch (error) {
      throw asSheafError(error, { path, doing: "read" });
    }
    const { bytes, sha256 } = await sha256OfFile(copy);
    const { mtimeMs } = statSync(copy);
    copied.push({ name, path: copy, mode, bytes, mtimeMs, sha256, ...(origins && { origin: path }) });
  }
  return copied;
}

/**
 * The files of this machine among the words that programs of a job are given (programPaths): whoever takes
 * over what they have made looks at what they hold.
 * @throws SheafError INPUT_UNREADABLE
 */
export async function outsideFiles(paths: readonly string[] = []): Promise<[path: string, sha256: string][]> {
  const found: [string, string][] = [];
  for (const path of paths.filter(isFile)) {
    try {
      found.push([path, (await sha256OfFile(path)).sha256]);
    } catch (error) {
      throw asSheafError(error, { path, doing: "read" });
    }
  }
  return found;
}

export function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** A name that another machine has given, before it becomes one here. @throws SheafError MESSAGE_INVALID */
export function checkFileName(name: string): string {
  if (name !== "" && name !== "." && name !== ".." && !/[/\\\0]/.test(name)) return name;
  throw new SheafError("MESSAGE_INVALID", `${JSON.stringify(name)} is no name of a file of a job`, {
    hint: "Names have no slashes: it comes from a program that is no sheaf of this version.",
  });
}
