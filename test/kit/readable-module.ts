import { buildSync } from "esbuild";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { directory } from "../format/support.ts";

/**
 * The URL of a built module, with all that it imports, that other users can read: the checkout may be for its
 * owner's eyes alone.
 * @param name below src/, without its ending
 */
export function readableModule(t: TestContext, name: string): string {
  const place = directory(t);
  chmodSync(place, 0o755);
  const outfile = join(place, "module.mjs");
  const entry = fileURLToPath(import.meta.resolve(`#src/${name}.js`));
  buildSync({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    logLevel: "error",
  });
  return pathToFileURL(outfile).href;
}
