import { existsSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { SheafError } from "../base/errors.ts";
import { builtUrl, packageUrl } from "../base/package-places.ts";
import { type ArchivedFile, filesBelow } from "./archive.ts";

/*
 * What of this package, and of those that it depends on, a task needs on a node where nothing is installed.
 */

/** Of the package's dependencies those that a task may load; a test follows the imports of its program. */
export const taskPackages = [
  "@bokuweb/zstd-wasm",
  "@jridgewell/trace-mapping",
  "@node-rs/crc32",
  "import-meta-resolve",
  "lz4-napi",
  "zstddec",
] as const;

/** Packages that are there only where their users have installed them, by the schemes that need them. */
const packageOfScheme: Readonly<Record<string, string>> = {
  s3: "@aws-sdk/client-s3",
  s3a: "@aws-sdk/client-s3",
  s3n: "@aws-sdk/client-s3",
  sftp: "ssh2",
};

/** What addresses need that the package does not bring itself. */
export function packagesFor(addresses: readonly string[]): string[] {
  const schemes = addresses.map(
    (address) => /^([a-z][a-z0-9+.-]*):\/\//i.exec(address)?.[1]?.toLowerCase() ?? "",
  );
  return [...new Set(schemes.flatMap((scheme) => packageOfScheme[scheme] ?? []))];
}

/** Parts of dist/ that no task loads, and what only people read. */
const leftOut = /^(?:vendor\/(?!undici\.js$)|cli(?:\/|$))|\.d\.ts$|\.map$|\.tsbuildinfo$|\.\d+$/;
const leftOutOfPackages = /^node_modules$|\.(?:d\.[cm]?ts|map|md)$/i;

/** All files of sheaf/ on a node, run.sh first. @throws SheafError PACKAGE_MISSING */
export function sheafFiles(more: readonly string[], built: URL = builtUrl): ArchivedFile[] {
  const own = fileURLToPath(packageUrl);
  const dist = fileURLToPath(built);
  return [
    { name: "run.sh", path: join(dist, "hosted", "run.sh") },
    { name: "package.json", path: join(own, "package.json") },
    ...filesBelow(dist, "dist/", (name) => leftOut.test(name)),
    ...packageFiles(own, [...taskPackages, ...more]),
  ];
}

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** The packages with all that they depend on, laid out as Node will find them. */
function packageFiles(from: string, names: readonly string[]): ArchivedFile[] {
  const files: ArchivedFile[] = [];
  /** By place in the archive, where each package lies here. */
  const placed = new Map<string, string>();
  const add = (name: string, needs: string, places: readonly string[], isOptional: boolean): void => {
    const directory = findPackage(name, needs);
    if (directory === null) {
      if (isOptional) return;
      throw notThere(name, needs);
    }
    // Seen from who needs it, innermost first; another version of it hides what lies further out.
    const taken = places.findIndex((place) => placed.has(`${place}node_modules/${name}`));
    if (taken >= 0 && placed.get(`${places[taken]}node_modules/${name}`) === directory) return;
    const place = (taken < 0 ? places.length : taken) - 1;
    if (place < 0) throw notThere(name, needs);
    const at = `${places[place]}node_modules/${name}`;
    placed.set(at, directory);
    files.push(...filesBelow(directory, `${at}/`, (one) => leftOutOfPackages.test(one)));
    const manifest = JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as Manifest;
    const inner = [`${at}/`, ...places.slice(place)];
    for (const one of Object.keys(manifest.dependencies ?? {})) add(one, directory, inner, false);
    for (const one of Object.keys(manifest.optionalDependencies ?? {})) add(one, directory, inner, true);
  };
  for (const name of names) add(name, from, [""], false);
  return files;
}

/** Where Node finds a package from a directory; null when it does not. */
function findPackage(name: string, from: string): string | null {
  for (let directory = realpathSync(from); ; directory = dirname(directory)) {
    const place = join(directory, "node_modules", name);
    if (existsSync(join(place, "package.json"))) return realpathSync(place);
    if (dirname(directory) === directory) return null;
  }
}

function notThere(name: string, from: string): SheafError {
  return new SheafError(
    "PACKAGE_MISSING",
    `the package ${name}, which has to travel with the job, is not installed`,
    {
      hint: `Install it where sheaf is: npm install ${name}. It was looked for from ${from}.`,
      details: { package: name },
    },
  );
}
