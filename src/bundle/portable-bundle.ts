/**
 * A bundle is portable: what it imports of `sheaf` is named by placeholder URLs, so that its text, and with
 * it the hash of a job's code, is the same wherever sheaf lies. Who is about to load a bundle puts the URLs
 * of its own sheaf in, so that job and engine share one copy.
 */
const placeholders = {
  sheaf: "sheaf://package/index.js",
  "sheaf/testing": "sheaf://package/testing.js",
} as const;

/** Placed in the import of a bundle: the only spot where a placeholder means something. */
const IMPORT = /(\bfrom ?|\bimport ?\(?)"sheaf:\/\/package\/(index|testing)\.js"/g;

/** What stands in a portable bundle for an import of `sheaf` or `sheaf/testing`. */
export function placeholderUrl(specifier: "sheaf" | "sheaf/testing"): string {
  return placeholders[specifier];
}

/**
 * The text of a portable bundle as this process can load it. No line is added or removed, so that its source
 * map stays right.
 */
export function runnableBundle(portable: string): string {
  return portable.replace(
    IMPORT,
    (_all, before: string, file: string) => `${before}"${new URL(`../${file}.js`, import.meta.url).href}"`,
  );
}
