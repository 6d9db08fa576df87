import type { SheafError } from "../base/errors.ts";
import type { Reader } from "../job/reader.ts";

/** The bytes of a piece in order, decompressed. */
export interface ByteFeed {
  /**
   * Fills `target` from where the last fill ended; fewer bytes than asked for only at the end of the data.
   */
  fill(target: Uint8Array): Promise<number>;
  /** Bytes of the file as it lies on disk that were taken so far. */
  readonly taken: number;
  /**
   * Called when the last byte was taken: whether the file is still what was planned. @throws SheafError
   * INPUT_CHANGED
   */
  verify(): Promise<void>;
  close(): Promise<void>;
}

/** What text the bytes of a piece must be: fields of its Reader. */
export interface TextRules {
  readonly content?: Reader<unknown>["content"] | undefined;
  readonly encoding?: Reader<unknown>["encoding"] | undefined;
}

/** A stretch of one input file: what the `file` kind of SplitPiece says of it. */
export interface FilePiece {
  readonly path: string;
  readonly name: string;
  readonly start: number;
  readonly end: number;
  readonly fileBytes: number;
  readonly mtimeMs: number;
  readonly version?: string;
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
