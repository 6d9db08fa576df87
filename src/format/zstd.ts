import * as zlib from "node:zlib";

/** Compresses one block to one frame. */
export interface ZstdCompressor {
  compress(raw: Uint8Array): Uint8Array;
}

/** The part of node:zlib that Node has had since 22.15. */
interface ZlibWithZstd {
  zstdCompressSync(raw: Uint8Array): Uint8Array;
}

/** Node's own zstd, or null in a Node that has none. */
function nodeZstd(): ZlibWithZstd | null {
  return "zstdCompressSync" in zlib ? (zlib as unknown as ZlibWithZstd) : null;
}

/**
 * The package keeps its one instance in module state of its own, which a second init breaks: so it is loaded
 * once, here.
 */
let loading: Promise<ZstdCompressor> | undefined;

async function loadWasm(): Promise<ZstdCompressor> {
  const wasm = await import("@bokuweb/zstd-wasm");
  await wasm.init();
  return { compress: (raw) => wasm.compress(raw) };
}

/** Node's own zstd where there is one, else libzstd in WebAssembly, loaded now. */
export async function openZstdCompressor(): Promise<ZstdCompressor> {
  const native = nodeZstd();
  return native === null ? (loading ??= loadWasm()) : { compress: (raw) => native.zstdCompressSync(raw) };
}
