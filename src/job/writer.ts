import type { Key } from "./key.ts";

export type Compression = "gzip" | "zstd" | "bzip2";

/** Where an Encoder puts its bytes. Text is encoded as UTF-8. */
export interface ByteSink {
  text(text: string): void;
  bytes(bytes: Uint8Array): void;
  byte(value: number): void;
}

export interface Encoder<in K, in O> {
  /**
   * Called once per output file, before its first record, which it is told; of a file without records, at its
   * end. Without an `end`, what it writes is the file's header: where files are printed one after the other,
   * it comes once.
   */
  begin?(sink: ByteSink, first?: readonly [key: K, value: O]): void;
  /** Encodes one result. Throws SheafError VALUE_INVALID when the format cannot hold it. */
  write(key: K, value: O, sink: ByteSink): void;
  /** Called once per output file, after its last record: closing brackets. */
  end?(sink: ByteSink): void;
  /**
   * What all files of one output must agree on, such as the names of their columns, as a text for messages;
   * undefined while it is not known. Asked when a file has ended; a job whose files do not agree fails.
   */
  readonly layout?: string | undefined;
}

/** Where an encoder is used. */
export interface EncodePlace {
  /** True: the results are what map emitted, and a key groups nothing. */
  readonly mapOnly: boolean;
}

/**
 * Turns results into the bytes of output files. Implement this to write a format of your own: see
 * examples/custom-format.ts.
 */
export interface Writer<in K, in O> {
  readonly kind: string;
  /** File extension with its dot, without compression: ".tsv". Empty for none. */
  readonly extension: string;
  readonly compression?: "gzip" | "zstd";
  /** A fresh encoder for one output file. */
  encoder(place?: EncodePlace): Encoder<K, O>;
  /**
   * Set where kernels can write string keys and numeric results themselves, with the same bytes as `encoder`.
   * Named apart from Reader.native, so that one object can be both: `tsv()` as an input and as an output.
   */
  readonly nativeOutput?: "tsv" | "text";
  /** False: nothing is written at all (the `none()` writer). */
  readonly discards?: boolean;
  /**
   * The same format with a name on every column: what `--estimate` writes, whose results are objects with
   * other fields than the job's. Left out: it cannot write them.
   */
  estimates?(): Writer<Key, unknown>;
  /** Set by route(): the directory below the output that a result's file lies in. */
  readonly route?: (key: K, value: O) => string;
}
