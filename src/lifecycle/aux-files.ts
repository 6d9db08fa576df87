import { accessSync, constants, existsSync, realpathSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { SheafError, describeThrown } from "../base/errors.ts";
import type { JobOutline } from "../worker/messages.ts";

/**
 * Where the files of a job's side data lie, by the path or file URL the job names them with: beside the job
 * file; for a Job object that no file is known of, in the current directory.
 * @throws SheafError INPUT_MISSING naming an entry whose file cannot be read
 */
export function auxPaths(aux: JobOutline["aux"], jobFile: string | null): Record<string, string> {
  const base = jobFile === null ? process.cwd() : dirname(realpathSync(jobFile));
  return Object.fromEntries(aux.map(({ name, file }) => [file, auxPath(name, file, base)]));
}

function auxPath(name: string, file: string, base: string): string {
  const path = file.startsWith("file://") ? fileURLToPath(file) : resolve(base, file);
  try {
    if (!statSync(path).isFile()) throw new Error("it is no file");
    accessSync(path, constants.R_OK);
    return path;
  } catch (cause) {
    const here = resolve(file);
    const isHere = here !== path && !file.startsWith("file://") && existsSync(here);
    throw new SheafError("INPUT_MISSING", `aux.${name}: cannot read ${path}: ${describeThrown(cause)}`, {
      hint:
        `${isHere ? `There is ${here}, but side` : "Side"} data files are found relative to the job file, or by ` +
        `an absolute path.`,
      details: { path },
      cause,
    });
  }
}
