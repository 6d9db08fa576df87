import { closeSync, fsync, openSync, unlinkSync, writeSync } from "node:fs";
import { crc32c } from "../base/crc32.ts";
import { SheafError } from "../base/errors.ts";
import { Promise } from "../base/own-globals.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { type Compressor, compressorsOf } from "./compress.ts";

export interface OutputFileSummary {
  /** Of the file as it lies on disk: compressed. */
  readonly bytes: number;
  readonly crc32c: number;
}

/** One output file being written. Everything but `finish` is synchronous, so encoders need not wait. */
export interface OutputFile {
  readonly path: string;
  /** Bytes on disk so far; with compression what has been compressed of the bytes written. */
  readonly bytes: number;
  /** Writes a copy of `bytes`. @throws SheafError DISK_FULL, OUTPUT_UNWRITABLE */
  write(bytes: Uint8Array): void;
  /** Ends the compression, makes the file durable and closes it. */
  finish(): Promise<OutputFileSummary>;
  /** Closes and removes the file; does nothing after `finish`. Never throws. */
  discard(): void;
}

export interface OutputFileOptions {
  readonly compression?: "gzip" | "zstd";
  /**
   * So many of the files have a descriptor at once: the one written to longest ago gives its own back until
   * the next write; its compression ends, and begins again then. Default: all.
   */
  readonly openMost?: number;
}

/** Creates a file, which must not exist. @throws SheafError OUTPUT_UNWRITABLE, DISK_FULL */
export type OpenFile = (path: string) => OutputFile;

/** What opens output files, once all that takes is loaded. */
export async function outputFiles(options: OutputFileOptions = {}): Promise<OpenFile> {
  const compressors = options.compression === undefined ? null : await compressorsOf(options.compression);
  const opened = new OpenedFiles(options.openMost ?? Infinity);
  return (path) => new SyncOutputFile(path, compressors, opened);
}

/** The files that have a descriptor, the one written to longest ago first. */
class OpenedFiles {
  readonly #most: number;
  readonly #files = new Set<SyncOutputFile>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Makes it the one written to last. */
  use(file: SyncOutputFile): void {
    this.#files.delete(file);
    this.#files.add(file);
    if (this.#files.size <= this.#most) return;
    const [oldest] = this.#files;
    this.#files.delete(oldest!);
    oldest!.park();
  }

  forget(file: SyncOutputFile): void {
    this.#files.delete(file);
  }
}

class SyncOutputFile implements OutputFile {
  readonly path: string;
  bytes = 0;
  readonly #compressors: (() => Compressor) | null;
  readonly #opened: OpenedFiles;
  /** null: nothing has come since the file was opened, this time. */
  #compressor: Compressor | null = null;
  #fd: number | null;
  #parked = false;
  #crc = 0;

  constructor(path: string, compressors: (() => Compressor) | null, opened: OpenedFiles) {
    this.path = path;
    this.#opened = opened;
    this.#compressors = compressors;
    try {
      this.#fd = openSync(path, "wx", 0o666);
    } catch (error) {
      throw asSheafError(error, { path, doing: "create" });
    }
    opened.use(this);
  }

  write(bytes: Uint8Array): void {
    this.#opened.use(this);
    this.#unpark();
    if (this.#compressors === null) return this.#append(bytes);
    this.#compressor ??= this.#compressors();
    for (const block of this.#compressor.push(bytes)) this.#append(block);
  }

  park(): void {
    if (this.#fd === null) return;
    if (this.#compressor !== null) for (const block of this.#compressor.end()) this.#append(block);
    this.#compressor = null;
    this.#close(this.#fd);
    this.#parked = true;
  }

  #unpark(): void {
    if (!this.#parked) return;
    try {
      this.#fd = openSync(this.path, "a");
    } catch (error) {
      throw asSheafError(error, { path: this.path, doing: "write" });
    }
    this.#parked = false;
  }

  #close(fd: number): void {
    this.#fd = null;
    try {
      closeSync(fd);
    } catch (error) {
      // Network file systems report a full disk only now.
      throw asSheafError(error, { path: this.path, doing: "write" });
    }
  }

  async finish(): Promise<OutputFileSummary> {
    this.#opened.forget(this);
    this.#unpark();
    // An empty file is compressed, too.
    if (this.bytes === 0) this.#compressor ??= this.#compressors?.() ?? null;
    if (this.#compressor !== null) for (const block of this.#compressor.end()) this.#append(block);
    const fd = this.#open();
    await new Promise<void>((resolve, reject) => {
      fsync(fd, (error) => {
        if (error === null) resolve();
        else reject(asSheafError(error, { path: this.path, doing: "sync" }));
      });
    });
    this.#close(fd);
    return { bytes: this.bytes, crc32c: this.#crc };
  }

  discard(): void {
    if (this.#fd === null && !this.#parked) return;
    this.#opened.forget(this);
    const fd = this.#fd;
    this.#fd = null;
    this.#parked = false;
    try {
      if (fd !== null) closeSync(fd);
      unlinkSync(this.path);
    } catch {
      // The directory of the attempt is removed as a whole later.
    }
  }

  #append(bytes: Uint8Array): void {
    const fd = this.#open();
    try {
      for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done);
    } catch (error) {
      throw asSheafError(error, { path: this.path, doing: "write", offset: this.bytes });
    }
    this.#crc = crc32c(bytes, this.#crc);
    this.bytes += bytes.length;
  }

  #open(): number {
    if (this.#fd !== null) return this.#fd;
    throw new SheafError("INTERNAL", `write to a closed output file: ${this.path}`);
  }
}
