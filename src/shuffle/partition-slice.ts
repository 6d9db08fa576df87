import { encodeFileHeader, encodeIndex, FILE_HEADER_BYTES } from "./run-format.ts";
import type { RunIndex } from "./run-index.ts";

/** Bytes of a slice: made here, or a stretch of the run file. */
export type SlicePiece =
  | { readonly kind: "made"; readonly bytes: Buffer }
  | { readonly kind: "stored"; readonly offset: number; readonly length: number };

/** A run file that holds one partition of another one: what a reduce on another machine gets. */
export interface PartitionSlice {
  readonly bytes: number;
  readonly pieces: readonly SlicePiece[];
}

/** `index`: as read for one partition. No data is read: a slice is a list of where its bytes are. */
export function slicePartition(index: RunIndex): PartitionSlice {
  let at = FILE_HEADER_BYTES;
  const moved = index.segments.map((segment) => {
    const offset = at;
    at += segment.length;
    return { ...segment, offset };
  });
  const end = encodeIndex(moved, at, index);
  return {
    bytes: at + end.length,
    pieces: [
      { kind: "made", bytes: encodeFileHeader() },
      ...index.segments.map(({ offset, length }) => ({ kind: "stored", offset, length }) as const),
      { kind: "made", bytes: end },
    ],
  };
}

/** The pieces of a slice from its byte `from` on. */
export function slicePieces(slice: PartitionSlice, from: number): readonly SlicePiece[] {
  const pieces: SlicePiece[] = [];
  let skip = from;
  for (const piece of slice.pieces) {
    const length = piece.kind === "made" ? piece.bytes.length : piece.length;
    if (skip >= length) {
      skip -= length;
      continue;
    }
    if (piece.kind === "made") pieces.push({ kind: "made", bytes: piece.bytes.subarray(skip) });
    else pieces.push({ kind: "stored", offset: piece.offset + skip, length: length - skip });
    skip = 0;
  }
  return pieces;
}
