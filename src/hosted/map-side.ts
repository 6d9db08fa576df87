import { closeSync } from "node:fs";
import { basename } from "node:path";
import { SheafError } from "../base/errors.ts";
import { formatTask } from "../scheduler/ids.ts";
import { type PartitionSlice, slicePartition } from "../shuffle/partition-slice.ts";
import type { Segment } from "../shuffle/run-format.ts";
import { openRun, readFully, readOpenRunIndex } from "../shuffle/run-index.ts";
import type { TaskSuccess } from "../task/task-spec.ts";
import { BlockWriter, OutputWriter, type SentFile } from "./blocks.ts";
import { brokenFrames, FrameReader, type FrameWriter } from "./frames.ts";
import { fileName, type HostedReport, reportName } from "./reports.ts";
import { type HostedSpec, type MapRecord, readMapRecord, recordBytesMax } from "./spec.ts";

/** What this map is to do: the one record that the engine gives it. @throws SheafError MESSAGE_INVALID */
export function readMapTask(input: number, spec: HostedSpec): MapRecord {
  const frames = new FrameReader(input, { keyMax: 65_535, valueMax: recordBytesMax });
  if (!frames.next()) throw brokenFrames("there is none, but a map task is given one");
  const record = readMapRecord(frames.value, spec);
  // To the end: an engine may take a reader that leaves early for one that has failed.
  if (frames.next()) throw brokenFrames("there are several, but a map task is given one");
  return record;
}

/** The files that an attempt has made, under the names that they get in the output. */
export function madeFiles(task: string, { parts, badPath }: TaskSuccess): SentFile[] {
  const paths = [...parts.map(({ path }) => path), ...(badPath === null ? [] : [badPath])];
  return paths.map((path) => ({ name: fileName(task, basename(path)), path }));
}

/** What is told of a success: paths as in the output, and no run file, which stays here. */
export function reportedSuccess(task: string, success: TaskSuccess): TaskSuccess {
  const { output, parts, badPath, rest: _rest, keep: _keep, taken: _taken, ...told } = success;
  return {
    ...told,
    output: output === null ? null : { task: output.task, attempt: output.attempt, path: null },
    parts: parts.map((part) => ({ ...part, path: fileName(task, basename(part.path)) })),
    badPath: badPath === null ? null : fileName(task, basename(badPath)),
  };
}

/** Sends what a map has made to the reduces. Without one it is said that there is a job at all. */
export function sendMap(
  frames: FrameWriter,
  spec: HostedSpec,
  index: number,
  success: TaskSuccess | null,
): void {
  const { reduces } = spec;
  const writer = new BlockWriter(frames, index, reduces.length);
  if (index <= 0) for (const reduce of reduces.keys()) writer.hello(reduce);
  if (success === null) return;
  const task = formatTask({ job: "", phase: "map", task: index });
  const sent = sendSlices(writer, spec, success);
  const reduce = index % reduces.length;
  for (const file of madeFiles(task, success)) writer.file(reduce, file);
  const report: HostedReport = { task, success: reportedSuccess(task, success), sent };
  writer.text(reduce, reportName(task), `${JSON.stringify(report)}\n`);
}

/** Of each reduce the bytes that it is sent. */
function sendSlices(
  writer: BlockWriter,
  { reduces, settings }: HostedSpec,
  { output }: TaskSuccess,
): number[] {
  const sent = reduces.map(() => 0);
  if (output === null || output.path === null) return sent;
  const { path, task, attempt } = output;
  const places = new Map(
    reduces.map(({ collection, partition }, reduce) => [`${collection} ${partition}`, reduce]),
  );
  const fd = openRun(path);
  try {
    const index = readOpenRunIndex(fd, path, { identity: { jobId: settings.jobId, task, attempt } });
    for (const segments of bySlice(index.segments)) {
      const { collection, partition } = segments[0]!;
      const reduce = places.get(`${collection} ${partition}`);
      if (reduce === undefined)
        throw new SheafError("INTERNAL", `no reduce has partition ${partition} of collection ${collection}`);
      const slice = slicePartition({ ...index, segments });
      sent[reduce] = slice.bytes;
      writer.slice(reduce, slice.bytes, sliceReader(slice, fd, path));
    }
  } finally {
    closeSync(fd);
  }
  return sent;
}

/** Segments of one partition follow each other. */
function bySlice(segments: readonly Segment[]): Segment[][] {
  const slices: Segment[][] = [];
  for (const segment of segments) {
    const last = slices.at(-1)?.[0];
    if (last?.collection === segment.collection && last.partition === segment.partition)
      slices.at(-1)!.push(segment);
    else slices.push([segment]);
  }
  return slices;
}

/** Fills buffers with the bytes of a slice, from its first to its last. */
function sliceReader({ pieces }: PartitionSlice, fd: number, path: string): (target: Buffer) => void {
  let piece = 0;
  let at = 0;
  return (target) => {
    for (let filled = 0; filled < target.length;) {
      const one = pieces[piece]!;
      const length = one.kind === "made" ? one.bytes.length : one.length;
      const part = target.subarray(filled, filled + Math.min(length - at, target.length - filled));
      if (one.kind === "made") one.bytes.copy(part, 0, at);
      else readFully(fd, path, part, one.offset + at);
      filled += part.length;
      at += part.length;
      if (at < length) continue;
      piece++;
      at = 0;
    }
  };
}

/** Hands what a task has made to the engine as output, its report last. */
export function writeTask(frames: FrameWriter, report: HostedReport, success: TaskSuccess): void {
  const writer = new OutputWriter(frames);
  for (const file of madeFiles(report.task, success)) writer.file(file);
  writer.text(reportName(report.task), `${JSON.stringify(report)}\n`);
}
