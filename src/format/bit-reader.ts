/** Thrown by BitReader where more input is needed: restore, append, and try again. */
export const NEEDS_INPUT: unique symbol = Symbol("needs input");

/** Bits, the most significant of each byte first, from bytes that come in pieces. */
export class BitReader {
  /** Set when no more bytes will come: reading on is then an Error. */
  ended = false;
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  /** Bits taken from #bytes and not yet read: the low `#bitCount` ones, at most 31. */
  #bits = 0;
  #bitCount = 0;

  /** Adds input; forgets the bytes read, so what `save` returned before is void. */
  append(bytes: Uint8Array): void {
    const rest = this.#bytes.subarray(this.#at);
    this.#bytes = new Uint8Array(rest.length + bytes.length);
    this.#bytes.set(rest);
    this.#bytes.set(bytes, rest.length);
    this.#at = 0;
  }

  get bytesLeft(): number {
    return this.#bytes.length - this.#at + (this.#bitCount >> 3);
  }

  /** The next `count` bits, at most 24. */
  read(count: number): number {
    const value = this.peek(count);
    this.skip(count);
    return value;
  }

  /**
   * The next `count` bits, at most 24, without taking them; zeros stand for those that are not there (yet).
   */
  peek(count: number): number {
    while (this.#bitCount < count && this.#at < this.#bytes.length) {
      this.#bits = ((this.#bits & 0x7fffff) << 8) | this.#bytes[this.#at++]!;
      this.#bitCount += 8;
    }
    const missing = count - this.#bitCount;
    const value = missing > 0 ? this.#bits << missing : this.#bits >>> -missing;
    return value & ((1 << count) - 1);
  }

  /** Takes bits that were peeked. */
  skip(count: number): void {
    if (count > this.#bitCount) {
      if (this.ended) throw new Error("it ends in the middle");
      throw NEEDS_INPUT;
    }
    this.#bitCount -= count;
    this.#bits &= (1 << this.#bitCount) - 1;
  }

  read32(): number {
    return ((this.read(16) << 16) | this.read(16)) >>> 0;
  }

  read48(): number {
    return this.read(24) * 2 ** 24 + this.read(24);
  }

  skipToByte(): void {
    this.skip(this.#bitCount % 8);
  }

  /** The present place, for `restore`. */
  save(): readonly [at: number, bits: number, bitCount: number] {
    return [this.#at, this.#bits, this.#bitCount];
  }

  restore([at, bits, bitCount]: readonly [number, number, number]): void {
    this.#at = at;
    this.#bits = bits;
    this.#bitCount = bitCount;
  }
}
