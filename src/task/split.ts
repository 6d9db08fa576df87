/** A stretch of one input file, or one generated task. Plain data: it crosses process and machine borders. */
export type SplitPiece =
  | {
      readonly kind: "file";
      /** Absolute path that is opened, or the address of a file in a store. */
      readonly path: string;
      /** The path as the user would know it, for messages and ctx.path ("-" for standard input). */
      readonly name: string;
      /** First byte and one past the last; for compressed or unsplittable files the whole file. */
      readonly start: number;
      readonly end: number;
      /** Size and mtime when the job was planned: a difference later is INPUT_CHANGED. */
      readonly fileBytes: number;
      readonly mtimeMs: number;
      /** Given: a file in a store, of which this version is read; see StoredFile. */
      readonly version?: string;
      /** The version says which bytes these are; see StoredFile. */
      readonly exact?: true;
      /**
       * Hash of the file's place below the input it was reached by, see InputFile.place: what `--sample`
       * knows it by. Left out of splits of earlier versions.
       */
      readonly place?: number;
      /** With `--growing`: what the file began and ended with, see fingerprintOf. It may grow. */
      readonly growing?: number;
      /** As found in the file's first bytes when planned. */
      readonly compression: "none" | "gzip" | "zstd" | "bzip2";
      /** For `quoted` framing: where the first record begins at or behind `start`. Default: at `start`. */
      readonly recordStart?: number;
    }
  | {
      readonly kind: "generate";
      readonly index: number;
      readonly tasks: number;
      /** It makes so many records, or fewer if its source ends before. Left out: until that ends. */
      readonly records?: number;
      /** The agent whose task it is; see Source.nodes. */
      readonly node?: { readonly name: string; readonly roots: readonly string[] };
    };

/** What one map task reads: one piece of a big file, or many small files, in order. */
export interface Split {
  readonly index: number;
  readonly pieces: readonly SplitPiece[];
  /** Index into Job.inputs: which of several inputs all pieces are of. Left out: the job has one. */
  readonly input?: number;
  /** Sum of the pieces' bytes; 0 for generated input. */
  readonly bytes: number;
  /** Hosts whose own disks hold most of it, by name or address. Left out: none is nearer than another. */
  readonly hosts?: readonly string[];
  /** On a cluster: what an earlier run has kept of it, by its number there. Left out: nothing. */
  readonly kept?: number;
  /** On a cluster, where that was asked: why it is mapped. */
  readonly why?: string;
}

/** A place in a split at which a record or a piece begins. */
export interface SplitPlace {
  /** Index into its pieces. */
  readonly piece: number;
  /** As in the piece's `start`. */
  readonly offset: number;
}
