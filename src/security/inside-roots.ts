import { lstat, realpath } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, parse, resolve, sep } from "node:path";
import { SheafError } from "../base/errors.ts";
import { isAddressInside } from "../storage/address-roots.ts";
import { splitAddress } from "../storage/store.ts";

/*
 * Paths that come over the wire. They are looked at as text first, then on the disk with every link
 * followed, so that neither spelling nor links lead out. Whether something outside exists does not show in
 * the answer.
 *
 * A link that is changed between the check and the use would be followed. Whoever can do that already runs
 * as a user who may write there, which job code does anyway.
 */

/**
 * The real path of what an absolute path names, which lies in one of the roots, links followed; an address
 * itself, which lies below a root that is one. It need not
 * exist: then the nearest directory above it that does must lie there.
 * @throws SheafError FORBIDDEN when it is not inside a root, is relative, or is written so that some
 * program may read it as another path
 */
export async function insideRoots(path: string, roots: readonly string[]): Promise<string> {
  if (splitAddress(path) !== null) {
    if (isAddressInside(path, roots)) return path;
    throw forbidden(
      path,
      "it is not open to jobs here",
      "Start coordinator and agents with --root ADDRESS for each address below which jobs may read.",
    );
  }
  checkSpelling(path);
  if (!isAbsolute(path)) throw forbidden(path, "it is relative", "Give an absolute path.");
  const places = await Promise.all(roots.map(async (root) => [resolve(root), await existing(root)] as const));
  const lexical = resolve(path);
  const near = places.some(
    ([given, real]) => real !== null && (within(lexical, given) || within(lexical, real)),
  );
  const found = near ? await realPathOf(lexical) : null;
  if (found !== null && places.some(([, real]) => real !== null && within(found, real))) return found;
  throw forbidden(
    path,
    roots.length === 0 ? "no directory is open to jobs" : `it is not inside ${roots.join(", ")}`,
    "Start coordinator and agents with --root DIR for each directory that jobs may read and write.",
  );
}

const pathCharsMax = 4_096;

/** Refuses what this program and another could read as two different paths. */
function checkSpelling(path: string): void {
  const hint = "Write the path out, with nothing encoded and without ..";
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(path)) throw forbidden(path, "it has control characters", hint);
  if (path.length > pathCharsMax) throw forbidden(path, `it is longer than ${pathCharsMax} characters`, hint);
  if (/%(?:2e|2f|5c|00|25)/i.test(path)) throw forbidden(path, "it is percent-encoded", hint);
  if (path.split(/[/\\]/).includes("..")) throw forbidden(path, 'it has ".." in it', hint);
}

function forbidden(path: string, why: string, hint: string): SheafError {
  const shown = JSON.stringify(path.length > 300 ? `${path.slice(0, 300)}...` : path);
  return new SheafError("FORBIDDEN", `the path ${shown} is refused: ${why}`, { hint });
}

/** Both absolute and without "..". */
function within(path: string, root: string): boolean {
  return path === root || path.startsWith(root.endsWith(sep) ? root : root + sep);
}

async function existing(path: string): Promise<string | null> {
  return realpath(path).catch(() => null);
}

/**
 * With all links followed; what does not exist is kept as it is below the nearest directory that does. Null
 * for what cannot be told: links that lead nowhere, loops, directories that cannot be entered.
 */
async function realPathOf(path: string): Promise<string | null> {
  const missing: string[] = [];
  for (let at = path; ; at = dirname(at)) {
    const real = await existing(at);
    if (real !== null) return join(real, ...missing);
    if ((await kindOf(at)) !== "missing" || at === parse(at).root) return null;
    missing.unshift(basename(at));
  }
}

async function kindOf(path: string): Promise<"link" | "other" | "missing"> {
  try {
    return (await lstat(path)).isSymbolicLink() ? "link" : "other";
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? "missing" : "other";
  }
}
