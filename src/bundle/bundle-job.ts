import { realpathSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { SheafError } from "../base/errors.ts";
import { bundleDirectory, readBundleCache } from "./bundle-cache.ts";

export interface BundledJob {
  /** Absolute path of job.mjs, which this process and its workers can load. */
  readonly path: string;
  /** Beside it: the same as other machines can make theirs of (see portable-bundle.ts). */
  readonly portablePath: string;
  /** Content hash of the portable bundle, 16 hex digits: the identity of the job's code. */
  readonly hash: string;
  /** The source map beside it; its sources are file URLs and carry their text. */
  readonly mapPath: string;
  /** What esbuild warned of, one line each: "job.ts:3:7: ...". */
  readonly warnings: readonly string[];
}

export interface BundleOptions {
  /** Bundles are kept here by their content hash; made when missing. */
  readonly outDirectory: string;
  /** Re-use the bundle made before while nothing esbuild looked at has changed. Default true. */
  readonly cache?: boolean;
  /** Packages that stay outside the bundle. Default none. */
  readonly external?: readonly string[];
}

/**
 * Bundles a job file (.ts, .mts, .cts, .tsx, .js, .mjs, .cjs, .jsx) and what it imports into one ES module.
 * npm packages come from the job file's own node_modules and are bundled; `sheaf` and `sheaf/testing` always
 * are the package that runs it, by URL, so that the job and the engine share one copy; node: modules, native
 * addons and packages named as external stay outside.
 * @throws SheafError JOB_LOAD with file:line:column when it does not bundle or has no default export;
 * PACKAGE_MISSING when an external package is not installed
 */
export async function bundleJob(file: string, options: BundleOptions): Promise<BundledJob> {
  const entry = existingJobFile(file);
  const { outDirectory, external = [] } = options;
  const key = { outDirectory, entry, external };
  const cached = options.cache === false ? null : readBundleCache(key);
  if (cached !== null) return { ...bundlePaths(outDirectory, cached.hash), warnings: cached.warnings };

  // What bundles takes longer to load than all else of a small job that is not bundled again.
  const { makeBundle } = await import("./make-bundle.ts");
  const { hash, warnings } = await makeBundle(key, options.cache !== false);
  return { ...bundlePaths(outDirectory, hash), warnings };
}

function bundlePaths(outDirectory: string, hash: string): Omit<BundledJob, "warnings"> {
  const directory = join(outDirectory, bundleDirectory(hash));
  const path = join(directory, "job.mjs");
  return { path, portablePath: join(directory, "portable.mjs"), hash, mapPath: `${path}.map` };
}

function existingJobFile(file: string): string {
  try {
    const entry = realpathSync(resolve(file));
    if (statSync(entry).isFile()) return entry;
  } catch (cause) {
    throw new SheafError("JOB_LOAD", `${file}: no such job file`, {
      hint: "Give the path of a TypeScript or JavaScript file whose default export is job({...}).",
      cause,
    });
  }
  throw new SheafError("JOB_LOAD", `${file}: is not a file`, { hint: "Give the path of a job file." });
}
