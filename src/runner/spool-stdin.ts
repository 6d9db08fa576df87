import { close, constants, createReadStream, fstatSync, open, rmSync, statSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { isSheafError, SheafError } from "../base/errors.ts";
import { asSheafError, errnoOf } from "../storage/fs-error.ts";
import type { InputFile } from "../storage/list-input.ts";
import { cutShort, willPass } from "../storage/ranged-reads.ts";
import { isStored, storeOf } from "../storage/stores.ts";
import { openedForWriting } from "../storage/stream-file.ts";

/**
 * Copies standard input to a file, since splits are read by several workers, and again when an attempt
 * fails.
 */
export async function spoolStdin(
  input: NodeJS.ReadableStream,
  directory: string,
  signal: AbortSignal | undefined,
): Promise<InputFile> {
  const path = join(directory, "stdin");
  return { ...(await spool(input, { name: "-", path }, signal)), place: "-" };
}

/**
 * The same for a file that can be read only once (InputFile.isStream), which it waits for: a FIFO until
 * somebody has opened it for writing and closed it.
 * @param path where the copy is made
 */
export async function spoolStream(
  file: InputFile,
  path: string,
  signal: AbortSignal | undefined,
): Promise<InputFile> {
  const { isStream: _, ...rest } = file;
  if (isStored(file.path)) return { ...rest, ...(await spoolStored(file, path, signal)) };
  const input = await openStream(file, signal);
  return { ...rest, ...(await spool(input, { name: file.name, path }, signal)) };
}

/** How often what is cut is copied again, from its first byte: it may be another version by then. */
const COPIES_MAX = 4;

async function spoolStored(
  file: InputFile,
  path: string,
  signal: AbortSignal | undefined,
): Promise<InputFile> {
  const store = await storeOf(file.path);
  if (store.copy === undefined) throw new SheafError("INTERNAL", `${file.path} cannot be copied`);
  for (let tries = 1; ; tries++) {
    try {
      const bytes = Readable.from(store.copy(file.path, () => signal?.throwIfAborted()));
      return await spool(bytes, { name: file.name, path }, signal);
    } catch (error) {
      signal?.throwIfAborted();
      rmSync(path, { force: true });
      const cause = isSheafError(error) && error.cause !== undefined ? error.cause : error;
      if (!willPass(cause)) throw error;
      if (tries >= COPIES_MAX) throw cutShort(file.name, null, cause);
    }
  }
}

async function spool(
  input: NodeJS.ReadableStream,
  { name, path }: { readonly name: string; readonly path: string },
  signal: AbortSignal | undefined,
): Promise<InputFile> {
  try {
    const file = openedForWriting(path);
    await pipeline(input, file, signal === undefined ? {} : { signal });
  } catch (error) {
    if (isSheafError(error)) throw error;
    const isRead = error instanceof Error && "syscall" in error && error.syscall === "read";
    throw asSheafError(error, isRead ? { path: name, doing: "read" } : { path, doing: "write" });
  }
  const { size, mtimeMs } = statSync(path);
  return { path, name, bytes: size, mtimeMs };
}

async function openStream(file: InputFile, signal: AbortSignal | undefined): Promise<NodeJS.ReadableStream> {
  // Opening a FIFO waits for its writer, in a thread that cannot be stopped: a writer that says nothing
  // ends the wait.
  const release = (): void =>
    open(file.path, constants.O_WRONLY | constants.O_NONBLOCK, (error, fd) => {
      if (error === null) close(fd);
    });
  signal?.throwIfAborted();
  signal?.addEventListener("abort", release, { once: true });
  try {
    const fd = await new Promise<number>((resolve, reject) =>
      open(file.path, "r", (error, opened) => (error === null ? resolve(opened) : reject(error))),
    );
    const status = fstatSync(fd);
    if (status.isFIFO() || status.isSocket()) return new Socket({ fd, readable: true, writable: false });
    return createReadStream(file.path, { fd });
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    throw asSheafError(error, { path: file.name, doing: "open" });
  } finally {
    signal?.removeEventListener("abort", release);
  }
}
