import { Readable, pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import type { Compression } from "../job/writer.ts";
import { bunzip2 } from "./bunzip2.ts";
import { unzstd } from "./unzstd.ts";

/**
 * The decompressed bytes of a whole file, block by block. Files of several members or frames are read to the
 * end. Anything wrong (a bad checksum, a cut, bytes after the end) throws an Error that says what; by then
 * part of the data was given out.
 * @param inputBytes size of the compressed file
 */
export function decompress(
  kind: Compression,
  input: AsyncIterable<Uint8Array>,
  inputBytes: number,
): AsyncIterable<Uint8Array> {
  switch (kind) {
    case "gzip":
      return gunzip(input, inputBytes);
    case "zstd":
      return unzstd(input);
    case "bzip2":
      return bunzip2(input);
  }
}

const OUTPUT_BLOCK_BYTES = 256 * 1024;

// Runs in the thread pool of libuv, beside the thread that maps.
async function* gunzip(input: AsyncIterable<Uint8Array>, inputBytes: number): AsyncGenerator<Uint8Array> {
  const stream = createGunzip({ chunkSize: OUTPUT_BLOCK_BYTES });
  // zlib ignores all that follows a zero byte behind a member. Zeros there pad a file to a block size, but
  // anything else is damage; so remember where the last byte was that is not zero.
  let seenBytes = 0;
  let dataBytes = 0;
  const watched = async function* (): AsyncGenerator<Uint8Array> {
    for await (const block of input) {
      const last = block.findLastIndex((byte) => byte !== 0);
      if (last !== -1) dataBytes = seenBytes + last + 1;
      seenBytes += block.length;
      yield block;
    }
  };
  const source = Readable.from(watched(), { objectMode: true, highWaterMark: 1 });
  pipeline(source, stream, () => undefined);
  yield* stream as AsyncIterable<Uint8Array>;
  if (seenBytes < inputBytes || stream.bytesWritten < dataBytes)
    throw new Error("there are bytes after its end");
}
