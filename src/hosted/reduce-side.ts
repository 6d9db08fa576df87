import { join } from "node:path";
import { formatTask } from "../scheduler/ids.ts";
import type { TaskSuccess } from "../task/task-spec.ts";
import type { ReduceInput } from "../task/task-spec.ts";
import { blockBounds, KEY_BYTES, OutputWriter, partitionOfBlock, readBlock } from "./blocks.ts";
import { brokenFrames, FrameReader, type FrameWriter } from "./frames.ts";
import { reportedSuccess, writeTask } from "./map-side.ts";
import { fileName, type HostedReport, reportName } from "./reports.ts";
import { type HostedSpec } from "./spec.ts";
import { Spool, type SpooledPiece } from "./spool.ts";

/** What a reduce has been sent. */
export interface ReduceWork {
  /** Index of the reduce task. */
  readonly index: number;
  readonly spool: Spool;
  /** In map order. */
  readonly slices: readonly SpooledPiece[];
  readonly files: readonly SpooledPiece[];
}

/**
 * Takes all that the engine has for this reduce, in whatever order. Which reduce it is follows from where the
 * engine has put it.
 * @throws SheafError MESSAGE_INVALID when something is missing, came twice, or is for another; DISK_FULL
 */
export function receive(input: number, { reduces, maps }: HostedSpec, scratch: string): ReduceWork {
  const spool = new Spool(join(scratch, "received"));
  const frames = new FrameReader(input, blockBounds);
  let index = -1;
  let greeted = false;
  while (frames.next()) {
    const { key } = frames;
    if (key.length !== KEY_BYTES) throw brokenFrames(`a key of ${key.length} bytes`);
    const reduce = partitionOfBlock(key, reduces.length);
    if (index >= 0 && reduce !== index)
      throw brokenFrames(
        `blocks of reduce ${index} and of ${reduce} came to the same task: the engine's partitioner`,
      );
    index = reduce;
    const map = key.readInt32BE(4);
    const block = readBlock(frames.value);
    if (block.kind === "hello") {
      if (greeted) throw brokenFrames("the first map's came twice");
      greeted = true;
      continue;
    }
    if (map < 0 || map >= maps) throw brokenFrames(`a block of map ${map}, of ${maps}`);
    if (block.kind === "file") checkName(map, block.name);
    spool.take(map, block);
  }
  if (!greeted) throw brokenFrames("those of the first map are missing");
  const pieces = spool.pieces();
  return {
    index,
    spool,
    slices: pieces.filter(({ name }) => name === ""),
    files: pieces.filter(({ name }) => name !== ""),
  };
}

/** Maps name files of their own, and nothing outside of the output. */
function checkName(map: number, name: string): void {
  const task = formatTask({ job: "", phase: "map", task: map });
  const own = fileName(task, "");
  const isFile =
    name.startsWith(own) &&
    /^[^/\\\0]+$/.test(name.slice(own.length)) &&
    !/^\.\.?$/.test(name.slice(own.length));
  if (!isFile && name !== reportName(task))
    throw brokenFrames(`a file of map ${map} that is called ${JSON.stringify(name)}`);
}

/** The slices as a reduce attempt reads them. */
export function inputsOf({ slices, spool }: ReduceWork): ReduceInput[] {
  return slices.map(({ map, window }) => ({ task: map, attempt: 1, path: spool.path, window }));
}

/** Hands to the engine as output: the files that came of maps, what the reduce has made, its report last. */
export function writeReduce(
  frames: FrameWriter,
  { index, spool, slices, files }: ReduceWork,
  success: TaskSuccess,
): void {
  const task = formatTask({ job: "", phase: "reduce", task: index });
  const writer = new OutputWriter(frames);
  for (const { name, window } of files) writer.stretch(name, { fd: spool.fd, path: spool.path, ...window });
  const bytes = slices.reduce((sum, { window }) => sum + window.bytes, 0);
  const received = { maps: slices.length, bytes };
  const report: HostedReport = { task, success: reportedSuccess(task, success), received };
  writeTask(frames, report, success);
}
