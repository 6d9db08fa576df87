import type * as Lz4 from "lz4-napi";
// LZ4 blocks with their raw length before them. The native module is loaded when the first block needs it:
// that takes tens of milliseconds, which a job with nothing but small blocks should not pay.
import { createRequire } from "node:module";

const load = createRequire(import.meta.url);
const lz4 = (): typeof Lz4 => load("lz4-napi") as typeof Lz4;

/** The block that decompress() turns back into `raw`. */
export function lz4Compress(raw: Buffer): Buffer {
  return lz4().compressSync(raw);
}

/** The inverse of compress(). Throws an Error on bytes that are no such block. */
export function lz4Decompress(packed: Buffer): Buffer {
  return lz4().uncompressSync(packed);
}
