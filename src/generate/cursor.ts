/** Bytes past the end that Cursor.copyWords may touch. */
export const COPY_SLACK = 8;

/** Where a generator writes: a buffer with room for the record at hand, and the place of the next byte. */
export class Cursor {
  bytes: Uint8Array;
  at = 0;
  private view: DataView;

  constructor(capacity: number) {
    this.bytes = new Uint8Array(capacity + COPY_SLACK);
    this.view = new DataView(this.bytes.buffer);
  }

  /** What was written; the cursor goes on in a new buffer of the same size. */
  take(): Uint8Array {
    const taken = this.bytes.subarray(0, this.at);
    this.bytes = new Uint8Array(this.bytes.length);
    this.view = new DataView(this.bytes.buffer);
    this.at = 0;
    return taken;
  }

  byte(value: number): void {
    this.bytes[this.at++] = value;
  }

  /** REQUIRES: text is ASCII. */
  ascii(text: string): void {
    const bytes = this.bytes;
    let at = this.at;
    for (let i = 0; i < text.length; i++) bytes[at++] = text.charCodeAt(i);
    this.at = at;
  }

  /**
   * Copies `length` bytes of `source` from `start`, eight, then four at a time: up to eight bytes too many
   * are read and written, and overwritten by what comes next. REQUIRES: source has COPY_SLACK bytes after the
   * last piece.
   */
  copyWords(source: DataView, start: number, length: number): void {
    const at = this.at;
    // The first eight without a branch: most words end there, at a place no processor can guess.
    this.view.setUint32(at, source.getUint32(start, true), true);
    this.view.setUint32(at + 4, source.getUint32(start + 4, true), true);
    for (let i = 8; i < length; i += 4) this.view.setUint32(at + i, source.getUint32(start + i, true), true);
    this.at = at + length;
  }

  /** Copies a short piece. A loop: TypedArray.set costs more below some fifty bytes. */
  copy(source: Uint8Array): void {
    const bytes = this.bytes;
    let at = this.at;
    for (let i = 0; i < source.length; i++) bytes[at++] = source[i]!;
    this.at = at;
  }

  /** A whole number >= 0 in decimal. */
  integer(value: number): void {
    let width = 1;
    for (let bound = 10; bound <= value; bound *= 10) width++;
    this.padded(value, width);
  }

  /** A whole number >= 0 in decimal, zeros in front; digits beyond `width` are cut. */
  padded(value: number, width: number): void {
    let rest = value;
    for (let i = this.at + width - 1; i >= this.at; i--) {
      const quotient = Math.floor(rest / 10);
      this.bytes[i] = 48 + rest - quotient * 10;
      rest = quotient;
    }
    this.at += width;
  }
}
