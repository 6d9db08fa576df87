import { accessSync, constants } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";

/** Whether this user may execute it; of a link, what that leads to. */
export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Where a program of this name may lie, in the order of PATH; not all of these need be there. Directories
 * that are not absolute are left out: what they mean changes with the current one.
 */
export function placesInPath(name: string, path: string | undefined): string[] {
  const directories = (path ?? "").split(delimiter).filter(isAbsolute);
  return directories.map((directory) => join(directory, name));
}
