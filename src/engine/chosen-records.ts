import { SheafError } from "../base/errors.ts";
import type { ListedFile } from "../storage/file-identity.ts";
import type { Split } from "../task/split.ts";
import type { ChosenFile, ChosenRecords } from "../task/task-spec.ts";

/** A file that a job has read. */
export type ReadFile = Omit<ChosenFile, "offsets">;

/** The files that a task has read, or parts of. */
export function filesOfSplit({ pieces, input = 0 }: Split): ReadFile[] {
  return pieces.flatMap((piece): ReadFile[] => {
    if (piece.kind !== "file") return [];
    const { name, path, fileBytes, mtimeMs, version } = piece;
    return [{ name, path, input, fileBytes, mtimeMs, ...(version !== undefined && { version }) }];
  });
}

/**
 * Sees to it that files are what they were when the records were found in them.
 * @param listed the files of each input, as they are read now
 * @param agent whose own files these are; null: those that all see
 * @throws SheafError INPUT_CHANGED naming one that is not
 */
export function checkChosen(
  listed: readonly (readonly ListedFile[])[],
  { files }: ChosenRecords,
  agent: string | null = null,
): void {
  const byPath = listed.map((some) => new Map(some.map((file) => [file.path, file])));
  for (const one of files)
    if ((one.agent ?? null) === agent) checkAsRead(one, byPath[one.input]?.get(one.path) ?? null);
}

/** @param now null: it is gone. @throws SheafError INPUT_CHANGED */
export function checkAsRead(
  { path, fileBytes, mtimeMs, version }: ChosenFile,
  now: Pick<ListedFile, "fileBytes" | "mtimeMs" | "version"> | null,
): void {
  if (now === null) throw changed(path, "is gone");
  const isSame =
    version === undefined
      ? now.version === undefined && now.fileBytes === fileBytes && now.mtimeMs === mtimeMs
      : now.version === version;
  if (!isSame) throw changed(path, "has changed since the job has read it");
}

/** What a file of another run cannot be used for. */
export function changed(path: string, what: string): SheafError {
  return new SheafError("INPUT_CHANGED", `${path} ${what}`, {
    hint: "The records at those offsets may be others by now: run the whole job.",
    details: { path },
  });
}

/** How many records are to be mapped of inputs that are not mapped as a whole; see JobRunSetting. */
export function wantedRecords({ files, whole }: ChosenRecords, splitOf: (mapTask: number) => Split) {
  const some = files.filter(({ input }) => !whole.includes(input));
  return {
    records: some.reduce((sum, { offsets }) => sum + offsets.length, 0),
    has: (mapTask: number): boolean => !whole.includes(splitOf(mapTask).input ?? 0),
  };
}
