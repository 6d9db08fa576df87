import { join } from "node:path";
import { limits } from "../base/limits.ts";
import type { NumericOp } from "../job/aggregator.ts";
import type { TaskMemory } from "./memory.ts";
import { MergeStream } from "./merge-stream.ts";
import type { RunIdentity } from "./run-format.ts";
import { readRunIndex } from "./run-index.ts";
import { SegmentSource } from "./run-reader.ts";
import type { RunSource } from "./run-source.ts";
import { RunWriter } from "./run-writer.ts";

export interface MergeOptions {
  readonly memory: TaskMemory;
  /** Raw size of blocks: every source's blocks are of about this size. */
  readonly blockBytes: number;
  /** Where passes before the last leave their runs. */
  readonly directory: string;
  readonly identity: RunIdentity;
  /** Ops of the rows, when values are numeric states that the merge may combine. */
  readonly ops: readonly NumericOp[] | undefined;
  /** Called now and then while a pass runs. */
  readonly onProgress: () => void;
  /** Default: limits.mergeFanIn. */
  readonly fanIn?: number;
}

/** Sources merged at once under this budget: each needs a window, and so does the result. */
export function fanInFor(memoryBytes: number, blockBytes: number): number {
  return Math.max(2, Math.min(limits.mergeFanIn, Math.floor(memoryBytes / (2 * blockBytes)) - 1));
}

/**
 * One sorted stream out of any number of sorted sources. More sources than the fan-in take passes before the
 * last one: each merges neighbouring sources into one run on disk, so the order of equal keys stays. The
 * first pass merges just as many as makes the rest come out even (Knuth, TAOCP 3, 5.4.9).
 */
export function mergeSources(sources: readonly RunSource[], options: MergeOptions): MergeStream {
  const { memory, blockBytes } = options;
  const fanIn = options.fanIn ?? fanInFor(memory.budget, blockBytes);
  let level = [...sources];
  for (let pass = 0; level.length > fanIn; pass++) {
    const merged: RunSource[] = [];
    const odd = (level.length - 1) % (fanIn - 1);
    let first = odd === 0 || level.length > fanIn * fanIn ? fanIn : odd + 1;
    for (let at = 0; at < level.length;) {
      // Only as many groups as needed: once the rest fits into one merge it stays as it is.
      if (merged.length + (level.length - at) <= fanIn) {
        merged.push(...level.slice(at));
        break;
      }
      const group = level.slice(at, at + first);
      at += group.length;
      first = fanIn;
      const path = join(options.directory, `merge-${pass}-${merged.length}.run`);
      merged.push(group.length === 1 ? group[0]! : writeMerged(group, path, options));
    }
    level = merged;
  }
  return new MergeStream(memory, level, blockBytes, options.ops);
}

/** Merges the sources into a run file of one segment and returns a source over it. */
function writeMerged(sources: readonly RunSource[], path: string, options: MergeOptions): RunSource {
  const { memory } = options;
  const mark = memory.mark();
  const stream = new MergeStream(memory, sources, options.blockBytes, options.ops);
  const writer = new RunWriter(path, options.identity);
  try {
    writer.begin(0, 0, 0);
    for (let window = stream.next(); window !== null; window = stream.next()) {
      writer.block(memory.bytes.subarray(window.start, window.end), window.records);
      options.onProgress();
    }
    writer.finish();
  } catch (error) {
    writer.abandon();
    throw error;
  } finally {
    stream.close();
    memory.release(mark);
  }
  const index = readRunIndex(path, { identity: options.identity });
  const segment = index.segments[0];
  return segment === undefined
    ? { next: () => null, close: () => undefined }
    : new SegmentSource(index, segment);
}
