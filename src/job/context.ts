/**
 * What user code learns about the task it runs in, and how it talks back. One object per attempt; do not keep
 * it.
 */
export interface TaskContext<
  P = Readonly<Record<string, unknown>>,
  S = unknown,
  A = Readonly<Record<string, unknown>>,
> {
  /** "map-00017" or "reduce-00003". */
  readonly task: string;
  readonly index: number;
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** Name of the input that the task reads, in a job of several (`inputs`); "" in others and outside map. */
  readonly input: string;
  /** Path of the input file of the current record; "" outside map or for generated input. */
  readonly path: string;
  /** Byte offset of the current record in its (decompressed) file; for generated input its index. */
  readonly offset: number;
  /** The job's `params`, overridden by `--set name=value`. */
  readonly params: P;
  /** The job's `aux` data, loaded once per worker. Do not change it: later tasks see it, too. */
  readonly aux: A;
  /** What `setup` returned. */
  readonly state: S;
  /** Aborted when the attempt is cancelled; pass it to fetch and other things that wait. */
  readonly signal: AbortSignal;
  /**
   * Adds `by` (an integer, default 1) to a counter of the job. Counted once however often a task is retried.
   */
  count(name: string, by?: number): void;
  /** Uniform in [0, 1), seeded by the job's seed and the task: the same in every attempt. */
  random(): number;
  /** A line in the task's log, shown when the task fails and kept in the job directory. */
  log(message: string): void;
  /** Tells the no-progress watchdog that a long record is still being worked on. */
  progress(): void;
}
