import type { ErrorCode } from "../base/errors.ts";
import type { RunIdentity } from "../shuffle/run-format.ts";
import type { FileWindow } from "../shuffle/run-index.ts";
import type { AuxCopies } from "./aux.ts";
import type { EmptyFiles } from "./empty-files.ts";
import type { Split, SplitPlace } from "./split.ts";

/** How often, and how much, map tasks tell of what they have aggregated. */
export interface LiveSettings {
  readonly everyMs: number;
  /** Of each collection, and in all: what leads goes first. No keys: only numbers of records are told. */
  readonly keysMax: number;
  readonly bytesMax: number;
}

/** A file that travels with the job (`files`), as it lies on this machine for all tasks. Plain data. */
export interface JobFile {
  /** Where it is found in a program's current directory. */
  readonly name: string;
  readonly path: string;
  /** Permissions, 0o755. */
  readonly mode: number;
  readonly bytes: number;
  readonly mtimeMs: number;
  readonly sha256: string;
  /** Where the original lies, for a replay when the copy is gone. Left out: not on this machine. */
  readonly origin?: string;
}

/** A file of another run, and records of it. Plain data. */
export interface ChosenFile {
  /** As that run knew it, and where it lay. */
  readonly name: string;
  readonly path: string;
  /** Index into Job.inputs; 0 where there is one. */
  readonly input: number;
  /** As it was when that run was planned: see SplitPiece. */
  readonly fileBytes: number;
  readonly mtimeMs: number;
  readonly version?: string;
  /** The agent whose own it is. Left out: all see it. */
  readonly agent?: string;
  /** Where the records begin, in the decompressed file. */
  readonly offsets: readonly number[];
}

/** The records that are mapped of all there are. */
export interface ChosenRecords {
  readonly files: readonly ChosenFile[];
  /** Inputs, by index, that are mapped as a whole. */
  readonly whole: readonly number[];
}

/** What every task of a job shares. Plain data. */
export interface JobSettings {
  readonly jobId: string;
  readonly name: string;
  /** Memory one worker may use for its data, bytes. */
  readonly memoryBytes: number;
  /** All that it may grow to for records that do not fit into that. Default: whatever there is. */
  readonly memoryMaxBytes?: number;
  /** Partitions of each collection, in the order of `Job.collections`. */
  readonly partitions: readonly number[];
  /**
   * For collections with order "total": the encoded keys that begin partitions 1, 2, ... (base64). Filled in
   * after sampling.
   */
  readonly bounds: readonly (readonly string[] | null)[];
  /** Fraction of records kept, 1 for all. */
  readonly sample: number;
  /** True: results are scaled to all records, with intervals, where that can be. Default false. */
  readonly estimate?: boolean;
  readonly seed: number;
  readonly params: Readonly<Record<string, unknown>>;
  /**
   * True: records that fail are set aside in `_bad/` (the runner checks the budget); false: the first one
   * fails the task.
   */
  readonly keepBad: boolean;
  /** True: results are also (or only, with `output: "none"`) written losslessly, for `result.records()`. */
  readonly collect: boolean;
  /** "none": the job's writers are not used (no output directory was asked for). */
  readonly output: "write" | "none";
  readonly partBytes: number;
  /** Map tasks tell what they have aggregated so far (task/told-states.ts). Left out: they do not. */
  readonly live?: LiveSettings;
  /** Map tasks keep the records they are given, as JSON lines. Default: they do not. */
  readonly materialize?: boolean;
  /** Only these records are mapped. Default: all are. */
  readonly only?: ChosenRecords;
  /** Set to learn what the job takes: a task leaves off after so much. Left out: it does all. */
  readonly probe?: { readonly ms: number; readonly bytes: number };
  /** Where this machine has the files of side data. Default: there are none. */
  readonly auxFiles?: AuxCopies;
  /** What programs find in their current directory. Default: nothing. */
  readonly files?: readonly JobFile[];
  /** True: maps say what of them a later run may take over (TaskSuccess.keep). Default: false. */
  readonly keepMaps?: boolean;
}

export interface SampleTaskSpec {
  readonly kind: "sample";
  /** Short stretches of the input over which map is run to learn the keys' distribution. */
  readonly split: Split;
  readonly index: number;
  readonly attempt: number;
  /** As in MapTaskSpec. */
  readonly directory: string;
}

export interface MapTaskSpec {
  readonly kind: "map";
  readonly index: number;
  readonly attempt: number;
  readonly split: Split;
  /** Directory of this attempt's files: exists, empty, private to the attempt. */
  readonly directory: string;
  /** Likewise, for output files and bad records, on their file system. Default: `directory`. */
  readonly outputDirectory?: string;
  /** What an earlier run has made of the same split: taken over where it is sound, else mapped again. */
  readonly kept?: KeptMap;
}

