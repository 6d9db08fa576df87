import type { Preparation } from "../protocol/task-messages.ts";
import type { MapOutput, ReduceInput } from "../task/task-spec.ts";

/** What the shuffle part is told of a job. */
export interface ShuffleJob {
  readonly job: string;
  /** The job's own directory on this machine, existing, mode 0700: fetched files lie in `fetched/` in it. */
  readonly directory: string;
  /** Signs the URLs of the job's map outputs. */
  readonly shuffleKey: string;
  readonly maps: number;
  /** What will probably be reduced here: fetched for as maps finish. */
  readonly expected: Preparation["expected"];
}

/** A reduce attempt that needs its inputs. */
export interface ReduceQuestion {
  readonly job: string;
  readonly task: number;
  readonly collection: number;
  readonly partition: number;
  /** The list of map outputs has to be read at least so far. */
  readonly version: number;
  readonly signal: AbortSignal;
  /** Called whenever bytes have arrived: the attempt does not stand still. */
  moved(): void;
}

export type ReduceInputs =
  /** All on this disk, in map task order. */
  | { readonly kind: "inputs"; readonly inputs: readonly ReduceInput[] }
  /** The map attempt whose output could not be had. */
  | {
      readonly kind: "unreadable";
      readonly task: number;
      readonly attempt: number;
      readonly message: string;
    };

/** The shuffle part of an agent: serves what its maps have written, fetches what its reduces need. */
export interface ShuffleNode {
  /** As bound: "http://127.0.0.1:40123". */
  readonly address: string;
  /** Attempts of the job may run here from now on; called again with every newer preparation. */
  prepared(job: ShuffleJob): void;
  /** A map attempt has succeeded here: its run file is served. Again: no change. */
  add(job: string, output: MapOutput): void;
  /** That output is served no more; the caller removes its file next. */
  drop(job: string, task: number, attempt: number): void;
  /** The job's list of map outputs has grown to that version. */
  outputsGrew(job: string, version: number): void;
  /**
   * Resolves when all inputs of the reduce are there, or one of them cannot be had. Rejects when the signal
   * aborts, with its reason, and with a SheafError for trouble on this machine (a full disk).
   */
  inputs(question: ReduceQuestion): Promise<ReduceInputs>;
  /**
   * A worker found the input at that path damaged. True when it was a fetched copy that can be had anew: it
   * is removed, and the same question may be asked again, once. False: the map attempt has to be made again.
   */
  damaged(job: string, path: string): boolean;
  /** The reduce has ended here: what was fetched for it may go. */
  reduceEnded(job: string, task: number): void;
  /** Serves and fetches nothing of the job any more; resolves when none of its files is open. */
  forget(job: string): Promise<void>;
  /** Jobs of which outputs are served. */
  jobs(): readonly string[];
  /** Ends everything, the listening too. */
  close(): Promise<void>;
}
