import type { ByteSink } from "../job/writer.ts";

const BUFFER_BYTES = 256 * 1024;
/** Up to this length a loop over the text beats a call into the runtime. */
const SHORT_TEXT = 48;
/** UTF-8 takes at most three bytes per UTF-16 unit. */
const BYTES_PER_UNIT = 3;

/** What a buffer that grows as it is filled begins with. */
const FIRST_BYTES = 256;

/**
 * A ByteSink that gathers bytes in one buffer and hands it to `onFull` whenever the next piece does not fit.
 * What `onFull` gets is borrowed: the buffer is written over after it returns. Lone surrogates become U+FFFD.
 */
export class BufferSink implements ByteSink {
  readonly #bufferBytes: number;
  #buffer: Buffer;
  readonly #onFull: (bytes: Uint8Array) => void;
  readonly #onGrown: ((bytes: number) => void) | undefined;
  #used = 0;
  #handedOver = 0;

  /**
   * @param onGrown the buffer begins small and grows up to `bufferBytes`; called with the bytes that it takes
   *   more, or less, each time. Default: it has them all at once
   */
  constructor(
    onFull: (bytes: Uint8Array) => void,
    bufferBytes = BUFFER_BYTES,
    onGrown?: (bytes: number) => void,
  ) {
    this.#bufferBytes = Math.max(bufferBytes, SHORT_TEXT * BYTES_PER_UNIT);
    this.#buffer = Buffer.allocUnsafeSlow(onGrown === undefined ? this.#bufferBytes : FIRST_BYTES);
    this.#onFull = onFull;
    this.#onGrown = onGrown;
  }

  /** Memory that the buffer takes, full or not. */
  get heldBytes(): number {
    return this.#buffer.length;
  }

  /** Hands over what is in the buffer, and begins again with a small one. */
  release(): void {
    this.flush();
    this.#take(Buffer.allocUnsafeSlow(FIRST_BYTES));
  }

  /** Bytes taken so far, handed over or not. */
  get bytesWritten(): number {
    return this.#handedOver + this.#used;
  }

  text(text: string): void {
    const { length } = text;
    const needed = length * BYTES_PER_UNIT;
    if (needed > this.#buffer.length - this.#used) {
      this.#makeRoom(needed);
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
      this.#makeRoom(bytes.length);
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
    if (this.#used === this.#buffer.length) this.#makeRoom(1);
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

  /** For `bytes` more, as far as the buffer may grow; what does not fit then is handed over. */
  #makeRoom(bytes: number): void {
    if (this.#used + bytes > this.#bufferBytes) this.flush();
    const least = this.#used + bytes;
    const { length } = this.#buffer;
    if (least <= length || length === this.#bufferBytes) return;
    const grown = Buffer.allocUnsafeSlow(Math.min(this.#bufferBytes, Math.max(least, 2 * length)));
    grown.set(this.#buffer.subarray(0, this.#used));
    this.#take(grown);
  }

  #take(buffer: Buffer): void {
    this.#onGrown?.(buffer.length - this.#buffer.length);
    this.#buffer = buffer;
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
