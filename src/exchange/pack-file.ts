import { close, open, write } from "node:fs";
import { KiB } from "../base/size.ts";
import { asSheafError } from "../storage/fs-error.ts";

/** Bytes written at once. */
const WRITE_BYTES = 512 * KiB;

/**
 * A file to which slices are appended, many to a file: making, naming and removing a file costs fifty times
 * what appending a small slice does. What is appended is copied, into one of two buffers while the other one
 * is written: chunks from a socket that live until they are written cost more to collect than to copy.
 */
export class PackFile {
  readonly path: string;
  #fd = -1;
  /** Bytes that are in the file and count. */
  #written = 0;
  #filling: Buffer = Buffer.alloc(0);
  #filled = 0;
  #spare: Buffer | null = null;
  #writing: Promise<void> | null = null;
  #writingBytes = 0;
  /** What came while both buffers were full. */
  #overflow: Buffer[] = [];
  #overflowBytes = 0;
  #failure: Error | null = null;
  #marks: { readonly at: number; readonly reached: () => void }[] = [];
  #onRoom: (() => void) | null = null;

  constructor(path: string) {
    this.path = path;
  }

  /** Where the next appended byte will lie. */
  get end(): number {
    return this.#written + this.#writingBytes + this.#filled + this.#overflowBytes;
  }

  /** Whether more may be appended now. */
  get hasRoom(): boolean {
    return this.#writing === null || this.#filled < WRITE_BYTES;
  }

  /** A write has failed: flush() tells how. */
  get hasFailed(): boolean {
    return this.#failure !== null;
  }

  /** Opens the file, which is made the first time, and takes buffers. @throws SheafError */
  async open(): Promise<void> {
    if (this.#fd >= 0) return;
    try {
      this.#fd = await new Promise((resolve, reject) => {
        const flags = this.#written === 0 ? "w" : "r+";
        open(this.path, flags, 0o600, (error, fd) => (error === null ? resolve(fd) : reject(error)));
      });
    } catch (error) {
      throw asSheafError(error, { path: this.path, doing: "create" });
    }
    this.#filling = Buffer.allocUnsafeSlow(WRITE_BYTES);
  }

  /** `bytes` may be reused afterwards. More than there is room for is kept apart. */
  append(bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) {
      if (this.#filled === WRITE_BYTES && !this.#swap()) {
        const rest = Buffer.from(bytes.subarray(at));
        this.#overflow.push(rest);
        this.#overflowBytes += rest.length;
        return;
      }
      const copied = bytes.copy(this.#filling, this.#filled, at);
      this.#filled += copied;
      at += copied;
    }
  }

  /** Calls back when all that was appended so far is in the file; never when that fails. */
  whenWritten(reached: () => void): void {
    this.#marks.push({ at: this.end, reached });
  }

  /** Calls back once, as soon as more may be appended. */
  whenRoom(hasRoom: () => void): void {
    this.#onRoom = hasRoom;
  }

  /** Resolves when everything is in the file. @throws SheafError DISK_FULL and the like */
  async flush(): Promise<void> {
    while (this.#failure === null && (this.#writing !== null || this.#filled > 0)) {
      this.#swap();
      await this.#writing;
    }
    if (this.#failure !== null) throw asSheafError(this.#failure, { path: this.path, doing: "write" });
  }

  /** Everything from `end` on counts no more. After flush() only. */
  rewind(end: number): void {
    this.#written = end;
  }

  /** What is not in the file yet is dropped, and so are the buffers. May be opened again. */
  async close(): Promise<void> {
    await this.#writing;
    this.#filling = Buffer.alloc(0);
    this.#spare = null;
    this.#filled = 0;
    this.#overflow = [];
    this.#overflowBytes = 0;
    this.#marks = [];
    this.#failure = null;
    const fd = this.#fd;
    this.#fd = -1;
    if (fd >= 0) await new Promise<void>((resolve) => close(fd, () => resolve()));
  }

  /** Begins to write what is filled, and fills the other buffer; false while that one is being written. */
  #swap(): boolean {
    if (this.#writing !== null || this.#failure !== null) return false;
    const full = this.#filling;
    this.#writingBytes = this.#filled;
    this.#filling = this.#spare ?? Buffer.allocUnsafeSlow(WRITE_BYTES);
    this.#spare = null;
    this.#filled = 0;
    this.#writing = writeAll(this.#fd, full.subarray(0, this.#writingBytes), this.#written).then(
      () => this.#wrote(full),
      (error: Error) => {
        this.#failure = error;
        this.#writing = null;
        this.#writingBytes = 0;
        this.#tellRoom();
      },
    );
    return true;
  }

  #wrote(buffer: Buffer): void {
    this.#writing = null;
    this.#spare = buffer;
    this.#written += this.#writingBytes;
    this.#writingBytes = 0;
    while (this.#marks.length > 0 && this.#marks[0]!.at <= this.#written) this.#marks.shift()!.reached();
    const late = this.#overflow;
    this.#overflow = [];
    this.#overflowBytes = 0;
    for (const bytes of late) this.append(bytes);
    if (this.#filled === WRITE_BYTES) this.#swap();
    this.#tellRoom();
  }

  #tellRoom(): void {
    const tell = this.#onRoom;
    if (tell === null || (!this.hasRoom && this.#failure === null)) return;
    this.#onRoom = null;
    tell();
  }
}

/** The system may take less than it is given. */
async function writeAll(fd: number, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += await new Promise<number>((resolve, reject) => {
      write(fd, bytes, done, bytes.length - done, at + done, (error, taken) =>
        error === null ? resolve(taken) : reject(error),
      );
    });
  }
}
