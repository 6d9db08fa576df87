import { constants, fstat, read } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { crc32c } from "../base/crc32.ts";
import { SheafError } from "../base/errors.ts";
import { Promise } from "../base/own-globals.ts";
import { asSheafError, errnoOf, quotePath } from "./fs-error.ts";
import type { RangeReader } from "./store.ts";
import { storeOf } from "./stores.ts";

/** A file as it was when the job was planned. */
export interface PlannedFile {
  /** Absolute path, or the address of a file in a store. */
  readonly path: string;
  /** The path as the user would know it. */
  readonly name: string;
  readonly fileBytes: number;
  readonly mtimeMs: number;
  /** Given: it is a file in a store, of which this version is read. See StoredFile. */
  readonly version?: string;
  /**
   * Given: others may append to the file while it is read, so only its first `fileBytes` bytes have to stay
   * as they were. What fingerprintOf says of them; 0: not known yet.
   */
  readonly growing?: number;
}

/**
 * Opens a planned file for reading.
 * @param file may say which bytes will be read, most likely, as a piece of a file does; default: all
 * @throws SheafError INPUT_CHANGED when it vanished or its size or mtime differs, INPUT_UNREADABLE when it
 * cannot be opened
 */
export async function openRange(file: PlannedFile & Stretch): Promise<RangeReader> {
  return file.version === undefined ? openLocal(file) : openStored(file, file.version);
}

interface Stretch {
  readonly start?: number;
  readonly end?: number;
}

async function openStored(file: PlannedFile & Stretch, version: string): Promise<RangeReader> {
  const { path, name, fileBytes, mtimeMs, start = 0, end = fileBytes } = file;
  const store = await storeOf(path);
  return store.open({ address: path, name, bytes: fileBytes, mtimeMs, version, from: start, to: end });
}

async function openLocal(file: PlannedFile): Promise<FileRange> {
  let handle: FileHandle;
  try {
    // A FIFO that took the file's place must not block the open.
    handle = await open(file.path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") throw changed(file, "it is gone", error);
    throw asSheafError(error, { path: file.name, doing: "open" });
  }
  const reader = new FileRange(file, handle);
  try {
    await reader.verify();
  } catch (error) {
    await reader.close();
    throw error;
  }
  return reader;
}

/** Of a growing file's begin and end; see fingerprintOf. */
const PRINTED_BYTES = 4096;

class FileRange implements RangeReader {
  readonly #file: PlannedFile;
  #handle: FileHandle | null;

  constructor(file: PlannedFile, handle: FileHandle) {
    this.#file = file;
    this.#handle = handle;
  }

  async read(target: Uint8Array, at: number): Promise<void> {
    let done = 0;
    while (done < target.length) {
      const got = await this.#readOnce(target, done, at + done);
      if (got === 0)
        throw changed(this.#file, `it ends at byte ${at + done}, ${this.#file.fileBytes} were expected`);
      done += got;
    }
  }

  // The callback form: it allocates less than FileHandle.read, and reads are most of what a scan awaits.
  #readOnce(target: Uint8Array, from: number, at: number): Promise<number> {
    const handle = this.#open(at);
    return new Promise((resolve, reject) => {
      read(handle.fd, target, from, target.length - from, at, (error, got) => {
        if (error === null) resolve(got);
        else reject(asSheafError(error, { path: this.#file.name, doing: "read", offset: at }));
      });
    });
  }

  async verify(): Promise<void> {
    const handle = this.#open();
    const { size, mtimeMs, isFile } = await new Promise<{ size: number; mtimeMs: number; isFile: boolean }>(
      (resolve, reject) =>
        fstat(handle.fd, (error, stat) => {
          if (error === null) resolve({ size: stat.size, mtimeMs: stat.mtimeMs, isFile: stat.isFile() });
          else reject(asSheafError(error, { path: this.#file.name, doing: "read" }));
        }),
    );
    const file = this.#file;
    if (!isFile) throw changed(file, "it is no longer a regular file");
    if (file.growing !== undefined) {
      if (size < file.fileBytes) throw changed(file, `it shrank from ${file.fileBytes} bytes to ${size}`);
      // Nothing was written since, or what was planned is still to be looked at.
      if (mtimeMs === file.mtimeMs || file.growing === 0) return;
      if ((await this.fingerprint()) !== file.growing) throw changed(file, "what it had before is not there");
      return;
    }
    if (size !== file.fileBytes) throw changed(file, `it has ${size} bytes, ${file.fileBytes} were expected`);
    if (mtimeMs !== file.mtimeMs) throw changed(file, "it was written to");
  }

  /** See fingerprintOf. */
  async fingerprint(): Promise<number> {
    const { fileBytes } = this.#file;
    const bytes = Buffer.alloc(Math.min(fileBytes, PRINTED_BYTES));
    await this.read(bytes, 0);
    const first = crc32c(bytes);
    await this.read(bytes, fileBytes - bytes.length);
    // 0 is for what is not known.
    return crc32c(bytes, first) || 1;
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = null;
    await handle?.close().catch(() => undefined);
  }

  #open(offset?: number): FileHandle {
    if (this.#handle !== null) return this.#handle;
    throw new SheafError("INTERNAL", `read of a closed file: ${this.#file.name} at ${offset ?? "-"}`);
  }
}

/**
 * A checksum of the first and last 4 KiB of a planned file: a log that was emptied, replaced or written anew
 * has another one, one that was appended to has not.
 * @throws SheafError as openRange
 */
export async function fingerprintOf(file: PlannedFile): Promise<number> {
  const range = await openLocal(file);
  try {
    return await range.fingerprint();
  } finally {
    await range.close();
  }
}

function changed(file: PlannedFile, what: string, cause?: unknown): SheafError {
  return new SheafError("INPUT_CHANGED", `input ${quotePath(file.name)} changed while the job ran: ${what}`, {
    hint:
      file.growing === undefined
        ? "Nothing was committed. Run again when nothing writes to it any more, or on a copy of it; a log " +
          "that is only appended to can be read to its present end with --growing."
        : "Nothing was committed. --growing reads what is only appended to; run again on a copy of it.",
    details: { path: file.name },
    cause,
  });
}
