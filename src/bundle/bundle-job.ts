import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { BuildFailure, BuildOptions, BuildResult, Message } from "../vendor/esbuild.ts";
import { systemClock } from "../base/clock.ts";
import { SheafError } from "../base/errors.ts";
import { bundleDirectory, readBundleCache, writeBundleCache } from "./bundle-cache.ts";
import { nativeAddons, perFilePaths, runningPackage, unsupportedPaths } from "./esbuild-plugins.ts";
import { runnableBundle } from "./portable-bundle.ts";

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
  /** Re-use the bundle made before while no file it was made of has changed. Default true. */
  readonly cache?: boolean;
}

/**
 * Bundles a job file (.ts, .mts, .js, .mjs) and what it imports into one ES module. npm packages come from
 * the job
 * file's own node_modules and are bundled; `sheaf` and `sheaf/testing` always are the package that runs it,
 * by URL, so that the job and the engine share one copy; node: modules and native addons stay outside.
 * @throws SheafError JOB_LOAD with file:line:column when it does not bundle or has no default export.
 */
export async function bundleJob(file: string, options: BundleOptions): Promise<BundledJob> {
  const entry = existingJobFile(file);
  const cached = options.cache === false ? null : readBundleCache(options.outDirectory, entry);
  if (cached !== null)
    return { ...bundlePaths(options.outDirectory, cached.hash), warnings: cached.warnings };

  const startedMs = systemClock.wallMs();
  const built = await buildTwice(entry, options.outDirectory);
  const code = outputEnding(built, ".mjs");
  const hash = createHash("sha256").update(code.contents).digest("hex").slice(0, 16);
  const paths = bundlePaths(options.outDirectory, hash);
  const map = absoluteSources(outputEnding(built, ".map").text, dirname(code.path));
  placeBundle(dirname(paths.path), code.text, map);

  const warnings = built.warnings.map((warning) => placed(warning));
  const inputs = Object.keys(built.metafile!.inputs).map((input) => resolve(dirname(entry), input));
  if (options.cache !== false)
    writeBundleCache(options.outDirectory, entry, { hash, warnings, inputs, startedMs });
  return { ...paths, warnings };
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
      hint: "Give the path of a .ts, .mts, .js or .mjs file whose default export is job({...}).",
      cause,
    });
  }
  throw new SheafError("JOB_LOAD", `${file}: is not a file`, { hint: "Give the path of a job file." });
}

/**
 * Regular expressions stay literals. For some of these esbuild would write `new RegExp(...)`, since Node 20
 * does not know the newest scripts of \p{...}: one object per call of map, 10 ns for each word of a word
 * count.
 */
const literalRegExps = {
  "regexp-dot-all-flag": true,
  "regexp-lookbehind-assertions": true,
  "regexp-match-indices": true,
  "regexp-named-capture-groups": true,
  "regexp-set-notation": true,
  "regexp-sticky-and-unicode-flags": true,
  "regexp-unicode-property-escapes": true,
};

/**
 * Most jobs need no more than the plain build. Only when the output shows a CommonJS `require` left over or
 * code that asks where its file lies is it built again with those answered per file, because that costs a
 * call per source file.
 */
async function buildTwice(entry: string, outDirectory: string): Promise<BuildResult> {
  const esbuild = await import("../vendor/esbuild.ts");
  const plain: BuildOptions = {
    entryPoints: [entry],
    absWorkingDir: dirname(entry),
    outfile: join(outDirectory, "bundle", "job.mjs"),
    bundle: true,
    write: false,
    metafile: true,
    format: "esm",
    platform: "node",
    target: "node20",
    supported: literalRegExps,
    mainFields: ["module", "main"],
    sourcemap: "linked",
    sourcesContent: true,
    keepNames: false,
    logLevel: "silent",
    plugins: [runningPackage(), nativeAddons()],
  };
  try {
    const first = await esbuild.build(plain);
    requireDefaultExport(first, entry);
    if (!unsupportedPaths.test(outputEnding(first, ".mjs").text)) return first;
    return await esbuild.build({ ...plain, ...perFilePaths(entry, plain.plugins ?? []) });
  } catch (error) {
    if (!isBuildFailure(error)) throw error;
    throw loadError(error, entry);
  }
}

