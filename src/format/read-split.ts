import { SheafError, isSheafError } from "../base/errors.ts";
import { settings } from "../base/limits.ts";
import { Pace } from "../base/pace.ts";
import type { Decoder, Reader, RecordBatch, Source, SourceContext } from "../job/reader.ts";
import { quotePath } from "../storage/fs-error.ts";
import { type ChunkReader, type FilePiece } from "./chunk.ts";
import { openChunks } from "./chunks.ts";
import { badRecord } from "./invalid-text.ts";
import { throwIfAborted } from "./stream-chunks.ts";

/** Records batch by batch. */
export interface BatchReader<R> {
  /**
   * The next batch, null after the last. The object and its arrays are used again by the next call; the
   * records themselves may be kept. A batch may have no records; it then has bad ones or says that work goes
   * on.
   */
  next(): Promise<RecordBatch<R> | null>;
  /** Bytes of input taken so far, skipped ones included; for generated input 0. */
  readonly bytesRead: number;
  /** Where in the (decompressed) file the next batch begins; 0 for generated input. */
  readonly position: number;
  /** How much of a compressed file has been taken so far, 0 to 1; null where `bytesRead` tells. */
  readonly share: number | null;
  /** Gives the file back; needed only when `next` has not returned null. Never throws. */
  close(): Promise<void>;
}

export interface ReadOptions {
  /**
   * True: a record over the size limit is put in `batch.bad` and skipped. False (default): it is thrown as
   * RECORD_TOO_LARGE. Records that cannot be decoded are in `batch.bad` either way.
   */
  readonly keepBad?: boolean;
  /** Bytes of input a batch is made of, more when a record is longer. Default 256 KiB. */
  readonly batchBytes?: number;
  readonly signal?: AbortSignal;
  /** Called when the decoder asks for the path: what it makes may then depend on that. */
  readonly askedPath?: () => void;
}

const BATCH_BYTES = 256 * 1024;

/**
 * Reads one piece of a file with `reader`: whole records, those that begin in the piece. @throws as
 * ChunkReader.next
 */
export async function readPiece<R>(
  reader: Reader<R>,
  piece: FilePiece,
  options: ReadOptions = {},
): Promise<BatchReader<R>> {
  const pieceReader = new PieceReader(reader, piece);
  await pieceReader.open(options);
  return pieceReader;
}

class PieceReader<R> implements BatchReader<R> {
  bytesRead = 0;
  position = 0;
  readonly #reader: Reader<R>;
  readonly #piece: FilePiece;
  readonly #batch: RecordBatch<R> = { records: [], offsets: [], bad: [] };
  #chunks!: ChunkReader;
  #decoder!: Decoder<R>;

  constructor(reader: Reader<R>, piece: FilePiece) {
    this.#reader = reader;
    this.#piece = piece;
  }

  get share(): number | null {
    const { compression, fileBytes } = this.#piece;
    return compression === "none" && this.#reader.encoding === undefined
      ? null
      : this.#chunks.taken / Math.max(1, fileBytes);
  }

