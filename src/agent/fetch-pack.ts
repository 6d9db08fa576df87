import { close, closeSync, open, writev } from "node:fs";
import { KiB } from "../base/size.ts";
import { asSheafError } from "../storage/fs-error.ts";

/** Bytes written at once. */
const WRITE_BYTES = 512 * KiB;
/** With so much not yet written, whoever brings more has to wait. */
const HELD_BYTES_MAX = 2 * WRITE_BYTES;

/**
 * A file to which slices are appended, many to a file: making, naming and removing a file costs fifty times
 * what appending a small slice does. Writes go on beside whatever brings the bytes, which are borrowed until
 * they are written.
 */
export class PackFile {
  readonly path: string;
  #fd = -1;
  /** Bytes that are in the file and count. */
  #written = 0;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #writing: Promise<void> | null = null;
  #writingBytes = 0;
  #failure: Error | null = null;
  #marks: { readonly at: number; readonly reached: () => void }[] = [];
  #onRoom: (() => void) | null = null;

  constructor(path: string) {
    this.path = path;
  }

  /** Where the next appended byte will lie. */
  get end(): number {
    return this.#written + this.#writingBytes + this.#heldBytes;
  }

  /** Whether more may be appended now. */
  get hasRoom(): boolean {
    return this.#writingBytes + this.#heldBytes < HELD_BYTES_MAX;
  }

  /** Opens the file, which is made the first time. @throws SheafError */
  async open(): Promise<void> {
    if (this.#fd >= 0) return;
    try {
      this.#fd = await new Promise((resolve, reject) => {
        // Created once; what it holds by then stays.
        open(this.path, this.#written === 0 ? "w" : "r+", 0o600, (error, fd) =>
          error === null ? resolve(fd) : reject(error),
        );
      });
    } catch (error) {
      throw asSheafError(error, { path: this.path, doing: "create" });
    }
  }

  append(bytes: Buffer): void {
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    if (this.#heldBytes >= WRITE_BYTES) this.#write();
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
    while (this.#failure === null && (this.#writing !== null || this.#heldBytes > 0)) {
      this.#write();
      await this.#writing;
    }
    if (this.#failure !== null) throw asSheafError(this.#failure, { path: this.path, doing: "write" });
    this.#reachMarks();
  }

  /** Everything from `end` on counts no more. After flush() only. */
  rewind(end: number): void {
    this.#written = end;
  }

  /** What is not in the file yet is dropped. May be opened again. */
  async close(): Promise<void> {
    await this.#writing;
    this.#held = [];
    this.#heldBytes = 0;
    this.#marks = [];
    this.#failure = null;
    const fd = this.#fd;
    this.#fd = -1;
    if (fd >= 0) await new Promise<void>((resolve) => close(fd, () => resolve()));
  }

  /** At once, without waiting for writes. */
  closeNow(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  #write(): void {
    if (this.#writing !== null || this.#failure !== null || this.#heldBytes === 0) return;
    const bytes = this.#held;
    this.#writingBytes = this.#heldBytes;
    this.#held = [];
    this.#heldBytes = 0;
    this.#writing = writeAll(this.#fd, bytes, this.#written).then(
      () => this.#wrote(),
      (error: Error) => {
        this.#failure = error;
        this.#writing = null;
        this.#tellRoom();
      },
    );
  }

  #wrote(): void {
    this.#writing = null;
    this.#written += this.#writingBytes;
    this.#writingBytes = 0;
    this.#reachMarks();
    if (this.#heldBytes >= WRITE_BYTES) this.#write();
    this.#tellRoom();
  }

  #reachMarks(): void {
    while (this.#marks.length > 0 && this.#marks[0]!.at <= this.#written) this.#marks.shift()!.reached();
  }

  #tellRoom(): void {
    const tell = this.#onRoom;
    if (tell === null || (!this.hasRoom && this.#failure === null)) return;
    this.#onRoom = null;
    tell();
  }
}

/** The system may take less than it is given. */
async function writeAll(fd: number, buffers: readonly Buffer[], at: number): Promise<void> {
  let left = [...buffers];
  let offset = at;
  while (left.length > 0) {
    let taken = await new Promise<number>((resolve, reject) => {
      writev(fd, left, offset, (error, bytes) => (error === null ? resolve(bytes) : reject(error)));
    });
    offset += taken;
    const whole = left.findIndex((buffer) => {
      if (buffer.length > taken) return true;
      taken -= buffer.length;
      return false;
    });
    left = whole < 0 ? [] : [left[whole]!.subarray(taken), ...left.slice(whole + 1)];
  }
}
