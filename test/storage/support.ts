import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { successFile } from "#src/testing/store-files.js";

/** The directory as a job would have written it: these files, and a `_SUCCESS` that names them. */
export function writeOutput(directory: string, files: Readonly<Record<string, string>>): void {
  mkdirSync(directory, { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), content);
  }
  writeFileSync(join(directory, "_SUCCESS"), successFile(Object.keys(files)));
}
