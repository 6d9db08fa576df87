import { stat } from "node:fs/promises";
import { SheafError } from "../base/errors.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { isStored, storeOf } from "../storage/stores.ts";
import { uploadOutput } from "../storage/upload-output.ts";
import type { Split, SplitPiece } from "../task/split.ts";

type FilePiece = Extract<SplitPiece, { kind: "file" }>;

/** The pieces of files that lie on this machine, one for each file. */
export function localFiles(splits: readonly Split[]): FilePiece[] {
  const files = new Map<string, FilePiece>();
  for (const { pieces } of splits)
    for (const piece of pieces)
      if (piece.kind === "file" && !isStored(piece.path) && !files.has(piece.path))
        files.set(piece.path, piece);
  return [...files.values()];
}

/**
 * Copies the files of this machine that tasks are to read to where they can, and gives the splits that read
 * them there. Messages call them as before.
 * @param address of a directory in a store, which is made; ends in "/"
 * @throws SheafError INPUT_CHANGED when one is not what was planned; as StoreOutput.put and commit
 */
export async function sendInputs(
  splits: readonly Split[],
  { address, job, step }: { readonly address: string; readonly job: string; readonly step: () => void },
): Promise<readonly Split[]> {
  const files = localFiles(splits);
  if (files.length === 0) return splits;
  const named = files.map((piece, index) => ({ piece, name: `input-${String(index).padStart(5, "0")}` }));
  for (const { piece } of named) await checkSame(piece);
  const sources = named.map(({ piece, name }) => ({ source: piece.path, name, bytes: piece.fileBytes }));
  await uploadOutput([...sources, { source: new Uint8Array(), name: "_SUCCESS" }], {
    output: address,
    job,
    overwrite: false,
    step,
  });
  const store = await storeOf(address);
  const there = new Map<string, Pick<FilePiece, "path" | "mtimeMs" | "version" | "exact">>();
  for (const { piece, name } of named) {
    await checkSame(piece);
    const stored = await store.stat(address + name);
    if (stored === null || stored === "directory" || stored.version === null) throw changed(piece);
    if (stored.bytes !== piece.fileBytes) throw changed(piece);
    const { address: path, mtimeMs, version, exact } = stored;
    there.set(piece.path, { path, mtimeMs, version, ...(exact === true && { exact }) });
  }
  const moved = (piece: SplitPiece): SplitPiece =>
    piece.kind === "file" && there.has(piece.path) ? { ...piece, ...there.get(piece.path)! } : piece;
  return splits.map((split) => ({ ...split, pieces: split.pieces.map(moved) }));
}

/** What is copied has to be what was planned, before and after. */
async function checkSame(piece: FilePiece): Promise<void> {
  const { path, fileBytes, mtimeMs } = piece;
  try {
    const found = await stat(path);
    if (found.size !== fileBytes || found.mtimeMs !== mtimeMs) throw changed(piece);
  } catch (error) {
    throw asSheafError(error, { path, doing: "read" });
  }
}

function changed({ path, name }: FilePiece): SheafError {
  return new SheafError("INPUT_CHANGED", `${name} changed while it was copied for the tasks`, {
    hint: "Run the job again when nothing writes to it.",
    details: { path },
  });
}
