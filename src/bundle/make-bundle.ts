import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, delimiter, dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { systemClock } from "../base/clock.ts";
import { SheafError } from "../base/errors.ts";
import { shellWord } from "../base/shell-word.ts";
import { build } from "../vendor/esbuild.ts";
import type { BuildFailure, BuildOptions, BuildResult, Message } from "../vendor/esbuild.ts";
import { bundleDirectory, writeBundleCache } from "./bundle-cache.ts";
import type { BundleKey } from "./bundle-cache.ts";
import {
  matchedNoCode,
  nativeAddons,
  notCode,
  outsidePackages,
  runningPackage,
  withoutMaps,
} from "./esbuild-plugins.ts";
import { lookedAt } from "./looked-at.ts";
import type { LookedAt } from "./looked-at.ts";
import { madeUpNames, mayAskForPlaces, mayClash, withOwnPlaces } from "./own-places.ts";
import type { MadeUpNames } from "./own-places.ts";
import { runnableBundle } from "./portable-bundle.ts";

/**
 * Bundles a job file and puts the bundle in its place.
 * @param isKept whether it is remembered, to be used again
 * @throws SheafError JOB_LOAD, PACKAGE_MISSING
 */
export async function makeBundle(
  key: BundleKey,
  isKept: boolean,
): Promise<{ hash: string; warnings: string[] }> {
  const { entry, outDirectory, external } = key;
  const startedMs = systemClock.wallMs();
  const looking = isKept ? lookedAt(entry, lookupFlags) : null;
  const { built, code, map } = await buildPortable(entry, outDirectory, external);
  const hash = digest(code).slice(0, 16);
  const runnable = runnableBundle(code);
  placeBundle(join(outDirectory, bundleDirectory(hash)), { portable: code, runnable, map });
  const warnings = built.warnings.map((warning) => placed(warning));
  const isDecorated = usesOldDecorators(code);
  const looked = isKept || isDecorated ? await (looking ?? lookedAt(entry, lookupFlags)) : null;
  if (isDecorated && looked !== null) warnings.push(...metadataWarnings(looked));
  if (isKept && looked !== null) {
    const inputs = Object.keys(built.metafile!.inputs).map((input) => resolve(dirname(entry), input));
    writeBundleCache(key, { hash, runnable: digest(runnable), warnings, inputs, looked, startedMs });
  }
  return { hash, warnings };
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

/** Node knows "main" alone; packages that look for their files by it are right only then. */
const mainFields = ["main", "module"];
const resolveExtensions = [".tsx", ".ts", ".jsx", ".js", ".css", ".json", ".node"];

/** What esbuild has to be told to resolve imports as the build does. */
const lookupFlags = [
  "--format=esm",
  "--platform=node",
  `--main-fields=${mainFields.join(",")}`,
  `--resolve-extensions=${resolveExtensions.join(",")}`,
  "--external:sheaf",
  "--external:sheaf/testing",
  "--loader:.node=empty",
];

interface Built {
  readonly built: BuildResult;
  /** Portable. */
  readonly code: string;
  readonly map: string;
}

async function buildPortable(
  entry: string,
  outDirectory: string,
  external: readonly string[],
): Promise<Built> {
  for (let salt = 0; ; salt++) {
    const names = madeUpNames(salt);
    if (names === null) throw new SheafError("INTERNAL", `${entry}: no name is free in all of its files`);
    const special: BuildOptions = {
      outfile: join(outDirectory, "bundle", "job.mjs"),
      define: names.define,
      banner: { js: names.banner },
      plugins: [runningPackage(), outsidePackages(external, entry), nativeAddons()],
    };
    const built = await buildCode(entry, special);
    requireDefaultExport(built, entry);
    const { code, map } = outputsOf(built);
    if (!mayAskForPlaces(names, code)) return { built, code, map };
    const places = await placesMap(built, entry, special);
    if (mayClash(names, places)) continue;
    return { built, code: withOwnPlaces(globsAsNode(code, names), places, names, entry), map };
  }
}

function outputsOf(built: BuildResult): { readonly code: string; readonly map: string } {
  const { path, text } = outputEnding(built, ".mjs");
  return { code: text, map: absoluteSources(outputEnding(built, ".map").text, dirname(path)) };
}

/**
 * The source map of the files as they were bundled. Where some of them name a source map of their own, the
 * bundle's goes on to what these were made of.
 */
async function placesMap(built: BuildResult, entry: string, special: BuildOptions): Promise<string> {
  const { code, map } = outputsOf(built);
  const inputs = Object.keys(built.metafile!.inputs).map((input) => resolve(dirname(entry), input));
  const mapped = inputs.filter((path) => /\.[cm]?[jt]sx?$/.test(path) && namesItsMap(path));
  if (mapped.length === 0) return map;
  const plugins = [...special.plugins!, withoutMaps(mapped)];
  const again = outputsOf(await buildCode(entry, { ...special, plugins }));
  if (again.code.length !== code.length) {
    throw new SheafError("JOB_LOAD", `${entry}: one of its files changed while it was bundled`, {
      hint: "Run it again when nothing writes to its files.",
    });
  }
  return again.map;
}

function namesItsMap(path: string): boolean {
  try {
    return readFileSync(path, "utf8").includes("sourceMappingURL=");
  } catch {
    return false;
  }
}

/** Again, when a pattern has matched what is no code. */
async function buildCode(entry: string, special: BuildOptions): Promise<BuildResult> {
  const directory = dirname(entry);
  const ignored = new Set<string>();
  for (;;) {
    try {
      return await build({
        ...special,
        entryPoints: [entry],
        absWorkingDir: directory,
        bundle: true,
        write: false,
        metafile: true,
        format: "esm",
        platform: "node",
        target: "node20",
        supported: literalRegExps,
        mainFields,
        resolveExtensions,
        nodePaths: (process.env["NODE_PATH"] ?? "").split(delimiter).filter((path) => path !== ""),
        sourcemap: "linked",
        sourcesContent: true,
        keepNames: false,
        logLevel: "silent",
        logLimit: 0,
        plugins: [...special.plugins!, notCode(ignored)],
      });
    } catch (error) {
      if (!isBuildFailure(error)) throw error;
      const matched = error.errors.map((message) => matchedNoCode(message, directory));
      if (!matched.every((path) => path !== null && !ignored.has(path))) throw loadError(error, entry);
      for (const path of matched) ignored.add(path!);
    }
  }
}

/** esbuild's helper for `require("./lib/" + name)` and `import(...)` of such, and its uses for the latter. */
const globHelper = `var __glob = (map) => (path) => {
  var fn = map[path];
  if (fn) return fn();
  throw new Error("Module not found in bundle: " + path);
};
`;
const GLOB_IMPORT = /^(var globImport\w* = )__glob\(\{$/gm;

/**
 * Has it do as Node does: require() finds a file without its ending, import() rejects instead of throwing,
 * and what is missing has the code that says so. No line is added.
 */
function globsAsNode(code: string, { prefix }: MadeUpNames): string {
  if (!code.includes(globHelper)) return code;
  const endings = '["", ".ts", ".js", ".cjs", ".json", ".node", "/index.ts", "/index.js"]';
  const helper = globHelper
    .replace(/^/, () => `var ${prefix}glob = (map) => async (path) => __glob(map)(path); `)
    .replace("map[path]", () => `${endings}.map((end) => map[path + end]).find(Boolean)`)
    .replace('throw new Error("Module not found in bundle: " + path)', (error) =>
      error.replace(/new .*/, (made) => `Object.assign(${made}, { code: "MODULE_NOT_FOUND" })`),
    );
  return code
    .replace(globHelper, () => helper)
    .replace(GLOB_IMPORT, (_all, variable: string) => `${variable}${prefix}glob({`);
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** Only these would carry metadata. */
function usesOldDecorators(code: string): boolean {
  return /^var __decorateClass = /m.test(code);
}

/** esbuild makes each file by itself, without the types that metadata is made of. */
function metadataWarnings({ paths }: LookedAt): string[] {
  const asking = [...paths].filter((path) => path.endsWith(".json") && asksForMetadata(path));
  return asking.map(
    (path) =>
      `${path}: "emitDecoratorMetadata" has no effect: decorators work, but Reflect.getMetadata() of types ` +
      `gives undefined. Compile such classes with tsc and import what it writes.`,
  );
}

function asksForMetadata(path: string): boolean {
  try {
    const text = readFileSync(path, "utf8");
    const bare = text.replace(/("(?:[^"\\]|\\.)*")|\/\/[^\n]*|\/\*[^]*?\*\//g, "$1");
    return /"emitDecoratorMetadata"\s*:\s*true/.test(bare);
  } catch {
    return false;
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
  return `Install it where the job file can see it: cd ${shellWord(dirname(entry))} && npm install ${specifier}`;
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

interface BundleFiles {
  readonly portable: string;
  readonly runnable: string;
  readonly map: string;
}

/** Written aside and renamed, so that a bundle of a given hash is whole or absent whoever else writes it. */
function placeBundle(directory: string, { portable, runnable, map }: BundleFiles): void {
  mkdirSync(dirname(directory), { recursive: true });
  const aside = mkdtempSync(`${directory}.`);
  const files = { "portable.mjs": portable, "job.mjs": runnable, "job.mjs.map": map };
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(aside, name), text);
  } catch (error) {
    rmSync(aside, { recursive: true, force: true });
    throw error;
  }
  try {
    renameSync(aside, directory);
  } catch {
    // There already. What is there may have been changed, comments in the sources may have moved lines, and
    // packages outside may have moved.
    mkdirSync(directory, { recursive: true });
    for (const name of Object.keys(files)) renameSync(join(aside, name), join(directory, name));
    rmSync(aside, { recursive: true, force: true });
  }
}
