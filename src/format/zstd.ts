export interface Zstd {
  compress(raw: Uint8Array): Uint8Array;
}
export async function openZstd(): Promise<Zstd> {
  throw new Error("not yet");
}
