import { constants, fstat, read } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { SheafError } from "../base/errors.ts";
import { asSheafError, errnoOf, quotePath } from "./fs-error.ts";

/** A file as it was when the job was planned. */
export interface PlannedFile {
  /** Absolute path. */
  readonly path: string;
  /** The path as the user would know it. */
  readonly name: string;
  readonly fileBytes: number;
  readonly mtimeMs: number;
}

/** Reads stretches of one file and notices when it is no longer the file that was planned. */
export interface RangeReader {
  /**
   * Fills the whole of `target` from byte `at` of the file. One read at a time.
   * @throws SheafError INPUT_CHANGED when the file ends before `target` is full
   */
  read(target: Uint8Array, at: number): Promise<void>;
  /**
   * Compares size and mtime with the plan again; called when the last byte was read. @throws SheafError
   * INPUT_CHANGED
   */
  verify(): Promise<void>;
  /** Never throws; a second call does nothing. */
  close(): Promise<void>;
}

/**
 * Opens a planned file for reading.
 * @throws SheafError INPUT_CHANGED when it vanished or its size or mtime differs, INPUT_UNREADABLE when it
 * cannot be opened
 */
export async function openRange(file: PlannedFile): Promise<RangeReader> {
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
    if (size !== file.fileBytes) throw changed(file, `it has ${size} bytes, ${file.fileBytes} were expected`);
    if (mtimeMs !== file.mtimeMs) throw changed(file, "it was written to");
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

function changed(file: PlannedFile, what: string, cause?: unknown): SheafError {
  return new SheafError("INPUT_CHANGED", `input ${quotePath(file.name)} changed while the job ran: ${what}`, {
    hint: "Nothing was committed. Run again when nothing writes to the input any more, or on a copy of it.",
    details: { path: file.name },
    cause,
  });
}
