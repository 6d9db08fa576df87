import type { TaskFailure } from "../task/task-spec.ts";

/** A job as an engine is given it. All paths are absolute. */
export interface HostJob {
  readonly jobId: string;
  readonly name: string;
  /**
   * Directory of this machine with all that a task needs: `node/`, `sheaf/` and `job/`. Where tasks run on
   * other machines, these travel as archives.
   */
  readonly home: string;
  /** In `home/job/`: one line for each map task, its hosts (with "," between them), TAB, what it is told. */
  readonly splits: string;
  /** Lines of `splits`; at least 1. */
  readonly mapTasks: number;
  /** Reduce tasks; 0 when map tasks write the output. */
  readonly reduces: number;
  /** An empty directory of this machine for what the engine writes, on the output's file system if it can. */
  readonly scratch: string;
  /** Attempts that the engine gives a task. */
  readonly attempts: number;
  /** JavaScript heap of a task, bytes; null: Node's own limit. */
  readonly heapBytes: number | null;
  /** What a task uses for its data besides, bytes. */
  readonly memoryBytes: number;
  /** Where the results are wanted: a path of this machine or an address; null: they are read back. */
  readonly output: string | null;
}

/** What an engine tells while a job runs. */
export interface HostListener {
  /** Share of the phase's work that is done, 0 to 1. */
  progress(phase: "map" | "reduce", share: number): void;
  /**
   * An attempt has failed, and the engine tries again, unless its signal is aborted then: others would
   * fail, too.
   */
  attemptFailed(told: HostFailure): void;
  /** The engine's own name for the job, and the page that shows it; null: there is none. */
  tracking(id: string, url: string | null): void;
  /** Where the maps have run, as the engine counts them: told when they have. */
  placed(maps: PlacedMaps): void;
  /** What user code has printed, where that is seen. */
  log(text: string): void;
  warn(message: string): void;
}

/** Attempts of maps by how near to their input they were started. */
export interface PlacedMaps {
  /** On a host that has it. */
  readonly local: number;
  /** In the rack of such a host. */
  readonly rack: number;
  readonly other: number;
}

/** What has failed on an engine. */
export interface HostFailure {
  /** "map-00007"; null: not known, or it was no task. */
  readonly task: string | null;
  /** Which attempt of the task, from 1, as the engine counts; 0: not known. */
  readonly attempt: number;
  readonly failure: TaskFailure;
}

/** How a job has ended. */
export type HostEnd =
  | { readonly kind: "done"; readonly files: HostFiles }
  | ({ readonly kind: "failed" } & HostFailure)
  | { readonly kind: "cancelled" };

/** What the tasks of a job have written and the engine has committed: `files/...` and `reports/...`. */
export interface HostFiles {
  /** Directory of this machine that holds `reports/`. */
  readonly reports: string;
  /** Directory of this machine that holds `files/`; null: they lie on a file system of the engine. */
  readonly local: string | null;
  /** Whether `place` makes this output; else the files are fetched, and written from here. */
  canPlace(output: string): boolean;
  /**
   * Makes the files the output: all of them, by one rename, or none.
   * @param files from: below this; to: below the output
   * @throws SheafError OUTPUT_EXISTS and the like
   */
  place(files: readonly HostMove[], success: string, options: HostPlaceOptions): Promise<void>;
  /** Copies files to this machine; `to` are paths, whose directories exist. */
  fetch(files: readonly HostMove[]): Promise<void>;
  /** Removes what the job has left but its output. */
  remove(): Promise<void>;
}

export interface HostMove {
  readonly from: string;
  readonly to: string;
  /** Its size must be this. */
  readonly bytes: number;
}

export interface HostPlaceOptions {
  readonly output: string;
  readonly overwrite: boolean;
  /** Directories that are there even when nothing is in them, below the output. */
  readonly directories: readonly string[];
}

/** For how long a task may finish no record. */
export interface NoProgress {
  readonly ms: number;
  /** What raises it, as a user writes that. */
  readonly setting: string;
}

/** Jobs that belong together: the steps of a pipeline. */
export interface Together {
  /** Fit for a directory's name, and of nothing else. */
  readonly id: string;
  readonly name: string;
  /** A directory of this machine for what they share, which is made and removed. */
  readonly scratch: string;
  warn(message: string): void;
}

/** What jobs that belong together have of an engine. */
export interface HostSession {
  /** Runs them, one after the other or several at a time. */
  readonly engine: HostEngine;
  /** While that is at work, a job may follow: what it can use stays, however long that takes. */
  keep<T>(work: () => Promise<T>): Promise<T>;
  /** Ends what it has kept for the next one. No job runs any more. */
  close(): Promise<void>;
}

/** An engine that users have, which runs the tasks of a job: Hadoop, Spark. */
export interface HostEngine {
  readonly name: "hadoop" | "spark";
  /** Whether tasks run on this machine, with its files. Known after `check`. */
  readonly isLocal: boolean;
  /** Node for the tasks, a path; null: the one that runs this. */
  readonly nodeBin: string | null;
  /** How a map task hears of its split: as the record, or as a line of text. */
  readonly inputForm: "record" | "lines";
  /** Directory of Hadoop's configuration that tasks read storages by; null: there is none. */
  readonly hadoopConf: string | null;
  /** What the user has told the engine of that; null, or left out: nothing. */
  readonly noProgress?: NoProgress | null;
  /**
   * Looks whether the engine is there and fit to run jobs, before the job is loaded.
   * @param output as HostJob
   * @throws SheafError saying what is missing and what to do
   */
  check(output: string | null, overwrite: boolean): Promise<void>;
  /**
   * Where files of this machine are put that tasks on others read: an address that ends in "/", of the job's
   * own and removed with it. null, or left out: nowhere.
   */
  inputPlace?(jobId: string): string | null;
  /** Never rejects but for a defect: what goes wrong is in the end. */
  run(job: HostJob, listener: HostListener, signal: AbortSignal): Promise<HostEnd>;
  /** Begins with jobs that belong together. Left out: they would share nothing. */
  open?(together: Together): HostSession;
  /** Copies what the job needs to where the engine finds it, and gives the command that runs it, by words. */
  print(job: HostJob): Promise<readonly string[]>;
}
