import { expandBraces, parseGlob, patternBase } from "./glob.ts";
import { splitAddress } from "./store.ts";
import { isListed } from "./stores/guarded-fetch.ts";

/**
 * Whether an address, or all that a pattern matches, lies below one of the roots that are addresses. Of http
 * and https host and port must be the same; of others scheme and authority, and what is behind them as text.
 */
export function isAddressInside(given: string, roots: readonly string[]): boolean {
  const parts = splitAddress(given);
  if (parts === null) return false;
  if (/^https?$/.test(parts.scheme)) return URL.canParse(given) && isListed(new URL(given), roots);
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(given) || parts.path.split("/").includes("..")) return false;
  const bases = basesOf(parts.path);
  return roots.some((root) => {
    const known = splitAddress(root);
    if (known === null || serverOf(known.root) !== serverOf(parts.root)) return false;
    const below = known.path.replace(/\/+$/, "");
    return (
      bases !== null && bases.every((path) => below === "" || path === below || path.startsWith(`${below}/`))
    );
  });
}

/** Below what lies all that a path means, as a name or as a pattern; null when ".." is a part of one. */
function basesOf(given: string): string[] | null {
  const globs = expandBraces(given).map(parseGlob);
  const leadsUp = globs.some(
    ({ base, segments }) =>
      base.split("/").includes("..") ||
      segments.some((segment) => segment.kind === "name" && segment.name === ".."),
  );
  return leadsUp ? null : [patternBase(given), ...globs.map(({ base }) => base)];
}

/** One spelling of scheme and authority, of what follows from the text alone: see Store.canonical. */
function serverOf(root: string): string {
  return root
    .toLowerCase()
    .replace(/^s3[an]:/, "s3:")
    .replace(/^(sftp:.*):22\/$/, "$1/");
}
