import { setImmediate } from "node:timers/promises";
import { stampOf } from "../storage/file-identity.ts";
import type { Split } from "../task/split.ts";
import type { JobSettings, KeptStats, TaskStats, TaskSuccess } from "../task/task-spec.ts";
import {
  type JobPrint,
  runFileName,
  sealed,
  type StateFile,
  stateText,
  type StateUnit,
  unsealed,
} from "./kept-state.ts";

/** What a run has taken over from the one before, and keeps for the next. */
export interface IncrementalReport {
  /** Why every map ran; null when results of an earlier run were there to be taken. */
  readonly full: string | null;
  /** What was taken over: not read, and not in the run's own recordsIn and bytesIn. */
  readonly kept: { readonly tasks: number; readonly records: number; readonly bytes: number };
  /** Map tasks that ran. */
  readonly mappedTasks: number;
  /** Files that the run before has read and that are no input any more. */
  readonly goneFiles: number;
  /** What is kept for the next run beside the output itself; 0 when nothing was written. */
  readonly stateBytes: number;
}

/** What goes into an output besides its parts. */
export interface StateFiles {
  /** Files that are there already, and where they go below the output. */
  readonly moves: readonly (readonly [source: string, name: string])[];
  readonly text: string;
  /** Of all of them. */
  readonly bytes: number;
}

/** A file that a run reads, as it was when the run was planned. */
export interface NotedFile {
  readonly input: number;
  readonly path: string;
  readonly name: string;
  readonly bytes: number;
  /**
   * Whoever reads it sees to what it was: it may be appended to, or lies in a store, which gives its version.
   */
  readonly bound: boolean;
  /** null: what it holds cannot be told by its inode. */
  readonly inode: string | null;
  /** null: it could not be read. */
  readonly digest: string | null;
}

/** What the end of a run needs to know of its beginning. Plain data. */
export interface RunNotes {
  readonly job: JobPrint;
  /** Of content digests, hex. */
  readonly key: string;
  readonly full: string | null;
  readonly goneFiles: number;
  /** The output's mark when the run began, as readState. */
  readonly mark: string;
  readonly files: readonly NotedFile[];
}

/** A finished map task. */
export interface MapDone {
  readonly split: Split;
  readonly result: Omit<TaskSuccess, "kind" | "keys">;
}

/** What a map has made, as the file beside its output says it to whoever commits. */
export function doneText(done: MapDone): string {
  return sealed(done);
}

/** @returns null for what is no such text, or is damaged */
export function parseDone(text: string): MapDone | null {
  const found = unsealed(text);
  return found.kind === "value" ? (found.value as MapDone) : null;
}

export function notesText(notes: RunNotes): string {
  return sealed(notes);
}

/** As parseDone. */
export function parseNotes(text: string): RunNotes | null {
  const found = unsealed(text);
  return found.kind === "value" ? (found.value as RunNotes) : null;
}

/**
 * What the output keeps for the next run.
 * @param done in the order of what they read
 * @param placed where a file of a result lies below the output
 * @param step called for each file; what it throws ends the work
 */
export async function stateOf(
  notes: RunNotes,
  done: readonly MapDone[],
  { jobId, partitions, bounds }: Pick<JobSettings, "jobId" | "partitions" | "bounds">,
  placed: (source: string) => string,
  step?: () => void,
): Promise<StateFiles> {
  const { files: noted, job, key } = notes;
  const still = await stillThere(noted, step);
  const files = noted.map(({ input, name, bytes, digest }): StateFile => {
    return { input, name, bytes, digest: digest ?? "" };
  });
  const byPlace = new Map(noted.map(({ input, path }, i) => [placeOfInput(input, path), i]));
  const moves: [string, string][] = [];
  let bytes = 0;
  const units = done.map(({ split, result }, index): StateUnit => {
    const read = split.pieces.flatMap((piece) => (piece.kind === "file" ? [piece] : []));
    const pieces = read.map(({ path, start, end, recordStart }) => {
      const file = byPlace.get(placeOfInput(split.input ?? 0, path))!;
      return { file, start, end, ...(recordStart !== undefined && { recordStart }) };
    });
    const { keep } = result;
    if (keep?.kind !== "kept") return { pieces, map: null, why: keep?.why ?? "no result of it was kept" };
    if (!pieces.every(({ file }) => still[file])) {
      return { pieces, map: null, why: "it may have been written to while the run before read it" };
    }
    const { run, bad, namesMatter } = keep;
    const {
      output,
      parts,
      stats,
      adopted,
      counters,
      partitionBytes,
      pairs,
      hotKeys,
      emptyFiles = null,
    } = result;
    const { task, attempt } = output!;
    if (run !== null) moves.push([run.path ?? output!.path!, runFileName(index)]);
    bytes += run?.bytes ?? 0;
    const owner = run?.owner ?? output!.owner ?? { jobId, task, attempt };
    return {
      pieces,
      why: null,
      map: {
        run:
          run === null
            ? null
            : { bytes: run.bytes, fingerprint: run.fingerprint, path: runFileName(index), owner },
        bad: bad === null ? null : { ...bad, path: placed(result.badPath!) },
        parts: parts
          .filter(({ kind }) => kind === "output")
          .map((part) => ({ ...part, path: placed(part.path) })),
        counters,
        stats: adopted ?? statsToKeep(stats),
        partitionBytes,
        pairs,
        hotKeys,
        emptyFiles,
        namesMatter,
      },
    };
  });
  const text = stateText({ job, key, partitions, bounds, files, units });
  return { moves, text, bytes: bytes + Buffer.byteLength(text) };
}

export function reportOf(
  { full, goneFiles }: Pick<RunNotes, "full" | "goneFiles">,
  results: readonly Pick<TaskSuccess, "adopted">[],
  stateBytes: number,
): IncrementalReport {
  const adopted = results.flatMap((one) => one.adopted ?? []);
  const sum = (of: "recordsIn" | "bytesIn"): number => adopted.reduce((all, stats) => all + stats[of], 0);
  return {
    full,
    kept: { tasks: adopted.length, records: sum("recordsIn"), bytes: sum("bytesIn") },
    mappedTasks: results.length - adopted.length,
    goneFiles,
    stateBytes,
  };
}

/** Where a file of an input is named among others. */
export function placeOfInput(input: number, path: string): string {
  return `${input} ${path}`;
}

/** Files that are looked at until others get their turn. */
const FILES_A_TURN = 1_000;

async function stillThere(files: readonly NotedFile[], step: (() => void) | undefined): Promise<boolean[]> {
  const still: boolean[] = [];
  for (const file of files) {
    step?.();
    still.push(isUnchanged(file));
    if (still.length % FILES_A_TURN === 0) await setImmediate();
  }
  return still;
}

/** Whether a file is still what was read. */
function isUnchanged({ path, bound, inode, digest }: NotedFile): boolean {
  return digest !== null && inode !== null && (bound || stampOf(path)?.text === inode);
}

/** What a later run that takes a map over tells of it. */
export function statsToKeep({ recordsIn, bytesIn, emitted, shuffleBytes, badRecords }: TaskStats): KeptStats {
  return { recordsIn, bytesIn, emitted, shuffleBytes, badRecords };
}
