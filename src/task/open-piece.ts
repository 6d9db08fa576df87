import { SheafError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { type BatchReader, readPiece, readSource } from "../format/read-split.ts";
import type { Job } from "../job/job-plan.ts";
import { isSource } from "../job/reader.ts";
import type { AttemptContext } from "./context.ts";
import type { SplitPiece } from "./split.ts";
import type { JobSettings, TaskServices, TaskSpec } from "./task-spec.ts";

/** Opens a piece of a split: a stretch of a file, or what a source makes for a task. */
export async function openPiece(
  setting: {
    readonly job: Job;
    readonly settings: JobSettings;
    readonly services: TaskServices;
    readonly context: AttemptContext;
    readonly spec: TaskSpec;
  },
  piece: SplitPiece,
  how: {
    readonly keepBad: boolean;
    readonly isStopped: (() => boolean) | undefined;
    /** Asks for the context's path, as a reader that tells it does. Default: nothing. */
    readonly askedPath?: () => void;
  },
): Promise<BatchReader<unknown>> {
  const { job, settings, services, context, spec } = setting;
  const { input } = job;
  const { signal } = services;
  const { keepBad, isStopped, askedPath } = how;
  if (piece.kind === "generate") {
    if (!isSource(input)) throw new SheafError("INTERNAL", "a generated piece for a job that reads files");
    const { index, tasks, records, node } = piece;
    const random = seededRandom(`${settings.seed}/generate/${index}`);
    const place = node !== undefined &&
      "directory" in spec && { node: { ...node, directory: spec.directory } };
    const about = { index, tasks, random: () => random.next(), params: context.params, signal };
    const source = { ...about, ...place };
    return readSource(input, source, { records, isStopped });
  }
  if (isSource(input)) throw new SheafError("INTERNAL", "a file for a job that generates its records");
  return readPiece(input, piece, { keepBad, signal, ...(askedPath !== undefined && { askedPath }) });
}
