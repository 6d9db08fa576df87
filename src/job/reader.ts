import type { Compression } from "./writer.ts";

/**
 * How a file is cut into records without decoding them.
 * - `delimiter`: records end with these bytes (the last one may lack them). Files can be split at any byte; a
 *   record belongs to the split in which its first byte lies.
 * - `quoted`: as `delimiter` "\n", but a newline inside a quoted field does not end a record (csv). Bytes:
 *   `quote`, `delimiter` (default a comma) and `newline` (default "\n"). What is quoted, and what `lenient`
 *   changes of it: see csvReader.
 * - `fixed`: every record has `bytes` bytes; a shorter last one is an error.
 * - `stream`: only the decoder knows; one split per file, the decoder sees its bytes from the first to the
 *   last.
 */
export type Framing =
  | { readonly kind: "delimiter"; readonly delimiter: Uint8Array }
  | {
      readonly kind: "quoted";
      readonly quote: number;
      readonly delimiter?: number;
      readonly newline?: number;
      readonly lenient?: boolean;
    }
  | { readonly kind: "fixed"; readonly bytes: number }
  | { readonly kind: "stream" };

/**
 * Records decoded from a stretch of bytes, with the place of each. Filled by a Decoder, drained by the
 * engine.
 */
export interface RecordBatch<R> {
  readonly records: R[];
  /** Byte offset of each record's first byte in its (decompressed) file. Same length as `records`. */
  readonly offsets: number[];
  /** Records that could not be decoded: the engine fails the task or, with --max-bad, sets them aside. */
  readonly bad: BadRecord[];
}

export interface BadRecord {
  readonly offset: number;
  readonly error: Error;
  /** The raw record, cut to a sensible length. */
  readonly raw: Uint8Array;
}

export interface DecodeContext {
  /** Path of the file as the user would know it; "-" for standard input. */
  readonly path: string;
  readonly recordBytesMax: number;
  /**
   * First line of the file (without its end), for readers with a header. Only asked for when `needsHeader`.
   */
  readonly header?: Uint8Array;
}

export interface Decoder<R> {
  /**
   * Decodes `bytes` and pushes records onto `batch`. Unless the framing is `stream`, `bytes` holds whole
   * records only. With `stream` framing the pieces arrive in order and `last` tells the final one; a record
   * may span pieces. `bytes` is borrowed: it is overwritten after the call, so records must not keep views
   * into it.
   * @param offset byte offset of bytes[0] in the (decompressed) file
   */
  decode(bytes: Uint8Array, offset: number, last: boolean, batch: RecordBatch<R>): void;
}

/**
 * What kernels may take straight from the bytes instead of decoding records, when the rest of the job allows
 * it. Plain data; readers and declarative maps announce it, the task layer decides.
 */
export type NativeScan =
  | { readonly kind: "lines" }
  /** Lines as they are, not necessarily UTF-8. */
  | { readonly kind: "byteLines" }
  | { readonly kind: "words"; readonly lowerCase: boolean }
  | {
      readonly kind: "columns";
      readonly delimiter: number;
      /** -1: there is no quoting. */
      readonly quote: number;
      /** Types of the columns that records have, by name; undefined: all columns, as strings. */
      readonly types: Readonly<Record<string, unknown>> | undefined;
      /**
       * Names of the file's columns in order; undefined when rows have no names. `header` is the file's first
       * line, where the reader needs it. Throws RECORD_INVALID when that is no header.
       */
      names(header: Uint8Array | undefined, path: string): readonly string[] | undefined;
    };

/**
 * Turns the bytes of input files into records. Implement this to read a format of your own:
 * see examples/custom-format.ts.
 */
export interface Reader<out R> {
  readonly kind: string;
  readonly framing: Framing;
  /** True when decoders need the first line of the file, even for a split in its middle (CSV header). */
  readonly needsHeader?: boolean;
  /** A fresh decoder for one split of one file. */
  decoder(context: DecodeContext): Decoder<R>;
  readonly native?: NativeScan;
  /** Default: chosen by looking at the file's first bytes. "none" reads the bytes as they are. */
  readonly compression?: Compression | "auto" | "none";
  /**
   * "text": records are text, so files that are known by their first bytes to be something else (xz,
   * parquet, a tar inside gzip) are refused, and UTF-16. "lines": files in which "\r" alone ends lines are
   * refused, too. Default: any bytes are read.
   */
  readonly content?: "text" | "lines";
  /**
   * What the text is encoded in, when not UTF-8: decoders get it as UTF-8. `strict`: what is wrong in it
   * is an error, else U+FFFD.
   */
  readonly encoding?: { readonly name: string; readonly strict: boolean };
  /** Largest record in bytes. Default 64 MiB. */
  readonly recordBytesMax?: number;
}

/** The agent of a cluster that a task of a source runs on, see Source.nodes. */
export interface NodePlace {
  readonly name: string;
  /** Directories whose files jobs may read and write there; ["/"]: all. */
  readonly roots: readonly string[];
  /** Of this attempt alone: what lies in it goes with the attempt. */
  readonly directory: string;
}

export interface SourceContext {
  /** Index of this task, 0 to tasks-1. */
  readonly index: number;
  readonly tasks: number;
  /** Uniform in [0, 1), seeded by the job's seed and the task index: the same in every attempt. */
  random(): number;
  readonly params: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal;
  /** Given where the source has `nodes`, on a cluster. */
  readonly node?: NodePlace;
}

/** How far the tasks of a source are, as far as the results go that a stop condition is asked of. */
export interface SourceProgress {
  /** Records that the results are made of. */
  readonly records: number;
  /** Tasks that have finished, and that run. */
  readonly finished: number;
  readonly running: number;
  /** Since the first task began, milliseconds. */
  readonly elapsedMs: number;
}

/**
 * Results so far by key, for a stop condition; of a job with collections by name and key. Their types are
 * those of the job's aggregators, which a source does not know. What is null in a result is NaN here, which
 * is neither less nor more than anything.
 */
// oxlint-disable-next-line typescript/no-explicit-any
export type PartialResults = Readonly<Record<string, any>>;

/** Records made inside the map tasks, instead of read from files. */
export interface Source<out R> {
  readonly kind: "generate";
  readonly tasks: number;
  /** Records that all tasks together make at most. Left out: until `records` ends. */
  readonly count?: number;
  /** No records are made when so long has passed since the first task began, milliseconds. */
  readonly forMs?: number;
  /**
   * On a cluster it has one task on each agent, or on each of those that are named. `paths`: what the tasks
   * read and write there, which every agent holds against its roots before anything runs.
   */
  readonly nodes?: { readonly names: readonly string[]; readonly paths: readonly string[] };
  /** No records are made when this is true of the results so far. */
  until?(partial: PartialResults, progress: SourceProgress): boolean;
  records(context: SourceContext): Iterable<R> | AsyncIterable<R>;
}

export type Input<R> = Reader<R> | Source<R>;

export function isSource<R>(input: Input<R>): input is Source<R> {
  return input.kind === "generate" && "records" in input;
}