  async open(options: ReadOptions): Promise<void> {
    const { recordBytesMax, framing } = this.#reader;
    const { bad } = this.#batch;
    const { name } = this.#piece;
    const { askedPath } = options;
    const needsHeader = this.#reader.needsHeader === true;
    this.#chunks = await openChunks(this.#piece, framing, {
      chunkBytes: options.batchBytes ?? BATCH_BYTES,
      hasHeader: needsHeader,
      content: this.#reader.content,
      encoding: this.#reader.encoding,
      ...(recordBytesMax !== undefined && { recordBytesMax }),
      ...(options.signal !== undefined && { signal: options.signal }),
      ...(options.keepBad === true && {
        onTooLarge: (error, offset, head) => bad.push(badRecord(offset, error, head)),
      }),
    });
    try {
      this.#decoder = this.#reader.decoder({
        get path() {
          askedPath?.();
          return name;
        },
        recordBytesMax: recordBytesMax ?? settings.recordBytes.default,
        ...(needsHeader && { header: this.#chunks.header }),
      });
    } catch (error) {
      await this.#chunks.close();
      throw error;
    }
  }

  async next(): Promise<RecordBatch<R> | null> {
    const batch = this.#batch;
    batch.records.length = 0;
    batch.offsets.length = 0;
    batch.bad.length = 0;
    const chunk = await this.#chunks.next();
    // Records that were skipped on the way to the end are still to be handed over.
    if (chunk === null) return batch.bad.length > 0 ? batch : null;
    this.bytesRead += chunk.bytes.length;
    this.position = chunk.offset + chunk.bytes.length;
    // No Buffer: its slice() would give a decoder a view where that of a Uint8Array gives a copy.
    const { buffer, byteOffset, byteLength } = chunk.bytes;
    try {
      this.#decoder.decode(new Uint8Array(buffer, byteOffset, byteLength), chunk.offset, chunk.last, batch);
    } catch (error) {
      await this.close();
      throw isSheafError(error) ? error : this.#decoderFailed(error, chunk.offset);
    }
    return batch;
  }

  close(): Promise<void> {
    return this.#chunks.close();
  }

  #decoderFailed(cause: unknown, offset: number): SheafError {
    const { name } = this.#piece;
    const why = cause instanceof Error ? cause.message : String(cause);
    return new SheafError(
      "RECORD_INVALID",
      `${quotePath(name)}: the ${this.#reader.kind} reader failed in the bytes from ${offset} on: ${why}`,
      {
        cause,
        hint: "See the stack of the cause for the place in the reader.",
        details: { path: name, offset },
      },
    );
  }
}

/** Each of these many records ends a batch, however the time cuts others. */
export const SOURCE_BATCH_RECORDS = 1024;
/** A batch of a slow source is handed on after this long, however few its records are. */
const SOURCE_BATCH_MS = 20;

export interface SourceBounds {
  /** It makes so many records at most. Default: as many as it has. */
  readonly records?: number | undefined;
  /** Asked before each batch: true ends it. Default: never. */
  readonly isStopped?: (() => boolean) | undefined;
}

/**
 * Runs a source for one task. `offsets` are the indices of the records. They are handed on in batches of
 * 1,024, or of what a slow source has made in 20 ms; its `signal` ends the wait.
 */
export function readSource<R>(
  source: Source<R>,
  context: SourceContext,
  bounds: SourceBounds = {},
): BatchReader<R> {
  return new SourceReader(source, context, bounds);
}

class SourceReader<R> implements BatchReader<R> {
  readonly bytesRead = 0;
  readonly position = 0;
  readonly share = null;
  readonly #batch: RecordBatch<R> = { records: [], offsets: [], bad: [] };
  readonly #context: SourceContext;
  readonly #sync: Iterator<R> | null;
  readonly #async: AsyncIterator<R> | null;
  readonly #recordsMax: number;
  readonly #isStopped: (() => boolean) | undefined;
  #index = 0;
  #done = false;

  constructor(source: Source<R>, context: SourceContext, { records: recordsMax, isStopped }: SourceBounds) {
    this.#context = context;
    this.#recordsMax = recordsMax ?? Number.POSITIVE_INFINITY;
    this.#isStopped = isStopped;
    const records = source.records(context);
    this.#sync = Symbol.iterator in records ? records[Symbol.iterator]() : null;
    this.#async = Symbol.iterator in records ? null : records[Symbol.asyncIterator]();
  }

  async next(): Promise<RecordBatch<R> | null> {
    const { records, offsets } = this.#batch;
    records.length = 0;
    offsets.length = 0;
    throwIfAborted(this.#context.signal);
    if (this.#isStopped?.() === true) return null;
    const pace = new Pace(SOURCE_BATCH_MS);
    const left = SOURCE_BATCH_RECORDS - (this.#index % SOURCE_BATCH_RECORDS);
    const recordsMax = Math.min(left, this.#recordsMax - this.#index);
    while (!this.#done && records.length < recordsMax) {
      const step = this.#sync === null ? await this.#async!.next() : this.#sync.next();
      if (step.done === true) this.#done = true;
      else {
        records.push(step.value);
        offsets.push(this.#index++);
        if (records.length === pace.next && pace.isOver(records.length)) break;
      }
    }
    return records.length === 0 ? null : this.#batch;
  }

  async close(): Promise<void> {
    if (this.#done) return;
    this.#done = true;
    try {
      await (this.#sync === null ? this.#async?.return?.() : this.#sync.return?.());
    } catch {
      // Whoever closes early already has the error that matters.
    }
  }
}
