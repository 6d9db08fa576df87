import type { InjectedFault } from "../worker/fault-injection.ts";
import type { Isolation } from "../worker/worker.ts";
import type { RunEvent } from "./events.ts";
import type { StepRun } from "./job-bundle.ts";

/**
 * What every run may be told, wherever it runs. Everything has a default; sizes take bytes or a text such as
 * "64MiB".
 */
export interface JobRunOptions {
  /**
   * Files, directories and globs; "-" is standard input. For a job with several inputs those of each by its
   * name: `{ customers: "data/c.csv", orders: ["data/o/*.jsonl"] }`, or texts: `customers=data/c.csv`.
   * Default: none (the job's source makes its records).
   */
  readonly inputs?: string | readonly string[] | Readonly<Record<string, string | readonly string[]>>;
  /**
   * Directory the output is committed to. Default: nothing is written (use `collect` to read the results).
   */
  readonly output?: string;
  /**
   * Swap an existing output directory for the new one; without it, an existing one is an error. Default
   * false.
   */
  readonly overwrite?: boolean;
  /**
   * Reduce partitions: for every collection that is shuffled, or by collection name. Default: the job's, else
   * from the input's size.
   */
  readonly partitions?: number | Readonly<Record<string, number>>;
  /** Bytes one map task reads at most. Default: from the input's size. */
  readonly splitSize?: number | string;
  /** Map tasks wanted, instead of splitSize; about so many are made. */
  readonly mappers?: number;
  /** Memory one worker may use for its data. Default 256 MiB. */
  readonly memory?: number | string;
  /**
   * JavaScript heap one worker may use. Default: Node's own limit, or its share of the machine's memory if
   * less.
   */
  readonly heap?: number | string;
  /** Fraction of the records to keep, in (0, 1]. Default 1. */
  readonly sample?: number;
  /**
   * With `sample`: results of count(), sum(), sumBig() and mean() are scaled to all records and have an
   * interval of 95 % beside them; see docs/planning.md. Default false: they are those of the sample.
   */
  readonly estimate?: boolean;
  /**
   * Files of lines, csv or records of one length may be appended to while the job runs: each is read to the
   * end of its last record that was whole when the job was planned. Any other change still fails the job.
   * Default false.
   */
  readonly growing?: boolean;
  /**
   * Values for the job's `params`, by name. Texts become what the default is: a number, bigint or boolean;
   * or, read as JSON, an array or object; any JSON where the default is null.
   */
  readonly params?: Readonly<Record<string, unknown>>;
  /**
   * Records that may fail before the job does: a number, or a share of the records read ("0.01%"). More than
   * a number fails the job at once; a share is judged when every map is done, since until then nobody knows
   * of how many. Default 0.
   */
  readonly maxBad?: number | string;
  /**
   * How large the files of the job's side data (`aux`) may be together, and what is in them when they are
   * decompressed: bytes, or a size like "4GiB". Every worker holds all of it. Default 1 GiB.
   */
  readonly maxAux?: number | string;
  /** Attempts a task has before the job fails. Lost workers do not count. Default 4. */
  readonly attempts?: number;
  /**
   * Share of the tasks of a phase that may fail without failing the job ("1%" or 0.01); their records are
   * then missing
   * from the output, and `failedTasks` of the result names them. Default 0.
   */
  readonly maxFailedTasks?: number | string;
  /** A task that finishes no record for this long is ended. Default 60,000. */
  readonly noProgressMs?: number;
  /** Default: the job's name, else the job file's. */
  readonly name?: string;
  /** Labels to find the job by in lists, of 200 characters at most. Default: none. */
  readonly group?: string;
  readonly project?: string;
  /** Cancels the run: its status is then CANCELLED and nothing is left behind. */
  readonly signal?: AbortSignal;
  /** Called with every event, in order, never in the middle of another call. Must not throw. */
  readonly onEvent?: (event: RunEvent) => void;
  /**
   * Where job directories are kept. Default $SHEAF_STATE, else $XDG_STATE_HOME/sheaf, else
   * ~/.local/state/sheaf. It gets mode 0700; one that other users can write is not used, with a warning.
   * null keeps none.
   */
  readonly stateDirectory?: string | null;
  /** Keep the results for `result.records()`. Default: true when there is no `output`. */
  readonly collect?: boolean;
  /** Output files are closed and a new part begun at this size. Default 64 MiB. */
  readonly partBytes?: number | string;
  /**
   * The file whose default export the given Job object is. With it the job can run on workers; a Job object
   * alone
   * runs on this thread.
   */
  readonly file?: string | URL;
  /**
   * Packages that stay outside the bundle, by name ("sharp", "@scope/*"): every machine loads its own, as
   * seen from the file that imports it, else from the job file's folder. Default none. Native add-ons (.node)
   * always do.
   */
  readonly external?: readonly string[];
  /** Of a pipeline: which of its steps are run. Default: all of them. */
  readonly steps?: StepSelection;
  /** Set by a pipeline for the runs that are its steps. */
  readonly step?: StepRun;
  /**
   * Tell what the job's aggregators have made of the records so far, about once a second: `partial` events,
   * and `partials()` of what run() returns. Default false.
   */
  readonly live?: boolean;
  /**
   * Records that each task of a generated source makes: `made.tasks` of another result, whose records are
   * made again. Neither its time nor its stop condition ends it then. Default: as the source says.
   */
  readonly made?: readonly number[];
  /** Faults to inject, for tests of jobs and of sheaf. */
  readonly fail?: readonly InjectedFault[];
  /**
   * Shares of the attempts, 0 to 1, that are hit at random: their workers are ended in their middle, or they
   * begin up to half a second late. The results must be the same. Only the first two attempts of a task are
   * hit, and none that is counts against `attempts`. `seed` says which they are. Default: a new one, which a
   * warning tells.
   */
  readonly chaos?: { readonly kill?: number; readonly slow?: number; readonly seed?: number };
  /**
   * Directory in which the records that map was given are kept as well, as JSON lines: a dataset that a later
   * job reads with `jsonl()`. It appears whole when the job has succeeded, or not at all. Records that are no
   * plain JSON data fail the job. Default: they are not kept.
   */
  readonly materialize?: string;
  /**
   * Map only what has changed since the run that made `output`, by content, and take over from it what it has
   * kept of the rest; `output` is replaced as with `overwrite`. docs/incremental.md. Default false.
   */
  readonly incremental?: boolean;
  /** Tells of each task why it runs or not: an event `task-explained`. Default false. */
  readonly explain?: boolean;
}

