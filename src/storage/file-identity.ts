import { createHash } from "node:crypto";
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { access } from "node:fs/promises";
import { inodeText } from "./content-check.ts";

/** A file as it was listed. */
export interface ListedFile {
  readonly path: string;
  /** Bytes of it that are read. */
  readonly fileBytes: number;
  readonly mtimeMs: number;
  /** Of a file in a store; see StoredFile. */
  readonly version?: string;
  readonly exact?: true;
}

export interface IdentityOptions {
  readonly wallMs: () => number;
  /**
   * Waits so long, ms. null: a file that was changed so lately that a second change would not show is not
   * waited for, and the answer is null.
   */
  readonly pause: ((ms: number) => Promise<void>) | null;
  /** Called for each file; what it throws ends the work. */
  readonly step?: (() => void) | undefined;
}

/** Of the clock that stamps files: the kernel's ticks, or whole seconds (two, on FAT). */
const fineStampMs = 50;
const coarseStampMs = 2_000;
/** A stamp further ahead is by a clock that nothing can be told from. */
const aheadMsMax = 5_000;
/** Files after which others get their turn, for as long as the system takes to answer. */
const filesAtOnce = 1_000;

/**
 * Names the content of files by what the file system says of them: path, size, inode, and the times of the
 * last change of content and of anything. No program can set the last one, and every write does: as long as
 * all are the same, so is the content, without reading it. What is touched or copied has another name though
 * it may hold the same: whoever asks then does again what need not be done, and is not wrong.
 *
 * To be called after the files were listed and before they are read. Each is opened, since network file
 * systems look at the server only then. A file in a store is named by its version, where that says which
 * bytes it has.
 * @returns hex digits; null: it cannot be told, since a file is not as it was listed, or its clock is wrong
 */
export async function filesIdentity(
  files: readonly (readonly ListedFile[])[],
  { wallMs, pause, step }: IdentityOptions,
): Promise<string | null> {
  const digest = createHash("sha256");
  let settledMs = 0;
  let count = 0;
  for (const some of files) {
    digest.update(`${some.length} files\n`);
    for (const file of some) {
      step?.();
      if (file.version !== undefined) {
        // A time and a size do not say which bytes they are.
        if (file.exact !== true) return null;
        digest.update(JSON.stringify([file.path, file.fileBytes, file.version]));
        continue;
      }
      if (++count % filesAtOnce === 0) await access(file.path).catch(() => undefined);
      const found = opened(file.path, (fd) => fstatSync(fd));
      if (found === null || found.mtimeMs !== file.mtimeMs || found.size < file.fileBytes) return null;
      const { size, mtimeMs, ctimeMs, ino } = found;
      digest.update(JSON.stringify([file.path, file.fileBytes, size, mtimeMs, ctimeMs, ino]));
      settledMs = Math.max(settledMs, settledMsOf(ctimeMs, ctimeMs % 1_000 === 0));
    }
  }
  // Two changes within one tick of the clock have the same stamp. What is read from here on is the last.
  return (await settle(settledMs, wallMs, pause)) ? digest.digest("hex") : null;
}

/** A file as its file system knows it. */
export interface FileStamp {
  /** The same as long as nothing of the file was changed. */
  readonly text: string;
  /** Until then, ms of the wall clock, a change might not show in the text. */
  readonly settledMs: number;
}

/** null for what cannot be opened, and what is no regular file. Opens it, as filesIdentity does. */
export function stampOf(path: string): FileStamp | null {
  const found = opened(path, (fd) => fstatSync(fd, { bigint: true }));
  if (found === null) return null;
  const { ctimeNs } = found;
  const settledMs = settledMsOf(Number(ctimeNs / 1_000_000n), ctimeNs % 1_000_000_000n === 0n);
  return { text: inodeText(found), settledMs };
}

/**
 * As `stampOf`, of a file in a store. Whoever reads it is bound to its version, and a version that is a time
 * and a size stays when the file is written anew within one tick of the store's clock.
 * @returns null where the store knows no time, either
 */
export function stampOfStored(
  { exact, mtimeMs }: Pick<ListedFile, "exact" | "mtimeMs">,
  version: string,
): FileStamp | null {
  if (exact === true) return { text: version, settledMs: 0 };
  return mtimeMs === 0 ? null : { text: version, settledMs: mtimeMs + coarseStampMs };
}

function settledMsOf(changedMs: number, isCoarse: boolean): number {
  return changedMs + (isCoarse ? coarseStampMs : fineStampMs);
}

/**
 * Waits until a change of a file would show.
 * @returns false when nobody may wait, or the file's clock is too far ahead
 */
export async function settle(
  settledMs: number,
  wallMs: IdentityOptions["wallMs"],
  pause: IdentityOptions["pause"],
): Promise<boolean> {
  const waitMs = settledMs - wallMs();
  if (waitMs <= 0) return true;
  if (pause === null || waitMs > aheadMsMax) return false;
  await pause(Math.ceil(waitMs));
  return true;
}

function opened<T extends { isFile(): boolean }>(path: string, look: (file: number) => T): T | null {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return null;
  }
  try {
    const found = look(file);
    return found.isFile() ? found : null;
  } finally {
    closeSync(file);
  }
}
