import { resolve as resolveAsNode } from "import-meta-resolve";
import { dirname } from "node:path";
import { pathToFileURL } from "node:url";
import { SheafError, describeThrown } from "../base/errors.ts";
import { builtUrl } from "../base/package-places.ts";
import { shellWord } from "../base/shell-word.ts";

/** Addresses of this very package's entry points; null for every other specifier. */
export function ownUrl(specifier: string): string | null {
  if (specifier !== "sheaf" && specifier !== "sheaf/testing") return null;
  const file = specifier === "sheaf" ? "index.js" : "testing.js";
  return new URL(file, builtUrl).href;
}

/**
 * Where a module that is not bundled lies, as Node would find it from the file that imports it; a package
 * that is not to be seen from there is looked for from the job file, then from this process's directory.
 * @param from URL of the importing file
 * @param entry path of the job file
 * @throws what Node throws: ERR_MODULE_NOT_FOUND, ERR_PACKAGE_PATH_NOT_EXPORTED ...
 */
export function resolveOutside(specifier: string, from: string, entry: string): string {
  // As import.meta.resolve does: whether such a file exists shows when it is loaded.
  if (isPath(specifier)) return new URL(specifier, from).href;
  try {
    return resolveAsNode(specifier, from);
  } catch (error) {
    for (const place of [entry, `${process.cwd()}/none.js`]) {
      try {
        return resolveAsNode(specifier, pathToFileURL(place).href);
      } catch {
        // The first error tells more.
      }
    }
    throw error;
  }
}

/** Whether a specifier names a place, and no package. */
export function isPath(specifier: string): boolean {
  return /^(?:\.\.?(?:\/|$)|\/|[a-z][a-z0-9+.-]+:)/i.test(specifier);
}

/**
 * As resolveOutside, for an import at the head of a bundle, without which nothing of it runs.
 * @throws SheafError PACKAGE_MISSING naming the package and where it was looked for
 */
export function resolveImport(specifier: string, importer: string, entry: string): string {
  try {
    return resolveOutside(specifier, pathToFileURL(importer).href, entry);
  } catch (cause) {
    const name = /^(?:@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier;
    throw new SheafError(
      "PACKAGE_MISSING",
      `the package "${name}", which the job leaves outside its bundle, is not on this machine: ` +
        describeThrown(cause),
      {
        hint:
          `Install it where the job file can see it: cd ${shellWord(dirname(entry))} && npm install ${name}. An agent of ` +
          `a cluster looks there too, then in the directory that it runs in.`,
        details: { package: name, path: importer },
        cause,
      },
    );
  }
}
