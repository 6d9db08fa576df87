import { overlapsItself } from "../format/frames.ts";
import type { Reader } from "../job/reader.ts";
import { openRange } from "../storage/read-range.ts";
import type { Split, SplitPiece, SplitPlace } from "./split.ts";

/** Where a map is in its split: at a record of the batch in hand. */
export interface MapPlace {
  /** Index of the piece. */
  readonly piece: number;
  /** Of the records of the batch that are still to be mapped: never empty. */
  readonly offsets: readonly number[];
  /** Where the batch after this one begins. */
  readonly next: number;
}

type FilePiece = Extract<SplitPiece, { kind: "file" }>;

/** So many bytes at most are looked at to see that records begin where they are said to. */
const LOOK_BYTES_MAX = 4 * 1024 * 1024;
/** What a file weighs in a rest besides its bytes. */
const FILE_WEIGHT = 4 * 1024;

/**
 * Where the rest of a split may be cut, in at most `parts` parts, beginning at the record in hand: a few
 * records one by one, many by their bytes, files by number and bytes. null: the piece in hand cannot be cut
 * there.
 */
export async function placesInPiece(
  reader: Reader<unknown>,
  split: Split,
  at: MapPlace,
  parts: number,
): Promise<SplitPlace[] | null> {
  const piece = split.pieces[at.piece];
  if (piece?.kind !== "file" || piece.compression !== "none") return null;
  const offsets = await cutsOf(reader, piece, at, parts);
  if (offsets === null) return null;
  const here = offsets.map((offset) => ({ piece: at.piece, offset }));
  return thinned(split, [...here, ...placesBehind(split, at.piece)], parts);
}

/** The same, beginning with the piece after `piece`; empty when that is the last. */
export function placesAfter(split: Split, piece: number, parts: number): SplitPlace[] {
  return thinned(split, placesBehind(split, piece), parts);
}

function placesBehind({ pieces }: Split, piece: number): SplitPlace[] {
  return pieces.flatMap((one, index): SplitPlace[] => {
    if (index <= piece || (one.kind === "file" && one.end === one.start)) return [];
    return [{ piece: index, offset: one.kind === "file" ? one.start : 0 }];
  });
}

/** Offsets in the piece at which parts may begin, the first at the first record that is left. */
async function cutsOf(
  { framing }: Reader<unknown>,
  piece: FilePiece,
  { offsets, next }: MapPlace,
  parts: number,
): Promise<number[] | null> {
  const [first] = offsets;
  if (first === undefined || first <= piece.start || first >= piece.end || framing.kind === "stream")
    return null;
  const inside = offsets.filter((offset) => offset < piece.end);
  // All that is left is in hand: cut by number. Else by bytes, but rows with quotes only where one is known.
  const cuts =
    next >= piece.end
      ? spread(inside.length, parts).map((i) => inside[i]!)
      : framing.kind === "quoted"
        ? [first, next]
        : spread(piece.end - first, parts).map((bytes) => first + bytes);
  const known = next >= piece.end ? cuts : framing.kind === "quoted" ? cuts : [first];
  if (!known.every((offset, i) => i === 0 || offset > known[i - 1]!)) return null;
  switch (framing.kind) {
    case "fixed":
      return known.every((offset) => offset % framing.bytes === 0) ? cuts : null;
    case "quoted": {
      const end = Uint8Array.of(framing.newline ?? 10);
      return (await areBehind(piece, known, end)) ? cuts : null;
    }
    case "delimiter": {
      if (overlapsItself(Buffer.from(framing.delimiter))) return null;
      return (await areBehind(piece, known, framing.delimiter)) ? cuts : null;
    }
  }
}

/** Numbers from 0 on below `count`, evenly, `parts` at most. */
function spread(count: number, parts: number): number[] {
  const some = Math.max(1, Math.min(count, parts));
  return Array.from({ length: some }, (_, i) => Math.floor((count * i) / some));
}

/** Whether just before each offset these bytes stand: decoders may tell of places within records. */
async function areBehind(piece: FilePiece, offsets: readonly number[], bytes: Uint8Array): Promise<boolean> {
  const from = offsets[0]! - bytes.length;
  const length = offsets.at(-1)! - from;
  if (from < 0 || length > LOOK_BYTES_MAX) return false;
  const range = await openRange(piece);
  try {
    const seen = Buffer.allocUnsafe(length);
    await range.read(seen, from);
    return offsets.every((offset) => {
      const at = offset - bytes.length - from;
      return seen.subarray(at, at + bytes.length).equals(bytes);
    });
  } finally {
    await range.close();
  }
}

/** Those of the places, the first among them, at which parts of about the same weight begin. */
function thinned(split: Split, places: readonly SplitPlace[], parts: number): SplitPlace[] {
  if (places.length <= parts) return [...places];
  const weights = places.map((place, i) => weightBetween(split, place, places[i + 1]));
  const whole = weights.reduce((sum, weight) => sum + weight, 0);
  const kept: SplitPlace[] = [];
  let before = 0;
  for (const [i, place] of places.entries()) {
    if (before * parts >= whole * kept.length && kept.length < parts) kept.push(place);
    before += weights[i]!;
  }
  return kept;
}

function weightBetween({ pieces }: Split, from: SplitPlace, to: SplitPlace | undefined): number {
  const piece = pieces[from.piece]!;
  if (piece.kind !== "file") return FILE_WEIGHT;
  const end = to?.piece === from.piece ? to.offset : piece.end;
  return end - from.offset + FILE_WEIGHT;
}
