import type { SheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Framing } from "../job/reader.ts";
import { openFeed, type TextRules } from "./byte-feed.ts";
import { FrameChunks } from "./frame-chunks.ts";
import { firstRecordSearch } from "./record-start.ts";
import { StreamChunks } from "./stream-chunks.ts";

/** A stretch of one input file: what the `file` kind of SplitPiece says of it. */
export interface FilePiece {
  readonly path: string;
  readonly name: string;
  readonly start: number;
  readonly end: number;
  readonly fileBytes: number;
  readonly mtimeMs: number;
  readonly growing?: number;
  readonly compression: "none" | "gzip" | "zstd" | "bzip2";
  readonly recordStart?: number;
}

export interface Chunk {
  /**
   * Whole records only (any bytes with `stream` framing). Borrowed: valid until the next call of `next` or
   * `close`.
   */
  readonly bytes: Buffer;
  /** Byte offset of bytes[0] in the (decompressed) file. */
  readonly offset: number;
  /** With `stream` framing: true for the final chunk, which may be empty. False with any other. */
  readonly last: boolean;
}

export interface ChunkOptions extends TextRules {
  /** Records may have so many bytes, terminator not counted. Default 64 MiB. */
  readonly recordBytesMax?: number;
  /** What a chunk aims for; a longer record makes a longer chunk. Default 1 MiB. */
  readonly chunkBytes?: number;
  /** True: the file's first record is its header: kept in `header`, never part of a chunk. Default false. */
  readonly hasHeader?: boolean;
  /**
   * Called for a record over `recordBytesMax` with the error, its offset and its first bytes (at most 1,000,
   * borrowed); the record is then skipped. Default: the error (RECORD_TOO_LARGE) is thrown.
   */
  readonly onTooLarge?: (error: SheafError, offset: number, head: Uint8Array) => void;
  readonly signal?: AbortSignal;
}

/** The records of one piece, chunk by chunk; the next chunk is read while the caller works on this one. */
export interface ChunkReader {
  /** First record of the file without its line end, when asked for by `hasHeader`; empty when the file is. */
  readonly header: Uint8Array;
  /** Bytes of the file as it lies on disk that were taken so far; reading ahead counts. */
  readonly taken: number;
  /**
   * The next chunk, null after the last.
   * @throws SheafError INPUT_CHANGED, INPUT_CORRUPT, INPUT_UNREADABLE, RECORD_TOO_LARGE, RECORD_INVALID,
   * CANCELLED
   */
  next(): Promise<Chunk | null>;
  /** Gives the file back; needed only when `next` has not returned null. Never throws. */
  close(): Promise<void>;
}

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
