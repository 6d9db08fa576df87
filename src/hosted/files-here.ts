import { removeDirectory } from "../storage/remove-directory.ts";
import type { HostFiles } from "./host-engine.ts";

/** What tasks on this machine have written, and the committer has put into a directory. */
export function filesHere(directory: string, scratch: string): HostFiles {
  const notThere = (): Promise<never> => Promise.reject(new Error("the files lie on this machine"));
  return {
    reports: directory,
    local: directory,
    canPlace: () => false,
    place: notThere,
    fetch: notThere,
    remove: () => removeDirectory(scratch),
  };
}
