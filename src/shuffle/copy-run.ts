import type { RunIdentity } from "./run-format.ts";
import { readRunIndex } from "./run-index.ts";
import { SegmentSource } from "./run-reader.ts";
import { RunWriter } from "./run-writer.ts";

/**
 * Copies a run file as another attempt's own: the blocks as they are, with that one's name on them. All of
 * what is read is held against its checksums first.
 * @param from `owner`: whose it has to be
 * @param moved called for each block; what it throws ends the copying
 * @throws SheafError BLOCK_CORRUPT; DISK_FULL
 */
export function copyRun(
  from: { readonly path: string; readonly owner: RunIdentity },
  to: { readonly path: string; readonly owner: RunIdentity },
  moved: () => void,
): void {
  const index = readRunIndex(from.path, { identity: from.owner });
  const writer = new RunWriter(to.path, to.owner);
  // As they lie in the file: by run, then by partition.
  const segments = index.segments.toSorted((a, b) => a.offset - b.offset);
  try {
    for (const segment of segments) {
      const source = new SegmentSource(index, segment);
      try {
        writer.begin(segment.collection, segment.partition, segment.run);
        for (let block = source.nextStored(); block !== null; block = source.nextStored()) {
          writer.stored(block);
          moved();
        }
      } finally {
        source.close();
      }
    }
    writer.finish();
  } catch (error) {
    writer.abandon();
    throw error;
  }
}
