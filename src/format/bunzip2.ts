/*
 * bzip2, as written down in Joe Tsai's "BZIP2: Format Specification" (2016). Bits come most significant
 * first.
 *
 *   file   = stream...                       streams may be joined (pbzip2, cat)
 *   stream = "BZh" level block... 0x177245385090 crc32:32 padding to a byte
 *   block  = 0x314159265359 crc32:32 randomised:1 origin:24 symbol-map huffman-tables codes
 *
 * The codes of a block give, Huffman and move-to-front undone, up to level x 100,000 bytes of a
 * Burrows-Wheeler transform; that undone gives the data with runs of 4 to 259 equal bytes written as 4 bytes
 * and a count.
 */
import { BitReader, NEEDS_INPUT } from "./bit-reader.ts";
import { HuffmanCode } from "./huffman-code.ts";

const BLOCK_MAGIC = 0x314159265359;
const END_MAGIC = 0x177245385090;
const LEVEL_BYTES = 100_000;
const GROUP_CODES = 50;
/** Longer than nearly every compressed block, so that few are begun before all of their bytes are there. */
const READ_AHEAD_BYTES = 1_100_000;
const OUTPUT_BYTES = 256 * 1024;

/** Decompresses a whole file, of any number of streams. Throws an Error that says what is wrong with it. */
export async function* bunzip2(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const bits = new BitReader();
  const streams = new Streams(bits);
  for await (const bytes of input) {
    bits.append(bytes);
    while (bits.bytesLeft >= READ_AHEAD_BYTES && streams.decodeBlock()) yield* streams.output();
  }
  bits.ended = true;
  while (streams.decodeBlock()) yield* streams.output();
}

class Streams {
  readonly #bits: BitReader;
  /** Where the next block (or stream) begins: all before it has been dealt with. */
  #place: ReturnType<BitReader["save"]>;
  #blockBytesMax = 0;
  #streamCrc = 0;
  #inStream = false;
  #streams = 0;
  /**
   * The block: bytes of the transform in the low 8 bits; once it is undone, the index of the next byte in the
   * others.
   */
  #block = new Uint32Array(0);
  #blockLength = 0;
  #origin = 0;
  #blockCrc = 0;

  constructor(bits: BitReader) {
    this.#bits = bits;
    this.#place = bits.save();
  }

  /** Decodes the next block; false where more input is needed for it, or where the file ends. */
  decodeBlock(): boolean {
    this.#place = this.#bits.save();
    try {
      return this.#nextBlock();
    } catch (error) {
      if (error !== NEEDS_INPUT) throw error;
      this.#bits.restore(this.#place);
      return false;
    }
  }

  #nextBlock(): boolean {
    const bits = this.#bits;
    for (;;) {
      if (!this.#inStream) {
        if (bits.ended && bits.bytesLeft === 0 && this.#streams > 0) return false;
        this.#beginStream();
        this.#place = bits.save();
      }
      const magic = bits.read48();
      if (magic === BLOCK_MAGIC) {
        this.#readBlock();
        return true;
      }
      if (magic !== END_MAGIC) throw new Error("there is no block where one should begin");
      if (bits.read32() !== this.#streamCrc) throw new Error("the checksum of the stream is wrong");
      bits.skipToByte();
      this.#inStream = false;
      this.#place = bits.save();
    }
  }

  #beginStream(): void {
    const magic = this.#bits.read(24);
    const level = this.#bits.read(8) - 0x30;
    if (magic !== 0x425a68 || level < 1 || level > 9) {
      throw new Error(this.#streams > 0 ? "there are bytes after its end" : "it does not begin like bzip2");
    }
    this.#blockBytesMax = level * LEVEL_BYTES;
    if (this.#block.length < this.#blockBytesMax) this.#block = new Uint32Array(this.#blockBytesMax);
    this.#streamCrc = 0;
    this.#inStream = true;
    this.#streams++;
  }

  #readBlock(): void {
    const bits = this.#bits;
    const blockCrc = bits.read32();
    if (bits.read(1) === 1)
      throw new Error("it was made by a bzip2 before 0.9.5, whose blocks are not supported");
    const origin = bits.read(24);
    const symbols = readSymbolMap(bits);
    const codes = readCodes(bits, symbols.length + 2);
    this.#blockLength = this.#readTransform(symbols, codes);
    if (origin >= this.#blockLength) throw new Error("the origin of a block lies outside of it");
    this.#origin = origin;
    this.#blockCrc = blockCrc;
    this.#streamCrc = (((this.#streamCrc << 1) | (this.#streamCrc >>> 31)) ^ blockCrc) >>> 0;
    this.#undoTransform();
  }

  /** Undoes Huffman, run-length and move-to-front coding; returns the length of the block. */
  #readTransform(symbols: Uint8Array, codes: readonly HuffmanCode[]): number {
    const bits = this.#bits;
    const block = this.#block;
    const max = this.#blockBytesMax;
    const end = symbols.length + 1;
    let length = 0;
    let run = 0;
    let runDigit = 1;
    for (const code of codes) {
      for (let i = 0; i < GROUP_CODES; i++) {
        const symbol = code.next(bits);
        // 0 and 1 are the digits, lowest first, of the length of a run of the front symbol, in a base 2 of
        // digits 1 and 2.
        if (symbol < 2) {
          run += runDigit << symbol;
          runDigit <<= 1;
          if (run > max) throw new Error("a block is longer than its level allows");
          continue;
        }
        if (length + run + (symbol === end ? 0 : 1) > max)
          throw new Error("a block is longer than its level allows");
        block.fill(symbols[0]!, length, length + run);
        length += run;
        run = 0;
        runDigit = 1;
        if (symbol === end) return length;
        const byte = symbols[symbol - 1]!;
        symbols.copyWithin(1, 0, symbol - 1);
        symbols[0] = byte;
        block[length++] = byte;
      }
    }
    throw new Error("a block has no end");
  }

  #undoTransform(): void {
    const block = this.#block;
    const length = this.#blockLength;
    const next = new Uint32Array(256);
    for (let i = 0; i < length; i++) next[block[i]! & 0xff]!++;
    for (let byte = 0, sum = 0; byte < 256; byte++) {
      const count = next[byte]!;
      next[byte] = sum;
      sum += count;
    }
    for (let i = 0; i < length; i++) block[next[block[i]! & 0xff]!++]! |= i << 8;
  }

