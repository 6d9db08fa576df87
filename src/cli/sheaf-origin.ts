import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { packageVersion } from "../base/package-version.ts";

/**
 * What another project asks its package manager for to get this very sheaf: the range, tarball, git address
 * or directory that the project asked for in which it is installed; "file:DIR" where it runs from a clone or
 * is linked.
 */
export function sheafOrigin(
  root: string = fileURLToPath(new URL("../../", import.meta.url)).replace(/[/\\]$/, ""),
): string {
  let inModules = false;
  for (let directory = root; dirname(directory) !== directory; directory = dirname(directory)) {
    if (basename(directory) !== "node_modules") continue;
    inModules = true;
    const project = dirname(directory);
    const asked = askedFor(project);
    if (asked !== undefined) return fromElsewhere(asked, project);
  }
  // Global installations of npm have no package.json.
  return inModules ? `^${packageVersion()}` : `file:${root}`;
}

/** What the package.json of a directory asks for under the name sheaf. */
function askedFor(project: string): string | undefined {
  try {
    const manifest = JSON.parse(readFileSync(join(project, "package.json"), "utf8")) as Readonly<
      Record<string, Readonly<Record<string, unknown>> | undefined>
    >;
    for (const field of ["dependencies", "devDependencies", "optionalDependencies"]) {
      const asked = manifest[field]?.["sheaf"];
      if (typeof asked === "string") return asked;
    }
  } catch {
    // No project, or none that can be read.
  }
  return undefined;
}

/** A dependency as it is written in a package.json that lies elsewhere. */
function fromElsewhere(asked: string, project: string): string {
  const path =
    /^(?:file|link|portal):(.*)$/.exec(asked)?.[1] ?? (/^(?:\.{0,2}|~)\//.test(asked) ? asked : undefined);
  if (path !== undefined) return `file:${resolve(project, path.replace(/^~(?=\/)/, homedir()))}`;
  // Words that only their own workspace knows.
  return /^(?:workspace|catalog|patch):/.test(asked) ? `^${packageVersion()}` : asked;
}
