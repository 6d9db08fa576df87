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
  /** Gives the descriptor back until the next write; ends the compression, and begins it again then. */
  park(): void;
  /** Ends the compression, makes the file durable and closes it. */
  finish(): Promise<OutputFileSummary>;
  /** Closes and removes the file; does nothing after `finish`. Never throws. */
  discard(): void;
}

export interface OutputFileOptions {
  readonly compression?: "gzip" | "zstd";
}

/** Creates a file, which must not exist. @throws SheafError OUTPUT_UNWRITABLE, DISK_FULL */
export type OpenFile = (path: string) => OutputFile;

/** What opens output files, once all that takes is loaded. */
export async function outputFiles(options: OutputFileOptions = {}): Promise<OpenFile> {
  const compressors = options.compression === undefined ? null : await compressorsOf(options.compression);
  return (path) => new SyncOutputFile(path, compressors);
}

class SyncOutputFile implements OutputFile {
  readonly path: string;
  bytes = 0;
  readonly #compressors: (() => Compressor) | null;
  #compressor: Compressor | null;
  #fd: number | null;
  #parked = false;
  #crc = 0;

  constructor(path: string, compressors: (() => Compressor) | null) {
    this.path = path;
    this.#compressors = compressors;
    this.#compressor = compressors?.() ?? null;
    try {
      this.#fd = openSync(path, "wx", 0o666);
    } catch (error) {
      throw asSheafError(error, { path, doing: "create" });
    }
  }

  write(bytes: Uint8Array): void {
    if (this.#parked) this.#compressor = this.#compressors?.() ?? null;
    this.#unpark();
    if (this.#compressor === null) this.#append(bytes);
    else for (const block of this.#compressor.push(bytes)) this.#append(block);
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
    this.#unpark();
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
