import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { SheafError, describeThrown, isSheafError } from "../base/errors.ts";
import { fromWireValue } from "../base/wire-json.ts";
import { runnableBundle } from "../bundle/portable-bundle.ts";
import { auxCopies } from "../engine/aux-files.ts";
import { checkFileName, copyJobFiles, type FoundFile } from "../engine/job-files.ts";
import type { ShuffleNode } from "../exchange/shuffle-node.ts";
import type { Preparation } from "../protocol/task-messages.ts";
import { type AttemptRef, formatAttempt } from "../scheduler/ids.ts";
import { checkId } from "../security/ids.ts";
import { ContentChecks } from "../storage/content-check.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { splitAddress } from "../storage/store.ts";
import type { JobSettings } from "../task/task-spec.ts";
import { WorkerPool } from "../worker/pool.ts";
import type { PoolListener } from "../worker/pool.ts";
import type { StartWorker } from "../worker/worker.ts";
import type { AgentDirectory } from "./agent-directory.ts";
import type { LifeWorld } from "./agent-options.ts";
import type { BlobStore } from "./blob-store.ts";
import { KeptMaps } from "./kept-maps.ts";
import { stagingOf } from "./staging.ts";
import type { WorkerSlots } from "./worker-processes.ts";

/** A job as it is prepared on this machine. */
export interface NodeJob {
  readonly job: string;
  readonly directory: string;
  readonly pool: WorkerPool;
  /** What its workers load, and what has to be in it. */
  readonly code: { readonly path: string; readonly sha256: string };
  /** Heap of its workers; null: Node's own limit. */
  readonly heapBytes: number | null;
  /** The newest there is. */
  preparation: Preparation;
}

export interface NodeJobsOptions {
  readonly world: LifeWorld;
  readonly directory: AgentDirectory;
  readonly blobs: BlobStore;
  readonly shuffle: ShuffleNode;
  readonly slots: WorkerSlots;
  readonly startWorker: StartWorker;
  /** Heap of workers of jobs that do not say. */
  readonly heapBytes: number | null;
  listener(job: string): PoolListener;
}

interface Entry {
  readonly ready: Promise<NodeJob>;
  /** Of its settings, when it is ready. */
  version: number;
}

/**
 * The jobs this machine works for. Each is prepared once: code and side data are fetched, a pool of workers
 * waits for the first attempt.
 */
export class NodeJobs {
  readonly #options: NodeJobsOptions;
  readonly #jobs = new Map<string, Entry>();
  readonly #forgetting = new Map<string, Promise<void>>();
  readonly #checks = new ContentChecks();
  readonly kept = new KeptMaps();

  constructor(options: NodeJobsOptions) {
    this.#options = options;
  }

