import type { EstimateColumn } from "../job/estimate.ts";
import type { Framing } from "../job/reader.ts";
import type { Compression } from "../job/writer.ts";
import type { StepPlan } from "../steps/pipeline.ts";
import type { StoreAccess, StoreLink } from "../storage/stores.ts";
import type { AuxCopies, AuxSourcePath, SharedAux } from "../task/aux.ts";
import type { FoldAnswer, FoldRequest } from "../task/fold-states.ts";
import type { JobSettings, TaskFailure, TaskResult, TaskSpec } from "../task/task-spec.ts";
import type { InjectedFault } from "./fault-injection.ts";
import type { Trace } from "./trace.ts";

export type InputOutline =
  | {
      readonly kind: "generate";
      readonly tasks: number;
      /** These as in Source. */
      readonly count?: number;
      readonly forMs?: number;
      /** It has a stop condition. */
      readonly hasUntil?: boolean;
      readonly nodes?: { readonly names: readonly string[]; readonly paths: readonly string[] };
    }
  | {
      readonly kind: string;
      readonly framing: Framing;
      readonly needsHeader: boolean;
      readonly compression: Compression | "auto" | "none";
      readonly recordBytesMax: number | null;
      readonly content?: "text" | "lines";
      readonly encoding?: { readonly name: string; readonly strict: boolean };
      /** It reads what another step of the pipeline has written. */
      readonly step?: { readonly of: string; readonly output: string; readonly previous?: boolean };
    };

export interface EstimateOutline {
  /** None of them scaled: the collection is as it is without estimates. */
  readonly columns: readonly EstimateColumn[];
  /** The kind of its writer, where that cannot write estimates; else null. */
  readonly cannotWrite: string | null;
}

/** What the coordinating thread knows of one step of a pipeline. Plain data. */
export interface StepOutline extends Omit<StepPlan, "job"> {
  readonly job: JobOutline;
}

/**
 * What the coordinating thread knows of a job. User code itself is loaded and run in workers only. Plain
 * data.
 */
export interface JobOutline {
  readonly name: string | null;
  /** Of several the first. */
  readonly input: InputOutline;
  /** In a job with several inputs, in their order. */
  readonly inputs?: readonly { readonly name: string; readonly input: InputOutline }[];
  readonly collections: readonly {
    readonly name: string;
    readonly partitions: number | null;
    readonly order: "hash" | "total";
    readonly mapOnly: boolean;
    /** What `estimate` makes of its results. Not in outlines of sheaf 0.1. */
    readonly estimates?: EstimateOutline;
    /** Map tasks can tell what they have aggregated. Left out: they cannot. */
    readonly tells?: boolean;
    /** See mergePrint. Left out: null. */
    readonly merges?: string;
  }[];
  /** typeof each default of the job's params, or "array" or "null": what `--set` texts are turned into. */
  readonly params: Readonly<Record<string, string>>;
  /** Files of the job's side data, as its code names them. */
  readonly aux: readonly AuxSourcePath[];
  /** Files that travel with the job, for its programs. Left out: none. */
  readonly files?: readonly { readonly name: string; readonly file: string }[];
  /** Modules of storages of one's own, as the job's code names them, by scheme. Left out: none. */
  readonly stores?: Readonly<Record<string, string>>;
  /** Absolute paths among what its programs are given. Left out: there are none. */
  readonly programs?: readonly string[];
  readonly hasExpect: boolean;
  readonly seed: number;
  /** There in place of all else, which is empty then: the file is that of a pipeline. */
  readonly steps?: readonly StepOutline[];
}

/** Parent to worker. A worker handles them one after the other, in the order sent. */
export type ToWorker =
  /** Import the job file's bundle. Answer: loaded or load-failed. */
  | { readonly kind: "load"; readonly url: string }
  /** With what it reads storages: comes before all else. No answer. */
  | { readonly kind: "storage"; readonly access: StoreAccess }
  /** Storages of users. No answer. */
  | { readonly kind: "stores"; readonly links: readonly StoreLink[] }
  /** What every task from now on shares. `shared` is for threads: see AuxOptions. No answer. */
  | { readonly kind: "settings"; readonly settings: JobSettings; readonly shared?: SharedAux }
  /** Load the job's side data ahead of its tasks. Answer: prepared. */
  | { readonly kind: "aux"; readonly copies: AuxCopies; readonly bytesMax: number }
  /**
   * Run one attempt. Answer: result. `trace`: tell which record is being mapped. `faults` are injected by
   * tests.
   */
  | {
      readonly kind: "run";
      readonly id: number;
      readonly spec: TaskSpec;
      readonly trace: Trace | null;
      readonly faults: readonly InjectedFault[];
    }
  /**
   * The running map may leave what it has not begun to so many others, handled out of order. No answer but
   * its result.
   */
  | { readonly kind: "handOver"; readonly id: number; readonly parts: number }
  /** The source of the running map makes no more records, handled out of order. No answer but its result. */
  | { readonly kind: "stop"; readonly id: number }
  /** Abort the running attempt's signal, handled out of order; its result then does not matter. */
  | { readonly kind: "cancel"; readonly id: number }
  /** Ask the job's expect gate. Answer: expected. */
  | { readonly kind: "expect"; readonly counters: Readonly<Record<string, number>> }
  /** Merge what map tasks have told, and ask the source's stop condition. Answer: folded. */
  | { readonly kind: "fold"; readonly request: FoldRequest };

/** Worker to parent. */
export type FromWorker =
  /**
   * The engine is there, and user code begins to load: from here on the time it takes is its own. Also while
   * side data is loaded, every now and then.
   */
  | { readonly kind: "loading" }
  | { readonly kind: "loaded"; readonly outline: JobOutline }
  | { readonly kind: "load-failed"; readonly failure: TaskFailure }
  /**
   * `spoiled`: user code is still running or has thrown outside its task; the worker must not be used again.
   */
  | { readonly kind: "result"; readonly id: number; readonly result: TaskResult; readonly spoiled: boolean }
  /** What the running map has aggregated, see TaskServices.told; sent ahead of its result, too. */
  | {
      readonly kind: "told";
      readonly id: number;
      readonly states: Uint8Array;
      readonly records: number;
      readonly made: number;
    }
  /** `id` is null outside tasks. `text` is whole lines without the last newline. */
  | {
      readonly kind: "log";
      readonly id: number | null;
      readonly stream: "log" | "stdout" | "stderr";
      readonly text: string;
    }
  /** The gate's verdict: null when it passed, else why not. */
  | { readonly kind: "expected"; readonly refusal: string | null; readonly failure: TaskFailure | null }
  /** null: the side data is there. */
  | { readonly kind: "prepared"; readonly failure: TaskFailure | null }
  /** One of the two is null. */
  | { readonly kind: "folded"; readonly answer: FoldAnswer | null; readonly failure: TaskFailure | null }
  /** An error user code threw when no task was running. */
  | { readonly kind: "stray"; readonly failure: TaskFailure };
