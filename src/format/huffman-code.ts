import type { BitReader } from "./bit-reader.ts";

const BITS_MAX = 20;
/** Codes of up to so many bits, nearly all that occur, are found in a table at once. */
const FAST_BITS = 10;

/** A canonical Huffman code: shorter codes come first, equally long ones in the order of their symbols. */
export class HuffmanCode {
  static readonly bitsMax = BITS_MAX;
  /** By the next FAST_BITS bits: symbol << 5 | length, 0 for longer codes. */
  readonly #fast = new Uint16Array(1 << FAST_BITS);
  /** By length: the first code, the number of codes, and the index of its first symbol in #symbols. */
  readonly #first = new Int32Array(BITS_MAX + 1);
  readonly #count = new Int32Array(BITS_MAX + 1);
  readonly #index = new Int32Array(BITS_MAX + 1);
  readonly #symbols: Uint16Array;

  /**
   * @param lengths bits of each symbol's code, 1 to 20. Throws an Error when there are more codes than bits
   * allow.
   */
  constructor(lengths: Uint8Array) {
    this.#symbols = new Uint16Array(lengths.length);
    let code = 0;
    let index = 0;
    for (let length = 1; length <= BITS_MAX; length++) {
      this.#first[length] = code;
      this.#index[length] = index;
      for (let symbol = 0; symbol < lengths.length; symbol++) {
        if (lengths[symbol] !== length) continue;
        if (code >= 1 << length) throw new Error("a block has a wrong table");
        this.#symbols[index++] = symbol;
        if (length <= FAST_BITS) {
          const from = code << (FAST_BITS - length);
          this.#fast.fill((symbol << 5) | length, from, from + (1 << (FAST_BITS - length)));
        }
        code++;
      }
      this.#count[length] = code - this.#first[length]!;
      code <<= 1;
    }
  }

  /** Takes one code from `bits` and returns its symbol. */
  next(bits: BitReader): number {
    const peeked = bits.peek(BITS_MAX);
    const entry = this.#fast[peeked >>> (BITS_MAX - FAST_BITS)]!;
    if (entry !== 0) {
      bits.skip(entry & 31);
      return entry >>> 5;
    }
    for (let length = FAST_BITS + 1; length <= BITS_MAX; length++) {
      const place = (peeked >>> (BITS_MAX - length)) - this.#first[length]!;
      if (place < this.#count[length]!) {
        bits.skip(length);
        return this.#symbols[this.#index[length]! + place]!;
      }
    }
    // A code that does not exist, or zeros in place of bits that are not there yet.
    bits.skip(BITS_MAX);
    throw new Error("a block has a code that is in no table");
  }
}
