import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { BundledJob } from "./bundle-job.ts";

/**
 * The bundle with one more export, which tells whoever loads it what of it is meant: so it is a bundle like
 * any other to those who send, keep and load bundles. What failed in it has the places of the one it was made
 * of.
 * @param place where its directory is made, which has the content's hash in its name: a process that has
 * loaded another version of it must not be given that one again
 */
export function bundleWithExport(
  { portablePath, path, mapPath, warnings }: BundledJob,
  { name, value }: { readonly name: string; readonly value: unknown },
  place: string,
): BundledJob {
  const line = `\nexport const ${name} = ${JSON.stringify(value)};\n`;
  const portable = readFileSync(portablePath, "utf8") + line;
  const hash = createHash("sha256").update(portable).digest("hex").slice(0, 16);
  const directory = `${place}-${hash}`;
  const made = {
    path: join(directory, "job.mjs"),
    portablePath: join(directory, "portable.mjs"),
    mapPath: join(directory, "job.mjs.map"),
  };
  const aside = `${directory}.${process.pid}`;
  mkdirSync(dirname(directory), { recursive: true });
  rmSync(aside, { recursive: true, force: true });
  mkdirSync(aside);
  writeFileSync(join(aside, "portable.mjs"), portable);
  writeFileSync(join(aside, "job.mjs"), readFileSync(path, "utf8") + line);
  writeFileSync(join(aside, "job.mjs.map"), readFileSync(mapPath));
  rmSync(directory, { recursive: true, force: true });
  renameSync(aside, directory);
  return { ...made, hash, warnings };
}