/** Where the output of one finished map attempt lies. */
export interface MapOutput {
  readonly task: number;
  readonly attempt: number;
  /** The run file; null when the task emitted nothing. */
  readonly path: string | null;
  /** Who wrote the run file, where that was an attempt of an earlier run. Default: this one. */
  readonly owner?: RunIdentity;
}

/** Run file of a map in its attempt's directory, as it is kept for later runs. */
export const keptRunName = "kept.run";

export type KeptStats = Pick<TaskStats, "recordsIn" | "bytesIn" | "emitted" | "shuffleBytes" | "badRecords">;
/**
 * What a map task has made, as a later run may take it over. Plain data. FROZEN within a version of the state
 * that holds it.
 */
export interface KeptMap {
  /** Its run file; null when it emitted nothing. `fingerprint` as runDigest has it. */
  readonly run: {
    readonly path: string;
    readonly owner: RunIdentity;
    readonly bytes: number;
    readonly fingerprint: string;
  } | null;
  /** Its bad records; null when there were none. */
  readonly bad: { readonly path: string; readonly bytes: number; readonly crc32c: number } | null;
  /** Files of map-only collections. */
  readonly parts: readonly OutputPart[];
  /** How its pairs found their partitions, as JobSettings has it. */
  readonly partitions: readonly number[];
  readonly bounds: readonly (readonly string[] | null)[];
  readonly counters: Readonly<Record<string, number>>;
  readonly stats: KeptStats;
  readonly partitionBytes: readonly (readonly number[])[];
  readonly pairs: readonly number[];
  readonly hotKeys: readonly HotKey[];
  readonly emptyFiles: EmptyFiles | null;
  /**
   * Whether files under other names would give something else: the job asked for a path, or names are in it.
   */
  readonly namesMatter: boolean;
}

/** A map output as a reduce finds it. */
export interface ReduceInput extends MapOutput {
  /** Where in the file its run file lies, when several share one: those of other machines do. */
  readonly window?: FileWindow;
}

export interface ReduceTaskSpec {
  readonly kind: "reduce";
  readonly index: number;
  readonly attempt: number;
  /** Index into Job.collections. */
  readonly collection: number;
  readonly partition: number;
  /** In map task order. */
  readonly inputs: readonly ReduceInput[];
  readonly directory: string;
  /** As in MapTaskSpec. */
  readonly outputDirectory?: string;
}

export type TaskSpec = SampleTaskSpec | MapTaskSpec | ReduceTaskSpec;

/** One output file an attempt has written in its directory, not yet committed. */
export interface OutputPart {
  /**
   * "output": in the job's own format. "collected": lossless encoded results (settings.collect). "records":
   * what map was given (settings.materialize).
   */
  readonly kind: "output" | "collected" | "records";
  /** Index into Job.collections; of records the one behind the last. */
  readonly collection: number;
  /** Reduce partition, or map task for map-only collections. */
  readonly partition: number;
  /** 0, 1, ... when a partition's output was rolled at the part size. */
  readonly roll: number;
  readonly path: string;
  /** What route() named the results in it. Left out: there is none. */
  readonly name?: string;
  readonly extension: string;
  readonly bytes: number;
  readonly records: number;
  readonly crc32c: number;
  /** Bytes of its header, before compression. Default: 0. */
  readonly headerBytes?: number;
  /** What the files of one output must agree on (Encoder.layout). Default: nothing. */
  readonly layout?: string;
}

export interface TaskStats {
  recordsIn: number;
  bytesIn: number;
  recordsOut: number;
  bytesOut: number;
  /** Pairs emitted by map (before combining), per collection summed. */
  emitted: number;
  /** Bytes and number of runs written for the shuffle. */
  shuffleBytes: number;
  spills: number;
  badRecords: number;
  groups: number;
  elapsedMs: number;
  /** Processor time, as `processorMs` counts it. */
  cpuMs: number;
}

/** Nothing was done. */
export const emptyStats: Readonly<TaskStats> = {
  recordsIn: 0,
  bytesIn: 0,
  recordsOut: 0,
  bytesOut: 0,
  emitted: 0,
  shuffleBytes: 0,
  spills: 0,
  badRecords: 0,
  groups: 0,
  elapsedMs: 0,
  cpuMs: 0,
};

/** A key that a great part of a map task's pairs have, as they were shuffled: after combining. */
export interface HotKey {
  readonly collection: number;
  /** As it is printed. */
  readonly key: string;
  readonly values: number;
}

