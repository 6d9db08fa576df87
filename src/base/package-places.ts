import { readFileSync } from "node:fs";

/*
 * The package is built twice (scripts/build.mjs): into few modules, dist/, which is what users run, and file
 * to file, modules/, for the tests of its parts. Every module of both lies one directory below these.
 */

/** dist/ or modules/: index.js, cli/main.js, what threads and processes begin with, the kernels. */
export const builtUrl: URL = new URL("../", import.meta.url);

/** The package's own directory. */
export const packageUrl: URL = new URL("../../", import.meta.url);

/** The version in the package's own package.json. */
export function packageVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL("package.json", packageUrl), "utf8"));
  return String((manifest as { readonly version?: unknown }).version);
}