/** How a run stands among other jobs, where there are some. */
export interface QueueOptions {
  /**
   * Jobs that have to succeed before this one reads anything: ids, beginnings of ids, "@" the latest,
   * "@?name" the latest of that name, each of where this one runs. One that fails, is cancelled or is not
   * there fails it (PREDECESSOR_FAILED, NOT_FOUND). Default: none.
   */
  readonly after?: string | readonly string[];
  /**
   * Runs nothing when the same has succeeded before and its output is still there, whole: the same bundle,
   * side data, params, settings that change the output, version of sheaf and Node, and input files. Files are
   * taken for the same while their path, size, inode and times of change are. `sameAs` of the result tells.
   * Needs an `output`, or a cluster that keeps the results. Default false.
   */
  readonly once?: boolean;
  /** Runs all the same where `once` would not. Default false. */
  readonly force?: boolean;
  /**
   * How long the job is kept from its end on, with its logs and the results that a coordinator has of it: a
   * minute to ten years, ms. Default: the last 100 jobs are kept; on a cluster what the coordinator is told.
   */
  readonly keepMs?: number;
  /** Keeps the job's bundle when the job is no longer kept. Default false. */
  readonly keepBundle?: boolean;
}

/**
 * Steps of a pipeline, by name. What they need and was not done before is run, too.
 */
export interface StepSelection {
  /** Only this one. With an earlier run of the pipeline that can be gone on from: once more. */
  readonly only?: string;
  /** Once more this one, and all that need it; the others as an earlier run has left them. */
  readonly from?: string;
  /** Up to this one. */
  readonly until?: string;
}

/** A run on this machine. */
export interface LocalRunOptions extends JobRunOptions, QueueOptions {
  /** "inline": on this thread, as with `isolate: "inline"`. Default "local": on this machine's cores. */
  readonly on?: "local" | "inline";
  /** Workers at most. Default: the machine's cores. Never more are started than there are tasks. */
  readonly workers?: number;
  readonly isolate?: Isolation;
  /** Where shuffle files go. Default: beside the output, else the system's temporary directory. */
  readonly tempDirectory?: string;
}