export interface TaskSuccess {
  readonly kind: "success";
  readonly stats: TaskStats;
  readonly counters: Readonly<Record<string, number>>;
  /** map: the run file (null path when nothing was emitted). */
  readonly output: MapOutput | null;
  /** Output files of reduce tasks and of map-only collections. */
  readonly parts: readonly OutputPart[];
  /** sample: encoded keys (base64) per collection. */
  readonly keys: readonly (readonly string[])[];
  /** Shuffle bytes per collection and partition: shows skew. */
  readonly partitionBytes: readonly (readonly number[])[];
  /** Pairs shuffled, per collection: what the keys have a share of. */
  readonly pairs: readonly number[];
  readonly hotKeys: readonly HotKey[];
  /** File of bad records (one JSON object a line: path, offset, error, raw), null when there were none. */
  readonly badPath: string | null;
  /** map, with `probe`: what it has read of its split, as bytes on disk, and whether that is all. */
  readonly taken?: { readonly bytes: number; readonly isWhole: boolean };
  /** map: files that lie whole in its split and gave no record; left out when there are none. */
  readonly emptyFiles?: EmptyFiles;
  /**
   * map: where what was not begun, as it was to be handed over, is cut: it begins at the first place, and
   * another task's share at each of them. Left out: all was done.
   */
  readonly rest?: readonly SplitPlace[];
  /** map of a generated source: records it has made. */
  readonly made?: number;
  /** map, with settings.keepMaps: what a later run needs to know besides to take it over. */
  readonly keep?: Keepable;
  /** map that was taken over, and has read nothing itself: the stats of the one that an earlier run had. */
  readonly adopted?: KeptStats;
}

/** Whether a later run may take over what a map has made: a KeptMap is this, and the success itself. */
export type Keepable =
  | {
      readonly kind: "kept";
      /** Of its run file; null when there is none. */
      readonly run: {
        readonly bytes: number;
        readonly fingerprint: string;
        /** Where it lies beside the output, and whose it is there. Left out: as `output` says. */
        readonly path?: string;
        readonly owner?: RunIdentity;
      } | null;
      /** Of its bad records; null when there are none. */
      readonly bad: { readonly bytes: number; readonly crc32c: number } | null;
      readonly namesMatter: boolean;
    }
  | { readonly kind: "not kept"; readonly why: string };

/** A failure as plain data: everything the one-screen error needs. */
export interface TaskFailure {
  readonly kind: "failure";
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string | null;
  /** Name of the thrown error, e.g. "TypeError". */
  readonly name: string;
  /** Unmapped stack of the thrown error. */
  readonly stack: string | null;
  /** What ran: "map", "reduce", "combine", "setup", "teardown", "partition", "read", "write", "load" ... */
  readonly phase: string;
  /** Whose fault: user code and data use up attempts; "system" (lost worker, disk) is retried apart. */
  readonly blame: "user" | "data" | "system";
  readonly path: string | null;
  readonly offset: number | null;
  /** The record, printable, cut to 1,000 characters. */
  readonly record: string | null;
  readonly key: string | null;
  /** Last lines the task logged. */
  readonly log: readonly string[];
}

export type TaskResult = TaskSuccess | TaskFailure;

/**
 * Cells of the Int32/Float64 progress board shared between a worker and whoever watches it (a
 * SharedArrayBuffer of PROGRESS_BYTES, as Float64Array). The worker writes, at least once per chunk; the
 * watcher only reads. `beat` changes whenever work has moved on: a watcher that sees it still for the
 * no-progress timeout ends the attempt.
 */
export const PROGRESS_CELLS = {
  beat: 0,
  recordsIn: 1,
  bytesIn: 2,
  recordsOut: 3,
  spillBytes: 4,
  fraction: 5,
} as const;
export const PROGRESS_BYTES = 8 * 8;

/** What a task needs from the world around it. */
export interface TaskServices {
  /** The progress board (see PROGRESS_CELLS). */
  readonly progress: Float64Array;
  readonly signal: AbortSignal;
  /**
   * Lets what has come for this thread meanwhile be heard: called between records, a few times a second and
   * more. Resolves to how many tasks would take over what is left of a map, 0 for none. Left out: nothing
   * comes.
   */
  readonly turn?: () => Promise<number>;
  /**
   * Whether a generated source is to make no more records. What changes that is heard in `turn`. Left out: it
   * never is.
   */
  readonly isStopped?: () => boolean;
  /**
   * Takes what a map has aggregated (see task/told-states.ts) of so many records, and how many its source has
   * made: all of it, each time. Left out: nobody asks.
   */
  readonly told?: (states: Uint8Array, records: number, made: number) => void;
  /** A line the task logged (already without its newline). */
  log(line: string): void;
}

/** Runs attempts of one job in this thread, one at a time, keeping its memory between them. */
export interface TaskRunner {
  /** Never rejects: a failure is a result. */
  run(spec: TaskSpec, services: TaskServices): Promise<TaskResult>;
  /** Ends programs that have outlived their tasks. */
  close(): void;
}
