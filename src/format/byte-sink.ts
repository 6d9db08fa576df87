import type { ByteSink } from "../job/writer.ts";

const BUFFER_BYTES = 256 * 1024;
/** Up to this length a loop over the text beats a call into the runtime. */
const SHORT_TEXT = 48;
/** UTF-8 takes at most three bytes per UTF-16 unit. */
const BYTES_PER_UNIT = 3;

/**
 * A ByteSink that gathers bytes in one buffer and hands it to `onFull` whenever the next piece does not fit.
 * What `onFull` gets is borrowed: the buffer is written over after it returns. Lone surrogates become U+FFFD.
 */
export class BufferSink implements ByteSink {
  readonly #buffer: Buffer;
  readonly #onFull: (bytes: Uint8Array) => void;
  #used = 0;
  #handedOver = 0;

  constructor(onFull: (bytes: Uint8Array) => void, bufferBytes = BUFFER_BYTES) {
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(bufferBytes, SHORT_TEXT * BYTES_PER_UNIT));
    this.#onFull = onFull;
  }

  /** Bytes taken so far, handed over or not. */
  get bytesWritten(): number {
    return this.#handedOver + this.#used;
  }

  text(text: string): void {
    const { length } = text;
    const needed = length * BYTES_PER_UNIT;
    if (needed > this.#buffer.length - this.#used) {
      this.flush();
      if (needed > this.#buffer.length) return this.#longText(text);
    }
    const buffer = this.#buffer;
    let at = this.#used;
    if (length <= SHORT_TEXT) {
      let i = 0;
      for (; i < length; i++) {
        const unit = text.charCodeAt(i);
        if (unit >= 0x80) break;
        buffer[at++] = unit;
      }
      if (i === length) {
        this.#used = at;
        return;
      }
    }
    this.#used += buffer.write(text, this.#used, "utf8");
  }

  bytes(bytes: Uint8Array): void {
    if (bytes.length > this.#buffer.length - this.#used) {
      this.flush();
      if (bytes.length > this.#buffer.length) {
        this.#handedOver += bytes.length;
        this.#onFull(bytes);
        return;
      }
    }
    this.#buffer.set(bytes, this.#used);
    this.#used += bytes.length;
  }

  byte(value: number): void {
    if (this.#used === this.#buffer.length) this.flush();
    this.#buffer[this.#used++] = value;
  }

  /** Hands over what is in the buffer. */
  flush(): void {
    const used = this.#used;
    if (used === 0) return;
    this.#used = 0;
    this.#handedOver += used;
    this.#onFull(this.#buffer.subarray(0, used));
  }

  // In slices, so that a text of any length needs no second buffer; never between the halves of a pair.
  #longText(text: string): void {
    const slice = Math.floor(this.#buffer.length / BYTES_PER_UNIT) - 1;
    for (let start = 0; start < text.length;) {
      let end = Math.min(text.length, start + slice);
      const last = text.charCodeAt(end - 1);
      if (end < text.length && last >= 0xd800 && last < 0xdc00) end++;
      this.#used = this.#buffer.write(text.slice(start, end), 0, "utf8");
      this.flush();
      start = end;
    }
  }
}
