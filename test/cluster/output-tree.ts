import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/** Files of an output by their path in it: size and hash of the bytes, which say all there is to compare. */
export type OutputTree = Readonly<Record<string, string>>;

export function treeOf(directory: string): OutputTree {
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" }).sort();
  const files = names.filter((name) => statSync(join(directory, name)).isFile());
  return Object.fromEntries(
    files.map((name) => {
      return [name, toldOf(readFileSync(join(directory, name)))];
    }),
  );
}

/** Of a file of an OutputTree. */
export function toldOf(bytes: Uint8Array): string {
  return `${bytes.length} bytes, ${createHash("sha256").update(bytes).digest("hex").slice(0, 16)}`;
}

interface Manifest {
  readonly parts: readonly { readonly file: string; readonly bytes: number }[];
}

/** `_SUCCESS` is there, and so is every part it names, whole. */
export function assertComplete(directory: string): void {
  const manifest = JSON.parse(readFileSync(join(directory, "_SUCCESS"), "utf8")) as Manifest;
  const missing = manifest.parts.filter(({ file, bytes }) => {
    const path = join(directory, file);
    return !existsSync(path) || statSync(path).size !== bytes;
  });
  assert.deepEqual(missing, [], `${directory} has _SUCCESS but not all parts`);
}
