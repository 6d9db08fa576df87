import { constants, deflateRawSync } from "node:zlib";
import { crc32 } from "../base/crc32.ts";
import { openZstdCompressor } from "./zstd.ts";

/**
 * Compresses bytes as they come, synchronously. The output depends on the bytes, not on how they are cut into
 * pushes.
 */
export interface Compressor {
  /** Takes a copy of `bytes`; returns the compressed blocks that are ready. */
  push(bytes: Uint8Array): Uint8Array[];
  end(): Uint8Array[];
}

/** What one file format does with blocks of raw bytes. */
interface BlockFormat {
  begin(): Uint8Array;
  block(raw: Uint8Array): Uint8Array;
  end(): Uint8Array;
}

/** Raw bytes compressed at a time. Part of the output's bytes: changing it changes every compressed file. */
const BLOCK_BYTES = 1024 * 1024;
const FIRST_BYTES = 64 * 1024;
const GZIP_LEVEL = 6;
const EMPTY = new Uint8Array(0);

/** Makes compressors of that kind, each for a stream that may follow others in a file. */
export async function compressorsOf(kind: "gzip" | "zstd"): Promise<() => Compressor> {
  if (kind === "gzip") return () => new BlockCompressor(new GzipFormat());
  const zstd = await openZstdCompressor();
  // Each block is a frame of its own; a file of several frames is a valid zstd file (RFC 8878, section 3).
  const format: BlockFormat = { begin: () => EMPTY, block: (raw) => zstd.compress(raw), end: () => EMPTY };
  return () => new BlockCompressor(format);
}

class BlockCompressor implements Compressor {
  readonly #format: BlockFormat;
  /** Grows as bytes come: files that are closed and opened again have few each time. */
  #buffer: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #used = 0;
  #blocks = 0;

  constructor(format: BlockFormat) {
    this.#format = format;
  }

  push(bytes: Uint8Array): Uint8Array[] {
    const ready: Uint8Array[] = [];
    for (let at = 0; at < bytes.length;) {
      const some = bytes.subarray(at, at + BLOCK_BYTES - this.#used);
      this.#makeRoom(this.#used + some.length);
      this.#buffer.set(some, this.#used);
      this.#used += some.length;
      at += some.length;
      if (this.#used === BLOCK_BYTES) this.#compress(ready);
    }
    return ready;
  }

  end(): Uint8Array[] {
    const ready: Uint8Array[] = [];
    // An empty file, too, has one (empty) block: zero bytes are no compressed file.
    if (this.#used > 0 || this.#blocks === 0) this.#compress(ready);
    ready.push(this.#format.end());
    return ready;
  }

  #makeRoom(bytes: number): void {
    if (bytes <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.min(BLOCK_BYTES, Math.max(bytes, 4 * this.#buffer.length)));
    grown.set(this.#buffer.subarray(0, this.#used));
    this.#buffer = grown;
  }

  #compress(ready: Uint8Array[]): void {
    if (this.#blocks++ === 0) ready.push(this.#format.begin());
    ready.push(this.#format.block(this.#buffer.subarray(0, this.#used)));
    this.#used = 0;
  }
}

/**
 * One gzip member (RFC 1952), made of deflate blocks that each end on a byte boundary (a sync flush), so that
 * pieces compressed one by one join to one stream. Name and time are left out: the same data gives the same
 * bytes.
 */
class GzipFormat implements BlockFormat {
  #crc = 0;
  #length = 0;

  begin(): Uint8Array {
    // Magic, method deflate, no flags, no time, no extra flags, operating system unknown.
    return Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255);
  }

  block(raw: Uint8Array): Uint8Array {
    this.#crc = crc32(raw, this.#crc);
    this.#length += raw.length;
    return deflateRawSync(raw, { level: GZIP_LEVEL, finishFlush: constants.Z_SYNC_FLUSH });
  }

  end(): Uint8Array {
    const tail = Buffer.alloc(10);
    // A final, empty block with fixed codes, padded to a byte boundary.
    tail.writeUInt16LE(0x0003, 0);
    tail.writeUInt32LE(this.#crc, 2);
    tail.writeUInt32LE(this.#length % 2 ** 32, 6);
    return tail;
  }
}