  /** Jobs of which there is something on this machine. */
  ids(): string[] {
    return [...this.#jobs.keys()];
  }

  /**
   * The job with settings of at least that version; its code and side data on this disk are what they were.
   * @throws SheafError NOT_FOUND when the coordinator does not know it (any more); what fetching throws
   */
  async prepare(job: string, version: number): Promise<NodeJob> {
    checkId("job", job);
    await this.#forgetting.get(job);
    const known = this.#jobs.get(job);
    if (known === undefined) return this.#keep(job, { version, ready: this.#prepareFirst(job) }, null);
    if (known.version >= version) return known.ready.then((ready) => this.#mended(ready));
    const ready = known.ready.then((before) => this.#prepareAgain(before));
    return this.#keep(job, { version, ready }, known);
  }

  /** Ends the job's workers and removes all it has here. */
  async forget(job: string): Promise<void> {
    const known = this.#jobs.get(job);
    if (known === undefined) return;
    this.#jobs.delete(job);
    const done = this.#remove(job, known.ready);
    this.#forgetting.set(job, done);
    await done.finally(() => this.#forgetting.delete(job));
  }

  /** Removes what an attempt wrote, here and beside a shared output. Never throws. */
  async discard(ref: AttemptRef): Promise<void> {
    const { roots, log } = this.#options.world;
    const prepared = await this.#jobs.get(ref.job)?.ready.catch(() => null);
    if (prepared === null || prepared === undefined) return;
    const name = formatAttempt(ref);
    const places = [join(prepared.directory, "attempts", name)];
    const { output } = prepared.preparation;
    try {
      // What it has uploaded to a storage goes when the job ends.
      if (output.kind === "shared" && splitAddress(output.path) === null) {
        places.push(join((await stagingOf(output.path, ref.job, roots)).attempts, name));
      }
      for (const place of places) await rm(place, { recursive: true, force: true, maxRetries: 3 });
    } catch (error) {
      const message = `cannot remove what ${name} wrote: ${describeThrown(error)}`;
      log("warn", message, { job: ref.job });
    }
  }

  async forgetAll(): Promise<void> {
    await Promise.all(this.ids().map((job) => this.forget(job)));
  }

  /** Only a preparation that succeeds is kept: the next attempt tries again. */
  #keep(job: string, entry: Entry, before: Entry | null): Promise<NodeJob> {
    this.#jobs.set(job, entry);
    entry.ready.then(
      ({ preparation }) => (entry.version = Math.max(entry.version, preparation.version)),
      () => {
        if (this.#jobs.get(job) !== entry) return;
        if (before === null) this.#jobs.delete(job);
        else this.#jobs.set(job, before);
      },
    );
    return entry.ready;
  }

  async #prepareFirst(job: string): Promise<NodeJob> {
    const { directory: agentDirectory, startWorker, world } = this.#options;
    const directory = agentDirectory.jobPath(job);
    try {
      const preparation = await this.#fetch(job);
      const heapBytes = preparation.heapBytes ?? this.#options.heapBytes;
      try {
        await mkdir(join(directory, "attempts"), { recursive: true, mode: 0o700 });
      } catch (error) {
        throw asSheafError(error, { path: directory, doing: "create" });
      }
      const code = await this.#placeCode(directory, preparation);
      const settings = await this.#settingsOf(preparation, directory);
      const pool = new WorkerPool({
        startWorker,
        isolation: "process",
        heapBytes,
        noProgressMs: preparation.noProgressMs,
        clock: world.clock,
        storage: world.storage,
        listener: this.#options.listener(job),
      });
      pool.stores(world.stores);
      pool.loads(pathToFileURL(code.path).href);
      pool.settings(settings);
      this.#tellShuffle(job, directory, preparation);
      return { job, directory, pool, code, heapBytes, preparation };
    } catch (error) {
      await agentDirectory.removeJob(job);
      throw error;
    }
  }

  /** Only settings change while a job runs: its code and side data are what its id stands for. */
  async #prepareAgain(before: NodeJob): Promise<NodeJob> {
    const preparation = await this.#fetch(before.job);
    before.pool.settings(await this.#settingsOf(preparation, before.directory));
    before.preparation = preparation;
    this.#tellShuffle(before.job, before.directory, preparation);
    return before;
  }

  #fetch(job: string): Promise<Preparation> {
    const { api, agent, signal } = this.#options.world;
    return api.preparation(job, agent, { signal });
  }

  #tellShuffle(job: string, directory: string, preparation: Preparation): void {
    const { shuffleKey, maps, expected } = preparation;
    this.#options.shuffle.prepared({ job, directory, shuffleKey, maps, expected });
  }

  /** Workers that start later read them then: what was damaged meanwhile is put in its place again. */
  async #mended(job: NodeJob): Promise<NodeJob> {
    const { code, directory, preparation } = job;
    for (const { blob } of preparation.aux) await this.#options.blobs.path(blob);
    if (!(await this.#checks.isSound(code.path, code.sha256).catch(() => false))) {
      this.#options.world.log("warn", `${code.path} is damaged and is made again`, { job: job.job });
      await this.#placeCode(directory, preparation);
    }
    return job;
  }

  async #placeCode(directory: string, { bundle }: Preparation): Promise<NodeJob["code"]> {
    const blob = await this.#options.blobs.path(bundle);
    const path = join(directory, "job.mjs");
    const temporary = join(directory, `job-${randomBytes(6).toString("hex")}.tmp`);
    try {
      const code = runnableBundle(await readFile(blob, "utf8"));
      await writeFile(temporary, code, { mode: 0o600 });
      // A worker that starts just now reads the one or the other.
      await rename(temporary, path);
      this.#checks.made(path);
      return { path, sha256: createHash("sha256").update(code).digest("hex") };
    } catch (error) {
      if (isSheafError(error)) throw lackOf(this.#options.world.agent, error);
      throw asSheafError(error, { path, doing: "write" });
    }
  }

  async #settingsOf(preparation: Preparation, directory: string): Promise<JobSettings> {
    const { job, name, settings } = preparation;
    const found: FoundFile[] = [];
    for (const file of preparation.files ?? []) {
      const path = await this.#options.blobs.path(file.blob);
      found.push({ name: checkFileName(file.name), path, mode: file.mode });
    }
    const files = await copyJobFiles(found, join(directory, "files"), false);
    const { aux, auxSources = [] } = preparation;
    const auxFiles = await auxCopies(auxSources, aux, (blob) => this.#options.blobs.path(blob));
    return { ...(fromWireValue(settings) as JobSettings), jobId: job, name, auxFiles, files };
  }

  async #remove(job: string, ready: Promise<NodeJob>): Promise<void> {
    const prepared = await ready.catch(() => null);
    if (prepared !== null) {
      await prepared.pool.close();
      this.#options.slots.released(prepared.pool);
    }
    await this.#options.shuffle.forget(job);
    await this.#options.directory.removeJob(job);
  }
}

/** Says which of the machines it is that lacks something. */
function lackOf(agent: string, { code, message, hint, details }: SheafError): SheafError {
  return new SheafError(code, `agent ${agent}: ${message}`, { hint: hint ?? "", details });
}
