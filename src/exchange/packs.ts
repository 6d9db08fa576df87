import { close, open, write } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { KiB } from "../base/size.ts";
import type { FileWindow } from "../shuffle/run-index.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { grown } from "./output-mirror.ts";

/** Bytes written at once. */
const WRITE_BYTES = 512 * KiB;

/**
 * A file to which slices are appended, many to a file: making, naming and removing a file costs fifty times
 * what appending a small slice does. What is appended is copied into a buffer that is written when it is
 * full, while the next one is filled: chunks from a socket that live until they are written cost more to
 * collect than to copy.
 */
export class PackFile {
  readonly path: string;
  #fd = -1;
  /** Where the next appended byte will lie. */
  #end = 0;
  /** Bytes that are in the file and count. */
  #written = 0;
  #filling: Buffer = Buffer.alloc(0);
  #filled = 0;
  /** Filled buffers; the first of them is being written. */
  #full: Buffer[] = [];
  #spares: Buffer[] = [];
  #writing: Promise<void> | null = null;
  #failure: Error | null = null;
  #marks: { readonly at: number; readonly reached: () => void }[] = [];
  #onRoom: (() => void) | null = null;

  constructor(path: string) {
    this.path = path;
  }

  get end(): number {
    return this.#end;
  }

  /** Whether more should be appended now; what is appended all the same takes memory until it is written. */
  get hasRoom(): boolean {
    return this.#full.length < 2;
  }

  /** A write has failed: flush() tells how. */
  get hasFailed(): boolean {
    return this.#failure !== null;
  }

  /** Opens the file, which is made the first time, and takes buffers. @throws SheafError */
  async open(): Promise<void> {
    try {
      await mkdir(dirname(this.path), { recursive: true, mode: 0o700 });
      this.#fd = await new Promise((resolve, reject) => {
        const flags = this.#written === 0 ? "w" : "r+";
        open(this.path, flags, 0o600, (error, fd) => (error === null ? resolve(fd) : reject(error)));
      });
    } catch (error) {
      throw asSheafError(error, { path: this.path, doing: "create" });
    }
    this.#filling = Buffer.allocUnsafeSlow(WRITE_BYTES);
  }

  /** `bytes` may be reused afterwards. */
  append(bytes: Buffer): void {
    this.#end += bytes.length;
    for (let at = 0; at < bytes.length;) {
      const copied = bytes.copy(this.#filling, this.#filled, at);
      this.#filled += copied;
      at += copied;
      if (this.#filled === WRITE_BYTES) this.#passOn();
    }
  }

  /** Calls back when all that was appended so far is in the file; never when that fails. */
  whenWritten(reached: () => void): void {
    this.#marks.push({ at: this.#end, reached });
  }

  /** Calls back once, as soon as more may be appended. */
  whenRoom(hasRoom: () => void): void {
    this.#onRoom = hasRoom;
  }

  /** Resolves when everything is in the file. @throws SheafError DISK_FULL and the like */
  async flush(): Promise<void> {
    if (this.#filled > 0) this.#passOn();
    await this.#writing;
    if (this.#failure !== null) throw asSheafError(this.#failure, { path: this.path, doing: "write" });
  }

  /** Everything from `end` on counts no more. After flush() only. */
  rewind(end: number): void {
    this.#written = end;
    this.#end = end;
  }

  /** What is not in the file yet is dropped, and so are the buffers. May be opened again. */
  async close(): Promise<void> {
    await this.#writing;
    this.#end = this.#written;
    this.#filling = Buffer.alloc(0);
    this.#filled = 0;
    this.#full = [];
    this.#spares = [];
    this.#marks = [];
    this.#failure = null;
    const fd = this.#fd;
    this.#fd = -1;
    if (fd >= 0) await new Promise<void>((resolve) => close(fd, () => resolve()));
  }

  /** Hands what is filled to the writer, and fills another buffer. */
  #passOn(): void {
    this.#full.push(this.#filling.subarray(0, this.#filled));
    this.#filling = this.#spares.pop() ?? Buffer.allocUnsafeSlow(WRITE_BYTES);
    this.#filled = 0;
    if (this.#failure === null) this.#writing ??= this.#write();
  }

  /** Until there is nothing more to write. Never rejects. */
  async #write(): Promise<void> {
    try {
      for (let next = this.#full[0]; next !== undefined; next = this.#full[0]) {
        await writeAll(this.#fd, next, this.#written);
        this.#written += next.length;
        this.#full.shift();
        if (next.length === WRITE_BYTES) this.#spares.push(next);
        while (this.#marks[0] !== undefined && this.#marks[0].at <= this.#written)
          this.#marks.shift()?.reached();
        if (this.hasRoom) this.#tellRoom();
      }
    } catch (error) {
      this.#failure = error as Error;
      this.#tellRoom();
    }
    this.#writing = null;
  }

  #tellRoom(): void {
    const tell = this.#onRoom;
    this.#onRoom = null;
    tell?.();
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

/** A slice that is on this disk. */
interface HeldSlice {
  readonly attempt: number;
  /** Number of the pack. */
  readonly pack: number;
  /** Where in the pack; null: it holds no records. */
  readonly window: FileWindow | null;
}

/** Which slices of one reduce are on this disk, and where: 32 bytes for each map task. */
export class SliceInventory {
  /** Of each task: attempt (0: none), pack, offset, bytes (0: no records). */
  #cells = new Float64Array(0);

  get(task: number): HeldSlice | null {
    const [attempt = 0, pack = 0, offset = 0, bytes = 0] = this.#cells.subarray(4 * task, 4 * task + 4);
    return attempt === 0 ? null : { attempt, pack, window: bytes === 0 ? null : { offset, bytes } };
  }

  /** In place of an earlier one of the task. */
  set(task: number, { attempt, pack, window }: HeldSlice): void {
    if (4 * task >= this.#cells.length) this.#cells = grown(this.#cells, 4 * (task + 1));
    this.#cells.set([attempt, pack, window?.offset ?? 0, window?.bytes ?? 0], 4 * task);
  }

  /** Forgets all slices of a pack; gives their tasks. */
  dropPack(pack: number): number[] {
    const tasks: number[] = [];
    for (let task = 0; 4 * task < this.#cells.length; task++) {
      if (this.get(task)?.pack !== pack) continue;
      this.#cells[4 * task] = 0;
      tasks.push(task);
    }
    return tasks;
  }
}
