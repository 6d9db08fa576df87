import { limits } from "../base/limits.ts";

/** Files that are not empty and gave no record, good or bad. */
export interface EmptyFiles {
  readonly files: number;
  /** The first of them, as the user knows them. */
  readonly names: readonly string[];
}

/** All of these together; undefined when there are none. */
export function sumEmptyFiles(some: readonly (EmptyFiles | undefined)[]): EmptyFiles | undefined {
  let files = 0;
  const names: string[] = [];
  for (const one of some) {
    if (one === undefined) continue;
    files += one.files;
    names.push(...one.names.slice(0, limits.emptyFilesNamed - names.length));
  }
  return files === 0 ? undefined : { files, names };
}
