import { KiB } from "../base/size.ts";
import type { Framing } from "../job/reader.ts";
import { fingerprintOf, openRange } from "../storage/read-range.ts";
import type { PlannedPiece } from "./near-hosts.ts";
import { recordStarts } from "./record-starts.ts";

const WINDOW_BYTES = 64 * KiB;

/**
 * A file that others may append to while the job runs, as the job will read it: to the end of the last record
 * that was whole when this was called. Behind it may be more, or the beginning of a record; before it nothing
 * may change. Null when there is no way to tell where records end (`stream` framing).
 */
export async function settleGrowing(
  file: PlannedPiece,
  framing: Framing,
  step?: () => void,
): Promise<PlannedPiece | null> {
  if (framing.kind === "stream") return null;
  const end = await lastEnd(file, framing, step);
  const settled = { ...file, end, fileBytes: end };
  return { ...settled, growing: await fingerprintOf({ ...settled, growing: 0 }) };
}

async function lastEnd(
  file: PlannedPiece,
  framing: Exclude<Framing, { kind: "stream" }>,
  step: (() => void) | undefined,
): Promise<number> {
  if (framing.kind === "fixed") return file.fileBytes - (file.fileBytes % framing.bytes);
  const delimiter = framing.kind === "delimiter" ? framing.delimiter : Uint8Array.of(framing.newline ?? 10);
  // As much as is known of the file now: it is read as one that may grow.
  const open = { ...file, growing: 0 };
  const range = await openRange(open);
  try {
    for (let window = WINDOW_BYTES; ; window *= 4) {
      step?.();
      const from = Math.max(0, file.fileBytes - window);
      const bytes = Buffer.alloc(file.fileBytes - from);
      await range.read(bytes, from);
      const ends = endsIn(bytes, Buffer.from(delimiter)).map((end) => from + end);
      const starts =
        framing.kind === "quoted" ? await recordStarts(open, framing, ends, { step, open: true }) : ends;
      const last = starts.findLastIndex((start, i) => start === ends[i]);
      if (last !== -1) return ends[last]!;
      if (from === 0) return 0;
    }
  } finally {
    await range.close();
  }
}

/** One past every delimiter, ascending. */
function endsIn(bytes: Buffer, delimiter: Buffer): number[] {
  const ends: number[] = [];
  for (let at = bytes.indexOf(delimiter); at !== -1; at = bytes.indexOf(delimiter, at + delimiter.length)) {
    ends.push(at + delimiter.length);
  }
  return ends;
}
