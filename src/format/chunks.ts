import { limits } from "../base/limits.ts";
import type { Framing } from "../job/reader.ts";
import { openFeed } from "./byte-feed.ts";
import type { FilePiece, ChunkOptions, ChunkReader } from "./chunk.ts";
import { FrameChunks } from "./frame-chunks.ts";
import { firstRecordSearch } from "./record-start.ts";
import { StreamChunks } from "./stream-chunks.ts";

/**
 * Opens one piece of a file. A record belongs to the piece in which its first byte lies: the reader skips
 * what belongs to the piece before, and reads on past `end` to finish its last record. A byte order mark at
 * the start of the file is left out with `delimiter` and `quoted` framing. Compressed pieces, and all with
 * `stream` framing, must be whole files. Memory: two buffers of `chunkBytes`, or of the longest record when
 * that is more.
 */
export async function openChunks(
  piece: FilePiece,
  framing: Framing,
  options: ChunkOptions = {},
): Promise<ChunkReader> {
  if (framing.kind === "stream") {
    const feed = await openFeed(piece, 0, options);
    return new StreamChunks(feed, options.chunkBytes ?? limits.readChunkBytes, options.signal);
  }
  const inMiddle = options.hasHeader === true && piece.start > 0;
  const header = inMiddle ? await readHeader(piece, framing, options) : null;
  const search = await firstRecordSearch(piece, framing);
  const feed = await openFeed(piece, search?.from ?? piece.start, options);
  const chunks = new FrameChunks({ feed, piece, framing, search, options });
  if (header !== null) chunks.header = header;
  else if (options.hasHeader === true) await chunks.takeHeader();
  return chunks;
}

const HEADER_CHUNK_BYTES = 16 * 1024;

async function readHeader(piece: FilePiece, framing: Framing, options: ChunkOptions): Promise<Uint8Array> {
  const front = { ...piece, start: 0, end: 1 };
  const chunks = await openChunks(front, framing, { ...options, chunkBytes: HEADER_CHUNK_BYTES });
  await chunks.close();
  return chunks.header;
}