function requireDefaultExport(built: BuildResult, entry: string): void {
  const output = Object.values(built.metafile!.outputs).find(
    (candidate) => candidate.entryPoint !== undefined,
  );
  if (output === undefined || output.exports.includes("default")) return;
  const named =
    output.exports.length === 0 ? "it exports nothing" : `it exports ${output.exports.join(", ")}`;
  throw new SheafError("JOB_LOAD", `${entry}: no default export (${named})`, {
    hint: "End the job file with: export default job({ input: ..., map: ..., reduce: ... });",
    details: { path: entry },
  });
}

function isBuildFailure(error: unknown): error is BuildFailure {
  return error instanceof Error && "errors" in error && Array.isArray(error.errors);
}

function loadError(failure: BuildFailure, entry: string): SheafError {
  const first = failure.errors[0];
  if (first === undefined)
    return new SheafError("JOB_LOAD", `${entry}: ${failure.message}`, { cause: failure });
  const more = failure.errors.length > 1 ? ` (and ${failure.errors.length - 1} more)` : "";
  const missing = /^Could not resolve "([^"]+)"/.exec(first.text);
  const excerpt =
    first.location === null ? "" : `\n  ${first.location.line} | ${first.location.lineText.trimEnd()}`;
  return new SheafError("JOB_LOAD", `${placed(first, entry)}${more}${excerpt}`, {
    hint: missing === null ? "Correct the job file and run it again." : missingHint(missing[1]!, entry),
    details: {
      path: first.location === null ? entry : resolve(dirname(entry), first.location.file),
      line: first.location?.line ?? null,
      column: first.location === null ? null : first.location.column + 1,
    },
  });
}

function missingHint(specifier: string, entry: string): string {
  if (/^[./]/.test(specifier))
    return `There is no such file: check the path "${specifier}" and its extension.`;
  return `Install it where the job file can see it: cd ${dirname(entry)} && npm install ${specifier}`;
}

/** "job.ts:3:7: text", with columns counted from 1 as editors do. */
function placed(message: Message, entry?: string): string {
  const at = message.location;
  if (at === null) return entry === undefined ? message.text : `${basename(entry)}: ${message.text}`;
  return `${at.file}:${at.line}:${at.column + 1}: ${message.text}`;
}

function outputEnding(
  built: BuildResult,
  ending: string,
): { path: string; contents: Uint8Array; text: string } {
  const found = built.outputFiles?.find((file) => file.path.endsWith(ending));
  if (found === undefined) throw new SheafError("INTERNAL", `esbuild made no ${ending} file`);
  return found;
}

/** Makes the map's sources independent of where the bundle lies, since it is copied into job directories. */
function absoluteSources(map: string, directory: string): string {
  const parsed = JSON.parse(map) as { sources: string[] };
  parsed.sources = parsed.sources.map((source) =>
    /^[a-z][a-z0-9+.-]+:/i.test(source) ? source : pathToFileURL(resolve(directory, source)).href,
  );
  return JSON.stringify(parsed);
}

/** Written aside and renamed, so that a bundle of a given hash is whole or absent whoever else writes it. */
function placeBundle(directory: string, portable: string, map: string): void {
  mkdirSync(dirname(directory), { recursive: true });
  const aside = mkdtempSync(`${directory}.`);
  try {
    writeFileSync(join(aside, "portable.mjs"), portable);
    writeFileSync(join(aside, "job.mjs"), runnableBundle(portable));
    writeFileSync(join(aside, "job.mjs.map"), map);
  } catch (error) {
    rmSync(aside, { recursive: true, force: true });
    throw error;
  }
  try {
    renameSync(aside, directory);
  } catch {
    // There already: the code is equal by its hash, but comments in the sources may have moved lines.
    writeFileSync(join(aside, "job.mjs.map"), map);
    renameSync(join(aside, "job.mjs.map"), join(directory, "job.mjs.map"));
    rmSync(aside, { recursive: true, force: true });
  }
}
