import { copyFileSync, existsSync, linkSync } from "node:fs";

/** Gives a file a second name, or where that cannot be a copy. Nothing happens when there is something. */
export function linkOrCopy(from: string, to: string): void {
  if (existsSync(to)) return;
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to);
  }
}
