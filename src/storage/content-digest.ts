import { createCipheriv, createHash, createHmac } from "node:crypto";
import { MiB } from "../base/size.ts";
import { openRange, type PlannedFile } from "./read-range.ts";

/*
 * What a file holds, in 32 hex digits, at the speed of reading it. FROZEN within a version of the state that
 * has them:
 *   digest(file, end) = first 16 bytes of SHA-256(tag*, end:u64)
 *   tag               = Poly1305 of 4 MiB of the file, or of what is left up to `end`, under the state's own
 *                       key: that of ChaCha20-Poly1305 over these bytes as associated data, nonce 0, no text
 * Poly1305 (Bernstein, 2005) is a universal hash: two contents that were made without knowing the key have
 * the same tag with a probability below 2^-84. It is four times as fast as SHA-256, CRC-32C is no faster
 * here, and says too little.
 */
export const CHUNK_BYTES = 4 * MiB;
export const DIGEST_KEY_BYTES = 32;
const NONCE = Buffer.alloc(12);

/**
 * Digests of a planned file's first `ends[i]` bytes, in one pass over the first `ends.at(-1)`.
 * @param ends ascending, none beyond the file
 * @throws SheafError as openRange and RangeReader.read
 */
export async function contentDigests(
  file: PlannedFile & { readonly exact?: true },
  ends: readonly number[],
  key: Buffer,
): Promise<string[]> {
  // Its version tells it from all other files without a look at it; of what it begins with nothing is known.
  if (file.exact === true)
    return ends.map((end) => (end === file.fileBytes ? digestOfVersion(file, key) : "-"));
  const found: string[] = [];
  const tags: Buffer[] = [];
  const last = ends.at(-1) ?? 0;
  const range = await openRange(file);
  const size = Math.min(CHUNK_BYTES, last);
  let [bytes, other] = [Buffer.allocUnsafeSlow(size), Buffer.allocUnsafeSlow(last > size ? size : 0)];
  const load = async (target: Buffer, at: number): Promise<Buffer> => {
    const some = target.subarray(0, Math.min(CHUNK_BYTES, last - at));
    if (some.length > 0) await range.read(some, at);
    return some;
  };
  let next = load(bytes, 0);
  try {
    for (let at = 0; ; at += CHUNK_BYTES) {
      const chunk = await next;
      // The next chunk is read while this one is looked at.
      next = at + CHUNK_BYTES < last ? load(other, at + CHUNK_BYTES) : Promise.resolve(chunk);
      [bytes, other] = [other, bytes];
      for (let end = ends[found.length]; end !== undefined && end <= at + CHUNK_BYTES;) {
        found.push(digestOf([...tags, tagOf(chunk.subarray(0, end - at), key)], end));
        end = ends[found.length];
      }
      if (found.length === ends.length) return found;
      tags.push(tagOf(chunk, key));
    }
  } finally {
    await next.catch(() => undefined);
    await range.close();
  }
}

function digestOfVersion({ path, fileBytes, version }: PlannedFile, key: Buffer): string {
  const text = JSON.stringify([path, fileBytes, version]);
  return createHmac("sha256", key).update(text).digest("hex").slice(0, 32);
}

/** 16 bytes. */
export function tagOf(bytes: Buffer, key: Buffer): Buffer {
  const cipher = createCipheriv("chacha20-poly1305", key, NONCE, { authTagLength: 16 });
  cipher.setAAD(bytes, { plaintextLength: 0 });
  cipher.final();
  return cipher.getAuthTag();
}

/** @param tags of the chunks up to `end` */
export function digestOf(tags: readonly Buffer[], end: number): string {
  const hash = createHash("sha256");
  for (const tag of tags) hash.update(tag);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(end));
  return hash.update(length).digest("hex").slice(0, 32);
}
