import type { ExecPlan } from "../job/exec.ts";
import type { CollectionPlan } from "../job/job-plan.ts";
import type { Key } from "../job/key.ts";
import type { MergeStream } from "../shuffle/merge-stream.ts";
import { lineProgramOf } from "./exec-map.ts";
import { PairFeed } from "./exec-pair-feed.ts";
import { pairReader } from "./exec-pairs.ts";
import { TaskPrograms } from "./exec-program.ts";
import { ExecFeed } from "./exec-records.ts";
import { RawLines } from "./raw-lines.ts";
import type { TaskOutput } from "./result-output.ts";
import type { TaskSetting } from "./task-setting.ts";
import type { ReduceTaskSpec } from "./task-spec.ts";

/** Gives the merged pairs to a program, and writes what it makes of them. */
export async function reduceWithProgram(
  setting: TaskSetting<ReduceTaskSpec>,
  plan: ExecPlan,
  stream: MergeStream,
  output: TaskOutput,
  moved: () => void,
): Promise<void> {
  const { job, memory, stats, services, spec } = setting;
  const programs = new TaskPrograms(setting);
  const feed = new ExecFeed(plan);
  const raw = plan.protocol === "lines" && output.native === "text" ? new RawLines(plan, output) : undefined;
  const target = { emit: (key: Key, value: unknown) => output.write(key, value), output };
  const reader = raw ?? pairReader(plan, target, memory, true);
  try {
    const program = await programs.start(plan, null, (chunk) => reader.take(chunk));
    const pairs = new PairFeed(memory, feed, lineProgramOf(job, job.collections[spec.collection]!));
    for (let window = stream.next(); window !== null; window = stream.next()) {
      stats.groups += window.records;
      await pairs.window(window, () => feed.send(program));
      moved();
      services.signal.throwIfAborted();
      if (!program.takesInput) break;
    }
    await feed.send(program);
    await programs.finish();
    await reader.end();
  } catch (error) {
    programs.kill();
    throw error;
  }
}

/** Where pairs of a program's lines are written as lines: what makes them of merged pairs; else undefined. */
export function sortedLines(
  { job, memory }: TaskSetting<ReduceTaskSpec>,
  collection: CollectionPlan,
  output: TaskOutput,
): ((stream: MergeStream, moved: () => void) => Promise<void>) | undefined {
  const program = lineProgramOf(job, collection);
  if (program === undefined || output.native !== "text") return undefined;
  const plan: ExecPlan = { ...program, inputSeparator: program.separator };
  const feed = new ExecFeed(plan);
  const pairs = new PairFeed(memory, feed, program);
  const lines = new RawLines(plan, output);
  const flush = async (): Promise<void> => {
    await lines.take(feed.bytes.subarray(0, feed.length));
    feed.length = 0;
  };
  return async (stream, moved) => {
    for (let window = stream.next(); window !== null; window = stream.next()) {
      await pairs.window(window, flush);
      await flush();
      moved();
    }
  };
}
