import { readdirSync } from "node:fs";
import { join } from "node:path";

/**
 * Paths, from the directory on, of all that lies in it now, at any depth; files that others remove meanwhile
 * may be there or not. Nothing when there is no such directory.
 */
export function namesBelow(directory: string): string[] {
  const found: string[] = [];
  const look = (below: string): void => {
    for (const entry of entriesOf(join(directory, below))) {
      const name = join(below, entry.name);
      found.push(name);
      if (entry.isDirectory()) look(name);
    }
  };
  look("");
  return found;
}

function entriesOf(directory: string) {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

/** Whether the error says that there is no such file any more. */
export function isGone(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOENT" || code === "ENOTDIR";
}
