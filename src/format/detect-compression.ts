import type { Compression } from "../job/writer.ts";

/** What the first bytes of a file, 10 of them are enough, say it is compressed with. */
export function detectCompression(head: Uint8Array): Compression | "none" {
  const [a, b, c, d] = head;
  // RFC 1952: magic, method deflate, reserved flag bits zero.
  if (a === 0x1f && b === 0x8b && c === 8 && ((d ?? 0) & 0xe0) === 0) return "gzip";
  // RFC 8878: a Zstandard frame, or a skippable frame before it.
  if (b === 0xb5 && a === 0x28 && c === 0x2f && d === 0xfd) return "zstd";
  if (a !== undefined && a >> 4 === 5 && b === 0x2a && c === 0x4d && d === 0x18) return "zstd";
  // "BZh", a level, then the first digits of pi (a block) or of its square root (an empty file).
  if (a === 0x42 && b === 0x5a && c === 0x68 && d !== undefined && d >= 0x31 && d <= 0x39) {
    if (head[4] === 0x31 && head[5] === 0x41 && head[6] === 0x59) return "bzip2";
    if (head[4] === 0x17 && head[5] === 0x72 && head[6] === 0x45) return "bzip2";
  }
  return "none";
}

const EXTENSIONS: Readonly<Record<string, Compression>> = {
  gz: "gzip",
  tgz: "gzip",
  zst: "zstd",
  bz2: "bzip2",
};

/** What the end of a file's name promises; undefined when it promises nothing. */
export function promisedCompression(name: string): Compression | undefined {
  return EXTENSIONS[name.slice(name.lastIndexOf(".") + 1).toLowerCase()];
}
