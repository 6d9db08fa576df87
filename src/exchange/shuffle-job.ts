import { realpathSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { sep, join } from "node:path";
import { SheafError } from "../base/errors.ts";
import { unlessAborted } from "../base/retry.ts";
import type { MapOutputs, Preparation } from "../protocol/task-messages.ts";
import { formatTask } from "../scheduler/ids.ts";
import { jobFingerprint } from "../shuffle/run-format.ts";
import type { PartitionPlace } from "../shuffle/run-index.ts";
import { asSheafError } from "../storage/fs-error.ts";
import type { MapOutput } from "../task/task-spec.ts";
import type { PeerFetch, ReduceInputs } from "./fetch-reduce.ts";
import { ReduceFetch } from "./fetch-reduce.ts";
import { OutputMirror } from "./output-mirror.ts";
import type { FetchJob } from "./slice-protocol.ts";

/** Attempts are numbered below this. */
const ATTEMPTS_MAX = 2 ** 20;

/**
 * The map outputs of one job that lie on this machine. Nothing else of the disk is ever served: what is here
 * is real paths, below the job's own directory.
 */
class JobOutputs {
  readonly #directory: string;
  /** By task and attempt. */
  readonly #paths = new Map<number, string>();

  /** @throws SheafError when the directory is not there */
  constructor(directory: string) {
    this.#directory = realOf(directory);
  }

  /**
   * A map that emitted nothing leaves nothing to serve.
   * @throws SheafError FORBIDDEN for a file outside the job's directory, links followed
   */
  add({ task, attempt, path }: MapOutput): void {
    if (path === null) return;
    const real = realOf(path);
    if (!real.startsWith(this.#directory + sep)) {
      throw new SheafError("FORBIDDEN", `the map output ${path} is not inside ${this.#directory}`, {
        hint: "Map outputs are served from the directory of their job only.",
      });
    }
    this.#paths.set(keyOf(task, attempt), real);
  }

  drop(task: number, attempt: number): void {
    this.#paths.delete(keyOf(task, attempt));
  }

  /** Real path of the run file; null: it is not here. */
  find(task: number, attempt: number): string | null {
    return this.#paths.get(keyOf(task, attempt)) ?? null;
  }

  get size(): number {
    return this.#paths.size;
  }
}

const keyOf = (task: number, attempt: number): number => task * ATTEMPTS_MAX + attempt;

function realOf(path: string): string {
  try {
    return realpathSync.native(path);
  } catch (error) {
    throw asSheafError(error, { path, doing: "open" });
  }
}

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

export interface JobShuffleOptions {
  readonly agent: string;
  incarnation(): number;
  /** Entries of the job's list of map outputs from number `after` on. */
  read(after: number, signal: AbortSignal): Promise<MapOutputs>;
  /** The list could not be read, though nobody waits for it. */
  unread(error: unknown): void;
  /** There may be something to fetch from that agent. */
  ready(peer: PeerFetch): void;
}

/** One job's part of the shuffle of this machine. */
export class JobShuffle implements FetchJob {
  readonly job: string;
  readonly fingerprint: Buffer;
  readonly outputs: JobOutputs;
  readonly #options: JobShuffleOptions;
  readonly #directory: string;
  readonly #mirror: OutputMirror;
  readonly #reduces = new Map<number, ReduceFetch>();
  /** Not to be fetched for, unless they are asked for again. */
  readonly #ended = new Set<number>();
  readonly #removals = new Set<Promise<unknown>>();
  #prepared: ShuffleJob;
  /** Reduces it has fetched for so far. */
  #made = 0;

  /**
   * What a crashed agent left of fetched files is removed.
   * @throws SheafError when the directory is not there
   */
  constructor(prepared: ShuffleJob, options: JobShuffleOptions) {
    this.job = prepared.job;
    this.fingerprint = jobFingerprint(prepared.job);
    this.outputs = new JobOutputs(prepared.directory);
    this.#prepared = prepared;
    this.#options = options;
    this.#directory = join(prepared.directory, "fetched");
    rmSync(this.#directory, { recursive: true, force: true });
    this.#mirror = new OutputMirror(prepared.maps, {
      read: (after, signal) => options.read(after, signal),
      changed: (tasks) => {
        for (const reduce of this.#reduces.values()) for (const task of tasks) reduce.update(task);
      },
      failed: (error) => options.unread(error),
    });
  }

  get shuffleKey(): string {
    return this.#prepared.shuffleKey;
  }

  /** There is a newer preparation, or this is the first. */
  prepare(prepared: ShuffleJob): void {
    this.#prepared = prepared;
    for (const { task, collection, partition } of prepared.expected) {
      if (!this.#ended.has(task)) this.#reduceOf(task, { collection, partition });
    }
  }

  grew(version: number): void {
    this.#mirror.grew(version);
  }

  async inputs(question: ReduceQuestion): Promise<ReduceInputs> {
    const { task, collection, partition, version, signal, moved } = question;
    await unlessAborted(this.#mirror.atLeast(version), signal);
    this.#ended.delete(task);
    return this.#reduceOf(task, { collection, partition }).inputs(signal, moved);
  }

  damaged(path: string): boolean {
    for (const reduce of this.#reduces.values()) if (reduce.damaged(path)) return true;
    return false;
  }

  reduceEnded(task: number): void {
    this.#ended.add(task);
    const reduce = this.#reduces.get(task);
    if (reduce === undefined) return;
    this.#reduces.delete(task);
    const removal = reduce
      .close(new SheafError("CANCELLED", "the reduce has ended"))
      .then(() => rm(reduce.options.directory, { recursive: true, force: true }))
      // What is left goes with the job's directory.
      .catch(() => {})
      .finally(() => this.#removals.delete(removal));
    this.#removals.add(removal);
  }

  /** Resolves when none of its fetched files is open. */
  async close(): Promise<void> {
    this.#mirror.close();
    const reason = new SheafError("CANCELLED", "the job is forgotten", { hint: "It has ended." });
    await Promise.all([...this.#reduces.values()].map((reduce) => reduce.close(reason)));
    await Promise.all(this.#removals);
  }

  #reduceOf(task: number, place: PartitionPlace): ReduceFetch {
    const known = this.#reduces.get(task);
    if (known !== undefined) return known;
    const mirror = this.#mirror;
    const reduce = new ReduceFetch({
      job: this,
      task,
      place,
      mirror,
      maps: this.#prepared.maps,
      // A new one each time: of an earlier one files may still be on their way out.
      directory: join(
        this.#directory,
        `${formatTask({ job: this.job, phase: "reduce", task })}-${this.#made++}`,
      ),
      ownOutput: (peer, map) => {
        const { agent, incarnation } = mirror.peer(peer);
        if (agent !== this.#options.agent || incarnation !== this.#options.incarnation()) return undefined;
        return this.outputs.find(map.task, map.attempt);
      },
      ready: (fetch) => this.#options.ready(fetch),
    });
    this.#reduces.set(task, reduce);
    return reduce;
  }
}
