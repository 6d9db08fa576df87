/**
 * How a portable bundle names the package: machines that run it have theirs in places of their own. The
 * content hash of a job's code is taken over the portable text, so that it is the same everywhere.
 */
export const PACKAGE_PLACES = {
  sheaf: "sheaf-package:index.js",
  "sheaf/testing": "sheaf-package:testing.js",
} as const;

/** The text of a portable bundle with this package in its places, by URL. Lines and their number stay. */
export function runnableBundle(portable: string): string {
  const index = new URL("../index.js", import.meta.url).href;
  const testing = new URL("../testing.js", import.meta.url).href;
  return portable
    .replaceAll(JSON.stringify(PACKAGE_PLACES.sheaf), JSON.stringify(index))
    .replaceAll(JSON.stringify(PACKAGE_PLACES["sheaf/testing"]), JSON.stringify(testing));
}