  /** The data of the block that was decoded last; each piece is written over by the next. */
  *output(): Generator<Uint8Array> {
    const block = this.#block;
    const piece = new Uint8Array(OUTPUT_BYTES);
    let at = block[this.#origin]! >>> 8;
    let used = 0;
    let crc = 0xffffffff;
    let repeats = 0;
    let previous = -1;
    for (let n = 0; n < this.#blockLength; n++) {
      const entry = block[at]!;
      const byte = entry & 0xff;
      at = entry >>> 8;
      if (repeats === 4) {
        piece.fill(previous, used, used + byte);
        used += byte;
        repeats = 0;
        previous = -1;
      } else {
        repeats = byte === previous ? repeats + 1 : 1;
        previous = byte;
        piece[used++] = byte;
      }
      if (used > OUTPUT_BYTES - 256) {
        crc = updateCrc(crc, piece, used);
        yield piece.subarray(0, used);
        used = 0;
      }
    }
    crc = updateCrc(crc, piece, used);
    if (~crc >>> 0 !== this.#blockCrc) throw new Error("the checksum of a block is wrong");
    if (used > 0) yield piece.subarray(0, used);
  }
}

/** The bytes that occur in a block, in order. */
function readSymbolMap(bits: BitReader): Uint8Array {
  const ranges = bits.read(16);
  const symbols: number[] = [];
  for (let i = 0; i < 16; i++) {
    if ((ranges & (0x8000 >>> i)) === 0) continue;
    const present = bits.read(16);
    for (let j = 0; j < 16; j++) if ((present & (0x8000 >>> j)) !== 0) symbols.push(i * 16 + j);
  }
  if (symbols.length === 0) throw new Error("a block has no symbols");
  return Uint8Array.from(symbols);
}

/** The code of each group of 50 symbols. */
function readCodes(bits: BitReader, symbolCount: number): HuffmanCode[] {
  const tableCount = bits.read(3);
  if (tableCount < 2 || tableCount > 6) throw new Error("a block has a wrong number of tables");
  const selectorCount = bits.read(15);
  const order = Array.from({ length: tableCount }, (_, i) => i);
  const selectors: number[] = [];
  for (let i = 0; i < selectorCount; i++) {
    let place = 0;
    while (bits.read(1) === 1)
      if (++place === tableCount) throw new Error("a block names a table it does not have");
    const [selected] = order.splice(place, 1);
    order.unshift(selected!);
    selectors.push(selected!);
  }
  const tables = order.map(() => readCode(bits, symbolCount));
  return selectors.map((selector) => tables[selector]!);
}

function readCode(bits: BitReader, symbolCount: number): HuffmanCode {
  const lengths = new Uint8Array(symbolCount);
  let length = bits.read(5);
  for (let symbol = 0; symbol < symbolCount; symbol++) {
    while (bits.read(1) === 1) length += bits.read(1) === 1 ? -1 : 1;
    if (length < 1 || length > HuffmanCode.bitsMax) throw new Error("a block has a wrong table");
    lengths[symbol] = length;
  }
  return new HuffmanCode(lengths);
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let i = 0; i < 8; i++) crc = crc < 0 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
  return crc >>> 0;
});

function updateCrc(start: number, bytes: Uint8Array, length: number): number {
  let crc = start;
  for (let i = 0; i < length; i++) crc = (crc << 8) ^ CRC_TABLE[(crc >>> 24) ^ bytes[i]!]!;
  return crc;
}
