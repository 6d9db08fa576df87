import type { Split, SplitPiece, SplitPlace } from "./split.ts";

/**
 * The split cut at places that ascend: what lies before the first, then what lies from each to the next, in
 * order. Records begin at the places, or pieces do.
 * @returns null when the places are none of the split's
 */
export function cutSplit(
  split: Split,
  places: readonly SplitPlace[],
): readonly (readonly SplitPiece[])[] | null {
  if (!places.every((place, i) => isInside(split, place) && (i === 0 || isBefore(places[i - 1]!, place))))
    return null;
  const begin: SplitPlace = { piece: 0, offset: startOf(split.pieces[0]!) };
  const end: SplitPlace = { piece: split.pieces.length, offset: 0 };
  const bounds = [begin, ...places, end];
  const shares = bounds.slice(1).map((to, i) => between(split, bounds[i]!, to));
  return shares.every((pieces) => pieces.length > 0) ? shares : null;
}

/** Of the pieces' bytes. */
export function bytesOf(pieces: readonly SplitPiece[]): number {
  return pieces.reduce((sum, piece) => sum + (piece.kind === "file" ? piece.end - piece.start : 0), 0);
}

function between({ pieces }: Split, from: SplitPlace, to: SplitPlace): SplitPiece[] {
  const found: SplitPiece[] = [];
  for (let index = from.piece; index <= Math.min(to.piece, pieces.length - 1); index++) {
    const piece = pieces[index]!;
    if (piece.kind === "generate") {
      if (index < to.piece) found.push(piece);
      continue;
    }
    const isCut = index === from.piece && from.offset > piece.start;
    const start = isCut ? from.offset : piece.start;
    const end = index === to.piece ? to.offset : piece.end;
    if (end > start) found.push({ ...piece, start, end, ...(isCut && { recordStart: start }) });
  }
  return found;
}

function startOf(piece: SplitPiece): number {
  return piece.kind === "file" ? piece.start : 0;
}

function isBefore(a: SplitPlace, b: SplitPlace): boolean {
  return a.piece < b.piece || (a.piece === b.piece && a.offset < b.offset);
}

function isInside({ pieces }: Split, { piece, offset }: SplitPlace): boolean {
  const one = pieces[piece];
  if (one === undefined) return false;
  if (one.kind === "generate") return offset === 0;
  if (offset === one.start) return true;
  return one.compression === "none" && offset > one.start && offset < one.end;
}
