import { mkdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { ExecPlan } from "../job/exec.ts";
import { BlockOutput } from "../shuffle/block-output.ts";
import type { HotKeys } from "../shuffle/hot-keys.ts";
import { mergeSources } from "../shuffle/merge-passes.ts";
import { readRunIndex } from "../shuffle/run-index.ts";
import { SegmentSource } from "../shuffle/run-reader.ts";
import { RunWriter } from "../shuffle/run-writer.ts";
import { SortCollector } from "../shuffle/sort-collector.ts";
import { Spiller } from "../shuffle/spill.ts";
import { removeDirectory } from "../storage/remove-directory.ts";
import { blockBytesFor, partitioningOf } from "./collectors.ts";
import { isReadAsText, lineProgramOf } from "./exec-map.ts";
import { PairFeed } from "./exec-pair-feed.ts";
import { pairReader } from "./exec-pairs.ts";
import { TaskPrograms } from "./exec-program.ts";
import { ExecFeed } from "./exec-records.ts";
import type { TaskSetting } from "./task-setting.ts";
import type { MapTaskSpec } from "./task-spec.ts";

/**
 * Gives the runs that a map attempt has written, merged, to a combiner that is a program, and writes what it
 * makes of them as a run file in their place. One process for the attempt: its partitions one after the
 * other, each sorted.
 * @param emitted the run file as it was written; it is removed
 * @param path of the one that is written in its place
 * @returns its writer; undefined when the combiner has written nothing
 */
export async function combineRuns(
  setting: TaskSetting<MapTaskSpec>,
  combine: ExecPlan,
  emitted: RunWriter,
  path: string,
  hot: HotKeys,
): Promise<RunWriter | undefined> {
  const { job, settings, memory, spec, services } = setting;
  const plan = job.collections[0]!;
  const from = lineProgramOf(job, { ...plan, combine: undefined });
  const partitions = settings.partitions[0]!;
  const blockBytes = blockBytesFor(settings.memoryBytes);
  const identity = { jobId: settings.jobId, task: spec.index, attempt: spec.attempt };
  emitted.finish();
  let combined: RunWriter | undefined;
  const writer = (): RunWriter => (combined ??= new RunWriter(path, identity));
  // The collectors of the map are done with it.
  memory.reset();
  const output = new BlockOutput(memory, blockBytes);
  const collector = new SortCollector({
    memory,
    regionBytes: Math.floor(memory.free / 2),
    spiller: new Spiller(memory, writer, output, hot),
    collection: 0,
    partitioning: partitioningOf(plan, 0, settings),
  });
  const inherited: ExecPlan = from === undefined ? combine : { ...combine, ...keyRules(from) };
  const reader = pairReader(inherited, collector, memory, isReadAsText(plan, settings.collect));
  const programs = new TaskPrograms(setting);
  const feed = new ExecFeed(combine);
  try {
    const program = await programs.start(combine, null, (chunk) => reader.take(chunk));
    const pairs = new PairFeed(memory, feed, from);
    for (let partition = 0; partition < partitions; partition++) {
      const index = readRunIndex(emitted.path, { identity, place: { collection: 0, partition } });
      const sources = index.segments.map((segment) => new SegmentSource(index, segment));
      const mark = memory.mark();
      const onProgress = (): void => setting.context.progress();
      // Each partition's passes name their runs anew.
      const directory = join(spec.directory, `combine-${partition}`);
      await mkdir(directory);
      const options = { memory, blockBytes, directory, identity, ops: undefined, onProgress };
      const stream = mergeSources(sources, options);
      const top = memory.mark();
      try {
        for (let window = stream.next(); window !== null; window = stream.next()) {
          await pairs.window(window, () => feed.send(program));
          onProgress();
          services.signal.throwIfAborted();
        }
      } finally {
        stream.close();
      }
      await removeDirectory(directory);
      // Windows that had to grow for a record, of the merge or of what is combined, lie behind those.
      const hasGrown = memory.mark() !== top;
      if (hasGrown) collector.spill();
      memory.release(mark);
      if (!hasGrown) continue;
      output.retake(mark);
      collector.retake(mark);
    }
    await feed.send(program);
    await programs.finish();
    await reader.end();
    collector.finish();
  } catch (error) {
    programs.kill();
    combined?.abandon();
    throw error;
  }
  await unlink(emitted.path);
  return combined;
}

/** What of a map's program its combiner shares: how its lines become keys. */
function keyRules({ keyFields, separator, sort, partitionBy, keySeparator }: ExecPlan): Partial<ExecPlan> {
  return { keyFields, separator, sort, partitionBy, keySeparator };
}