/** A run on a cluster. */
export interface ClusterRunOptions extends JobRunOptions, QueueOptions {
  /**
   * URL of a coordinator ("http://10.0.0.5:7077"): the job runs on its cluster, with the same result.
   */
  readonly on: string;
  /** Cores wanted. Default: as many as there are tasks for. */
  readonly cores?: number;
  /** From -10 to 10: jobs of a higher one go first. Default 0. */
  readonly priority?: number;
  /**
   * A task far slower than the others gets a second attempt on another agent; the first to finish counts.
   * false: none does, for user code that does something besides. Default true.
   */
  readonly speculation?: boolean;
  /** Fails when no agent has come for so long. Default: waits. */
  readonly queueTimeoutMs?: number;
  /**
   * File with the clients' token. Default $SHEAF_TOKEN_FILE, else the one that a coordinator of this user on
   * this machine has made.
   */
  readonly tokenFile?: string;
  /** Certificates for https, as paths of PEM files: of the authority, and one's own with its key. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
  /**
   * Whether `output` is a directory that all agents see: they then write there, and nothing passes through
   * the coordinator. Default: true when the coordinator is on this machine and may write there.
   */
  readonly shared?: boolean;
}

/** A run on an engine that users have: docs/engines.md. Options that make no sense there are refused. */
export interface HostedRunOptions extends JobRunOptions, QueueOptions {
  readonly on: "hadoop" | "spark";
  /** Of Spark, as spark-submit has it: "local[2]", "spark://host:7077", "yarn". Default: Spark's own. */
  readonly master?: string;
  /** Of Spark: where its driver runs. Default "client". */
  readonly deployMode?: "client" | "cluster";
  /** Properties of the engine's, as -D of hadoop and --conf of spark-submit. Default: none. */
  readonly conf?: Readonly<Record<string, string>>;
  /** Node for the tasks: a file here, which travels with the job. Default: the one that runs this. */
  readonly nodeBin?: string;
  /**
   * Directory on a file system that all nodes see, for what a job needs and makes until it ends. Default:
   * `.sheaf` in the user's home directory on the engine's default file system.
   */
  readonly engineTemp?: string;
  /**
   * Of Hadoop: false, where the cluster takes no jars of its users'. Maps are then not placed near their
   * input, and results come to this machine first. Default true.
   */
  readonly jar?: boolean;
  /** As on a cluster. */
  readonly speculation?: boolean;
  /** Where local files go. Default: beside the output, else the system's temporary directory. */
  readonly tempDirectory?: string;
  /** Runs nothing: copies what the job needs to where the engine finds it, and gives its command. */
  readonly printCommand?: (words: readonly string[]) => void;
}

/** What a run may be told. Which options there are depends on where it runs: `on`. */
export type RunOptions = LocalRunOptions | HostedRunOptions | ClusterRunOptions;

const queueNames = namesOf<QueueOptions>({
  after: true,
  once: true,
  force: true,
  keepMs: true,
  keepBundle: true,
});

/** The names of the options, those that every runner has and those that only some of them have. */
export const optionNames = {
  common: namesOf<JobRunOptions>({
    inputs: true,
    output: true,
    overwrite: true,
    partitions: true,
    splitSize: true,
    mappers: true,
    memory: true,
    heap: true,
    sample: true,
    estimate: true,
    growing: true,
    params: true,
    maxBad: true,
    maxAux: true,
    attempts: true,
    maxFailedTasks: true,
    noProgressMs: true,
    name: true,
    group: true,
    project: true,
    signal: true,
    onEvent: true,
    stateDirectory: true,
    collect: true,
    partBytes: true,
    file: true,
    external: true,
    steps: true,
    step: true,
    live: true,
    made: true,
    fail: true,
    chaos: true,
    materialize: true,
    incremental: true,
    explain: true,
  }),
  queue: queueNames,
  local: namesOf<Omit<LocalRunOptions, keyof JobRunOptions | keyof QueueOptions>>({
    on: true,
    workers: true,
    isolate: true,
    tempDirectory: true,
  }),
  cluster: namesOf<Omit<ClusterRunOptions, keyof JobRunOptions | keyof QueueOptions>>({
    on: true,
    cores: true,
    priority: true,
    speculation: true,
    queueTimeoutMs: true,
    tokenFile: true,
    tls: true,
    shared: true,
  }),
  hosted: namesOf<Omit<HostedRunOptions, keyof JobRunOptions | keyof QueueOptions>>({
    on: true,
    master: true,
    deployMode: true,
    conf: true,
    nodeBin: true,
    engineTemp: true,
    jar: true,
    speculation: true,
    tempDirectory: true,
    printCommand: true,
  }),
} as const;

/** The fields of T: the compiler sees to it that none is missing. */
export function namesOf<T>(names: Readonly<Record<keyof T & string, true>>): readonly string[] {
  return Object.keys(names);
}
