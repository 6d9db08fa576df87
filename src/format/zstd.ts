import * as zlib from "node:zlib";

/** Compresses one block to one frame. */
export interface ZstdCompressor {
  compress(raw: Uint8Array): Uint8Array;
}

/** The part of node:zlib that Node has had since 22.15. */
interface ZlibWithZstd {
  zstdCompressSync(raw: Uint8Array): Uint8Array;
  createZstdDecompress(options: { chunkSize: number }): NodeJS.ReadWriteStream & { readonly bytesWritten: number };
}

/** Node's own zstd, or null in a Node that has none. */
export function nodeZstd(): ZlibWithZstd | null {
  return "createZstdDecompress" in zlib ? (zlib as unknown as ZlibWithZstd) : null;
}

/** Node's own zstd where there is one, else libzstd in WebAssembly, loaded now. */
export async function openZstdCompressor(): Promise<ZstdCompressor> {
  const native = nodeZstd();
  if (native !== null) return { compress: (raw) => native.zstdCompressSync(raw) };
  const wasm = await import("@bokuweb/zstd-wasm");
  await wasm.init();
  return { compress: (raw) => wasm.compress(raw) };
}
