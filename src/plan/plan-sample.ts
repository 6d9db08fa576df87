import { KiB } from "../base/size.ts";
import { isSource, type Reader } from "../job/reader.ts";
import type { Split, SplitPiece } from "../task/split.ts";
import { type PlannedPiece } from "./near-hosts.ts";
import { type InputPlan, isSplittable } from "./plan-input.ts";
import { recordStarts } from "./record-starts.ts";

const STRETCHES_MAX = 64;
const STRETCH_BYTES = 64 * KiB;

/**
 * What to read to learn the distribution of keys: up to 64 stretches of 64 KiB, evenly spread over the files,
 * or all of them when they are not larger; a split for each input. Depends on the files alone, never
 * on how they were split. A file that cannot be read from its middle (compressed, `stream` framing) is in it
 * whole: the sampler may stop early. Of a source, its first task.
 */
export async function planSample(plan: InputPlan, step?: () => void): Promise<Split[]> {
  const { inputs, totalBytes } = plan;
  const samples: Split[] = [];
  let before = 0;
  let next = 0;
  for (const [index, { input, files }] of inputs.entries()) {
    if (isSource(input)) return [sampleOf(plan.splits[0]?.pieces ?? [])];
    const pieces: PlannedPiece[] = [];
    for (const file of files) {
      const starts: number[] = [];
      for (; next < STRETCHES_MAX && placeOf(next, totalBytes) < before + file.fileBytes; next++) {
        starts.push(placeOf(next, totalBytes) - before);
      }
      before += file.fileBytes;
      if (totalBytes <= STRETCHES_MAX * STRETCH_BYTES || (starts.length > 0 && !isSplittable(input, file))) {
        pieces.push(file);
      } else if (starts.length > 0) {
        pieces.push(...(await stretchesOf(file, input, starts, step)));
      }
    }
    if (inputs.length === 1) return [sampleOf(pieces)];
    if (pieces.length > 0) samples.push({ ...sampleOf(pieces), index: samples.length, input: index });
  }
  return samples;
}

async function stretchesOf(
  file: PlannedPiece,
  { framing, recordBytesMax }: Reader<unknown>,
  starts: readonly number[],
  step: (() => void) | undefined,
): Promise<PlannedPiece[]> {
  const records =
    framing.kind === "quoted" ? await recordStarts(file, framing, starts, { recordBytesMax, step }) : null;
  return starts.map((start, i) => {
    const end = Math.min(start + STRETCH_BYTES, file.fileBytes);
    return { ...file, start, end, ...(records !== null && { recordStart: records[i]! }) };
  });
}

/** Offset of a stretch in all files laid end to end. */
function placeOf(stretch: number, totalBytes: number): number {
  return Math.floor((stretch * totalBytes) / STRETCHES_MAX);
}

function sampleOf(pieces: readonly SplitPiece[]): Split {
  const bytes = pieces.reduce((sum, piece) => sum + (piece.kind === "file" ? piece.end - piece.start : 0), 0);
  return { index: 0, pieces, bytes };
}
