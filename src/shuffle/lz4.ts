// LZ4 blocks with their raw length before them. The native module is loaded when the first block needs it: that takes tens
// of milliseconds, which a job with nothing but small blocks should not pay.
import { createRequire } from "node:module";

const load = createRequire(import.meta.url);

/** The block that decompress() turns back into `raw`. */
export function compress(raw: Buffer): Buffer {
  return (load("lz4-napi") as typeof import("lz4-napi")).compressSync(raw);
}

/** The inverse of compress(). Throws an Error on bytes that are no such block. */
export function decompress(packed: Buffer): Buffer {
  return (load("lz4-napi") as typeof import("lz4-napi")).uncompressSync(packed);
}
