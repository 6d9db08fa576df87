import type { Framing } from "../job/reader.ts";
import type { Split, SplitPiece } from "../task/split.ts";
import { isSplittable } from "./plan-input.ts";

/** What of a reader says where its files can be cut. */
export interface Cuttable {
  readonly framing: Framing;
  readonly encoding?: unknown;
}

/**
 * Some of the splits of a job, evenly spread over its bytes, each cut to its first `bytes` where its files
 * can be cut: what is tried to learn how tasks go. The same splits for any `bytes`, so that what is read
 * grows with it.
 * @param count at most so many of each input; of generated ones of all
 * @param inputOf the reader of a split; null where it is generated
 */
export function probeSplits(
  splits: readonly Split[],
  { count, bytes }: { readonly count: number; readonly bytes: number },
  inputOf: (split: Split) => Cuttable | null,
): Split[] {
  const inputs = [...new Set(splits.map(({ input }) => input))];
  const chosen = inputs.flatMap((input) =>
    spread(
      splits.filter((split) => split.input === input),
      count,
    ),
  );
  return chosen.map((split, index) => ({ ...cut(split, bytes, inputOf(split)), index }));
}

/**
 * Short stretches, evenly spread over all bytes of the input, each as a split: what is read to learn of its
 * keys. Where records can be found from any byte on they lie anywhere, else at the beginnings of splits.
 */
export function stretchSplits(
  splits: readonly Split[],
  { count, bytes }: { readonly count: number; readonly bytes: number },
  inputOf: (split: Split) => Cuttable | null,
): Split[] {
  const total = splits.reduce((sum, split) => sum + split.bytes, 0);
  if (total === 0) return probeSplits(splits, { count, bytes }, inputOf);
  const found: Split[] = [];
  let before = 0;
  let next = 0;
  for (const split of splits) {
    const input = inputOf(split);
    for (const piece of split.pieces) {
      if (piece.kind !== "file") continue;
      const size = piece.end - piece.start;
      let last = -1;
      for (; next < count && (next / count) * total < before + size; next++) {
        const at = Math.floor((next / count) * total) - before;
        const start = isAnywhere(input, piece) ? piece.start + Math.max(0, at) : piece.start;
        if (start <= last) continue;
        last = start;
        const end = isWhole(input, piece) ? piece.end : Math.min(piece.end, start + bytes);
        const part = start === piece.start ? { ...piece, end } : { ...piece, start, end };
        found.push({ ...split, index: found.length, pieces: [part], bytes: end - start });
      }
      before += size;
    }
  }
  return found;
}

/** Evenly by bytes, in order, each once; the first and the last are as likely as others. */
function spread(splits: readonly Split[], count: number): Split[] {
  if (splits.length <= count) return [...splits];
  const weight = splits.map(({ bytes }) => Math.max(1, bytes));
  const total = weight.reduce((sum, bytes) => sum + bytes, 0);
  const chosen: Split[] = [];
  let before = 0;
  for (const [index, split] of splits.entries()) {
    before += weight[index]!;
    const isDue = before > ((chosen.length + 0.5) / count) * total;
    if (isDue && chosen.length < count) chosen.push(split);
  }
  return chosen;
}

function cut(split: Split, bytes: number, input: Cuttable | null): Split {
  const pieces: SplitPiece[] = [];
  let left = bytes;
  for (const piece of split.pieces) {
    if (left <= 0) break;
    if (piece.kind !== "file" || isWhole(input, piece)) {
      pieces.push(piece);
      left -= piece.kind === "file" ? piece.end - piece.start : 0;
      continue;
    }
    const end = Math.min(piece.end, piece.start + left);
    pieces.push({ ...piece, end });
    left -= end - piece.start;
  }
  const taken = pieces.reduce((sum, one) => sum + (one.kind === "file" ? one.end - one.start : 0), 0);
  return { ...split, pieces, bytes: taken };
}

function isWhole(input: Cuttable | null, piece: Extract<SplitPiece, { kind: "file" }>): boolean {
  return input === null || !isSplittable(input, piece);
}

function isAnywhere(input: Cuttable | null, piece: Extract<SplitPiece, { kind: "file" }>): boolean {
  return input !== null && isSplittable(input, piece) && input.framing.kind !== "quoted";
}
