import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** The directory as a job would have written it: these files, and a `_SUCCESS` that names them. */
export function writeOutput(directory: string, files: Readonly<Record<string, string>>): void {
  mkdirSync(directory, { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), content);
  }
  writeFileSync(join(directory, "_SUCCESS"), successOf(Object.keys(files)));
}

/** The `_SUCCESS` of a job that wrote these files. */
export function successOf(files: readonly string[]): string {
  const parts = files.map((file) => ({ file, collection: "", partition: 0, bytes: 0, records: 0 }));
  return JSON.stringify({ sheaf: 1, job: "earlier", code: null, counters: {}, badRecords: 0, parts });
}
