import { readSync, writeSync } from "node:fs";
import { SheafError } from "../base/errors.ts";
import { KiB } from "../base/size.ts";
import { errnoOf } from "../storage/fs-error.ts";

/*
 * How engines hand records to a task program and take them from it: Hadoop Streaming's "rawbytes", in both
 * directions and for Spark too. FROZEN.
 *
 *   frame = keyLength:i32 key valueLength:i32 value            integers are big-endian
 *
 * An engine takes a stream that ends inside a length, or a negative length, for the end of all records: what
 * is written here never has either, and what is read here is refused for them.
 */

const LENGTH_BYTES = 4;
const BUFFER_BYTES = 256 * KiB;
/** The longest pause between two looks at a descriptor that has nothing, or takes nothing, just now. */
const pauseMsMax = 20;

/** Sizes of frames beyond these are refused, bytes. */
export interface FrameBounds {
  readonly keyMax: number;
  readonly valueMax: number;
}

/** The error for a stream of frames that is not what an engine sends. */
export function brokenFrames(what: string): SheafError {
  return new SheafError("MESSAGE_INVALID", `the records that the engine gave to the task: ${what}`, {
    hint: "The stream between the engine and the task was cut or changed: the engine has to run the task again.",
    retryable: true,
  });
}

/** Reads frames of a descriptor, which may be a pipe or a socket and may be non-blocking. */
export class FrameReader {
  readonly #fd: number;
  readonly #bounds: FrameBounds;
  readonly #pause = new Pause();
  #buffer: Buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  /** What is read and not yet given: [at, end). */
  #at = 0;
  #end = 0;
  #offset = 0;
  /** Of the frame that next() has found. Valid until the next call. */
  key: Buffer = this.#buffer;
  value: Buffer = this.#buffer;

  constructor(fd: number, bounds: FrameBounds) {
    this.#fd = fd;
    this.#bounds = bounds;
  }

  /**
   * Goes to the next frame. False: the stream has ended, behind a whole frame.
   * @throws SheafError MESSAGE_INVALID when it ends elsewhere, or for a length that makes no sense
   */
  next(): boolean {
    if (!this.#has(1)) return false;
    const keyLength = this.#length("key", 0, this.#bounds.keyMax);
    const behindKey = LENGTH_BYTES + keyLength;
    this.#need(behindKey, "a key");
    const valueLength = this.#length("value", behindKey, this.#bounds.valueMax);
    const bytes = behindKey + LENGTH_BYTES + valueLength;
    this.#need(bytes, "a value");
    this.key = this.#buffer.subarray(this.#at + LENGTH_BYTES, this.#at + behindKey);
    this.value = this.#buffer.subarray(this.#at + behindKey + LENGTH_BYTES, this.#at + bytes);
    this.#at += bytes;
    this.#offset += bytes;
    return true;
  }

  #length(what: string, at: number, max: number): number {
    this.#need(at + LENGTH_BYTES, "a length");
    const length = this.#buffer.readInt32BE(this.#at + at);
    if (length >= 0 && length <= max) return length;
    throw brokenFrames(`a ${what} of ${length} bytes at offset ${this.#offset + at}, ${max} at most`);
  }

  #need(bytes: number, what: string): void {
    if (!this.#has(bytes)) throw brokenFrames(`they end inside ${what}, at offset ${this.#offset}`);
  }

  /** Whether so many bytes are there, from #at on; reads until they are, or until the stream ends. */
  #has(bytes: number): boolean {
    if (this.#end - this.#at >= bytes) return true;
    this.#makeRoom(bytes);
    while (this.#end - this.#at < bytes) {
      const read = this.#read();
      if (read === 0) return false;
      this.#end += read;
    }
    return true;
  }

  #makeRoom(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const size = this.#buffer.length;
    const target = bytes <= size ? this.#buffer : Buffer.allocUnsafeSlow(Math.max(bytes, 2 * size));
    this.#buffer.copy(target, 0, this.#at, this.#end);
    this.#buffer = target;
    this.#end -= this.#at;
    this.#at = 0;
  }

  #read(): number {
    for (;;) {
      try {
        const read = readSync(this.#fd, this.#buffer, this.#end, this.#buffer.length - this.#end, null);
        this.#pause.reset();
        return read;
      } catch (error) {
        const code = errnoOf(error);
        if (code === "EAGAIN") this.#pause.wait();
        else if (code === "ECONNRESET") throw brokenFrames("the engine has closed them before their end");
        else if (code !== "EINTR") throw error;
      }
    }
  }
}

/** Writes frames to a descriptor, many small ones at once, and waits while it takes no more. */
export class FrameWriter {
  readonly #fd: number;
  readonly #pause = new Pause();
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  readonly #length = Buffer.alloc(LENGTH_BYTES);
  #filled = 0;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Writes a frame; its value is the parts, one after the other. All may be used anew afterwards.
   * @throws SheafError CANCELLED when the engine does not read any more
   */
  write(key: Uint8Array, value: readonly Uint8Array[]): void {
    let bytes = 0;
    for (const part of value) bytes += part.length;
    if (bytes > 0x7fffffff) throw new SheafError("INTERNAL", `a frame of ${bytes} bytes`);
    this.#put(this.#prefix(key.length));
    this.#put(key);
    this.#put(this.#prefix(bytes));
    for (const part of value) this.#put(part);
  }

  /** Everything written so far has been taken when this returns. @throws SheafError as write */
  flush(): void {
    const filled = this.#filled;
    this.#filled = 0;
    this.#writeAll(this.#buffer.subarray(0, filled));
  }

  #prefix(length: number): Buffer {
    this.#length.writeInt32BE(length, 0);
    return this.#length;
  }

  #put(bytes: Uint8Array): void {
    if (this.#filled + bytes.length > BUFFER_BYTES) this.flush();
    if (bytes.length > BUFFER_BYTES) return this.#writeAll(bytes);
    this.#buffer.set(bytes, this.#filled);
    this.#filled += bytes.length;
  }

  #writeAll(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      try {
        done += writeSync(this.#fd, bytes, done, bytes.length - done);
        this.#pause.reset();
      } catch (error) {
        const code = errnoOf(error);
        if (code === "EAGAIN") this.#pause.wait();
        else if (code === "EPIPE" || code === "ECONNRESET") throw notTaken(error);
        else if (code !== "EINTR") throw error;
      }
    }
  }
}

function notTaken(cause: unknown): SheafError {
  return new SheafError("CANCELLED", "the engine has stopped reading what the task makes", {
    hint: "It has ended this attempt, or the process that was to read it has died: its own log says why.",
    retryable: true,
    cause,
  });
}

/** Waits in this thread, a little longer each time in a row. */
class Pause {
  readonly #cell = new Int32Array(new SharedArrayBuffer(4));
  #ms = 1;

  wait(): void {
    Atomics.wait(this.#cell, 0, 0, this.#ms);
    this.#ms = Math.min(pauseMsMax, this.#ms * 2);
  }

  reset(): void {
    this.#ms = 1;
  }
}
