import type { Clock } from "../base/clock.ts";
import { describeThrown, SheafError } from "../base/errors.ts";
import type { MapOutputs } from "../protocol/task-messages.ts";
import type { MapOutput } from "../task/task-spec.ts";
import type { ReduceInputs } from "./fetch-reduce.ts";
import { FetchScheduler } from "./fetch-scheduler.ts";
import type { FetchLimits } from "./fetch-stream.ts";
import { fetchLimits } from "./fetch-stream.ts";
import type { ReduceQuestion, ShuffleJob } from "./shuffle-job.ts";
import { JobShuffle } from "./shuffle-job.ts";
import { ShuffleServer } from "./shuffle-server.ts";

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

/** Answers sent at once, 1 MiB of memory each. */
const ANSWERS_MAX = 32;
/** A connection on which nothing moves for so long is cut, ms. */
const IDLE_MS = 120_000;

export interface ShuffleNodeOptions {
  /** This agent, to recognise its own entries of the list of map outputs. */
  readonly agent: string;
  incarnation(): number;
  /** Where to listen. Default 127.0.0.1, any port. */
  readonly host?: string;
  readonly port?: number;
  /** Names, addresses or URLs by which others reach it, besides the host it is bound to. */
  readonly names?: readonly string[];
  /** Options of an HTTPS server and of connections to those of others; null: HTTP. */
  readonly tls: { readonly server: object; readonly client: object } | null;
  /** GET /jobs/{job}/outputs?after=N, tried until it is answered. */
  outputs(job: string, after: number, signal: AbortSignal): Promise<MapOutputs>;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly log: (
    level: "info" | "warn" | "error",
    message: string,
    fields?: Readonly<Record<string, string | number | boolean | null>>,
  ) => void;
  /** Default: fetchLimits. */
  readonly limits?: Partial<FetchLimits>;
}

/** Begins to serve and to fetch. @throws SheafError when it cannot listen there */
export async function startShuffleNode(options: ShuffleNodeOptions): Promise<ShuffleNode> {
  const jobs = new Map<string, JobShuffle>();
  const server = await ShuffleServer.start({
    host: options.host ?? "127.0.0.1",
    port: options.port ?? 0,
    names: options.names ?? [],
    tls: options.tls?.server ?? null,
    clock: options.clock,
    jobKey: (job) => jobs.get(job)?.shuffleKey ?? null,
    findOutput: (job) => (task, attempt) => jobs.get(job)?.outputs.find(task, attempt) ?? null,
    answersMax: ANSWERS_MAX,
    idleMs: IDLE_MS,
  });
  return new LocalShuffleNode(options, jobs, server);
}

class LocalShuffleNode implements ShuffleNode {
  readonly #options: ShuffleNodeOptions;
  readonly #jobs: Map<string, JobShuffle>;
  readonly #server: ShuffleServer;
  readonly #scheduler: FetchScheduler;

  constructor(options: ShuffleNodeOptions, jobs: Map<string, JobShuffle>, server: ShuffleServer) {
    this.#options = options;
    this.#jobs = jobs;
    this.#server = server;
    this.#scheduler = new FetchScheduler({
      limits: { ...fetchLimits, ...options.limits },
      clock: options.clock,
      random: options.random,
      tls: options.tls?.client ?? null,
    });
  }

  get address(): string {
    return this.#server.address;
  }

  prepared(prepared: ShuffleJob): void {
    let job = this.#jobs.get(prepared.job);
    if (job === undefined) {
      job = this.#begin(prepared);
      this.#jobs.set(prepared.job, job);
    }
    job.prepare(prepared);
  }

  add(job: string, output: MapOutput): void {
    this.#jobOf(job).outputs.add(output);
  }

  drop(job: string, task: number, attempt: number): void {
    this.#jobs.get(job)?.outputs.drop(task, attempt);
  }

  outputsGrew(job: string, version: number): void {
    this.#jobs.get(job)?.grew(version);
  }

  async inputs(question: ReduceQuestion): Promise<ReduceInputs> {
    return this.#jobOf(question.job).inputs(question);
  }

  damaged(job: string, path: string): boolean {
    return this.#jobs.get(job)?.damaged(path) ?? false;
  }

  reduceEnded(job: string, task: number): void {
    this.#jobs.get(job)?.reduceEnded(task);
  }

  async forget(job: string): Promise<void> {
    const known = this.#jobs.get(job);
    if (known === undefined) return;
    this.#jobs.delete(job);
    await Promise.all([known.close(), this.#server.cut(job)]);
  }

  jobs(): readonly string[] {
    return [...this.#jobs.values()].filter(({ outputs }) => outputs.size > 0).map(({ job }) => job);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#jobs.keys()].map((job) => this.forget(job)));
    await this.#scheduler.close();
    await this.#server.close();
  }

  #begin(prepared: ShuffleJob): JobShuffle {
    const { agent, outputs, log } = this.#options;
    const { job } = prepared;
    return new JobShuffle(prepared, {
      agent,
      incarnation: () => this.#options.incarnation(),
      read: (after, signal) => outputs(job, after, signal),
      unread: (error) => {
        if (this.#jobs.has(job))
          log("warn", "the list of map outputs cannot be read", { job, error: describeThrown(error) });
      },
      ready: (peer) => this.#scheduler.ready(peer),
    });
  }

  #jobOf(job: string): JobShuffle {
    const known = this.#jobs.get(job);
    if (known !== undefined) return known;
    throw new SheafError("NOT_FOUND", `the job ${job} is not prepared on this agent`, {
      hint: "It was forgotten meanwhile; what still runs of it is void.",
    });
  }
}
