/** Texts as UTF-8, encoded once so that records can be put together from bytes. */
export function encodeAll(texts: readonly string[]): readonly Uint8Array[] {
  const encoder = new TextEncoder();
  return texts.map((text) => encoder.encode(text));
}

export function longestOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((longest, piece) => Math.max(longest, piece.length), 0);
}
