export type Compression = "gzip" | "zstd" | "bzip2";

/** Where an Encoder puts its bytes. Text is encoded as UTF-8. */
export interface ByteSink {
  text(text: string): void;
  bytes(bytes: Uint8Array): void;
  byte(value: number): void;
}

export interface Encoder<in K, in O> {
  /** Called once per output file, before its first record: headers. */
  begin?(sink: ByteSink): void;
  /** Encodes one result. Throws SheafError VALUE_INVALID when the format cannot hold it. */
  write(key: K, value: O, sink: ByteSink): void;
  /** Called once per output file, after its last record: closing brackets. */
  end?(sink: ByteSink): void;
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
  encoder(): Encoder<K, O>;
  /**
   * Set where kernels can write string keys and numeric results themselves, with the same bytes as `encoder`.
   * Named apart from Reader.native, so that one object can be both: `tsv()` as an input and as an output.
   */
  readonly nativeOutput?: "tsv" | "text";
  /** False: nothing is written at all (the `none()` writer). */
  readonly discards?: boolean;
}
