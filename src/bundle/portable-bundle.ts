import { builtUrl } from "../base/package-places.ts";
import { ownUrl, resolveImport } from "./outside.ts";

/**
 * A bundle is portable: what it imports of `sheaf` and of packages outside is named by placeholder URLs, so
 * that its text, and with it the hash of a job's code, is the same wherever these lie. Who is about to load a
 * bundle puts the URLs of its own in, so that job and engine share one copy.
 */
const placeholders = {
  sheaf: "sheaf://package/index.js",
  "sheaf/testing": "sheaf://package/testing.js",
  "original-file": "sheaf://package/bundle/original-file.js",
} as const;

/** A module that a bundle imports from outside. Paths are those of the machine that bundled it. */
export interface OutsideImport {
  readonly specifier: string;
  readonly importer: string;
  readonly entry: string;
}

/** Placed in the import of a bundle: the only spot where a placeholder means something. */
const IMPORT =
  /(\bfrom ?|\bimport ?\(?)"sheaf:\/\/(?:package\/(index|testing|bundle\/original-file)\.js|outside\/([^"?]+)\?([^"&]*)&([^"]*))"/g;

/** What stands in a portable bundle for an import of this package. */
export function placeholderUrl(module: keyof typeof placeholders): string {
  return placeholders[module];
}

/** What stands in a portable bundle for an import of a package outside. */
export function outsideUrl({ specifier, importer, entry }: OutsideImport): string {
  return `sheaf://outside/${[specifier, importer, entry].map(encodeURIComponent).join("&").replace("&", "?")}`;
}

/**
 * The text of a portable bundle as this process can load it. No line is added or removed, so that its source
 * map stays right.
 * @throws SheafError PACKAGE_MISSING when a package outside is not on this machine
 */
export function runnableBundle(portable: string): string {
  return portable.replace(
    IMPORT,
    (_all, before: string, own: string | undefined, ...outside: string[]) =>
      `${before}${JSON.stringify(own === undefined ? outsideFile(outside) : new URL(`${own}.js`, builtUrl).href)}`,
  );
}

function outsideFile([specifier, importer, entry]: string[]): string {
  const name = decodeURIComponent(specifier!);
  return ownUrl(name) ?? resolveImport(name, decodeURIComponent(importer!), decodeURIComponent(entry!));
}
