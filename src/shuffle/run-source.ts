/** A stream of blocks of sorted records, from wherever they lie. */
export interface RunSource {
  /** The records of the next block, or null at the end. Valid until the next call. */
  next(): Buffer | null;
  close(): void;
}
