import { KiB } from "../base/size.ts";
import { type Input, isSource } from "../job/reader.ts";
import type { Split, SplitPiece } from "../task/task-spec.ts";
import { type InputPlan, isSplittable, type PlannedPiece } from "./plan-input.ts";
import { recordStarts } from "./record-starts.ts";

const STRETCHES_MAX = 64;
const STRETCH_BYTES = 64 * KiB;

/**
 * What to read to learn the distribution of keys: up to 64 stretches of 64 KiB, evenly spread over the files,
 * or all of an input that is not larger than that. Depends on the files alone, never on how they were split.
 * A file that cannot be read from its middle (compressed, `stream` framing) is in it whole: the sampler may
 * stop early. Of a source, its first task.
 */
export async function planSample(input: Input<unknown>, plan: InputPlan, step?: () => void): Promise<Split> {
  if (isSource(input)) return sampleOf(plan.splits[0]?.pieces ?? []);
  if (plan.totalBytes <= STRETCHES_MAX * STRETCH_BYTES) return sampleOf(plan.files);
  const pieces: PlannedPiece[] = [];
  let before = 0;
  let next = 0;
  for (const file of plan.files) {
    const starts: number[] = [];
    for (; next < STRETCHES_MAX && placeOf(next, plan.totalBytes) < before + file.fileBytes; next++) {
      starts.push(placeOf(next, plan.totalBytes) - before);
    }
    before += file.fileBytes;
    if (starts.length === 0) continue;
    if (!isSplittable(input, file)) pieces.push(file);
    else {
      const { framing, recordBytesMax } = input;
      const records =
        framing.kind === "quoted"
          ? await recordStarts(file, framing, starts, { recordBytesMax, step })
          : null;
      for (const [i, start] of starts.entries()) {
        const end = Math.min(start + STRETCH_BYTES, file.fileBytes);
        pieces.push({ ...file, start, end, ...(records !== null && { recordStart: records[i]! }) });
      }
    }
  }
  return sampleOf(pieces);
}

/** Offset of a stretch in all files laid end to end. */
function placeOf(stretch: number, totalBytes: number): number {
  return Math.floor((stretch * totalBytes) / STRETCHES_MAX);
}

function sampleOf(pieces: readonly SplitPiece[]): Split {
  const bytes = pieces.reduce((sum, piece) => sum + (piece.kind === "file" ? piece.end - piece.start : 0), 0);
  return { index: 0, pieces, bytes };
}
