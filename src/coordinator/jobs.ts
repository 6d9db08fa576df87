import { rm } from "node:fs/promises";
import { join } from "node:path";
import { SheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { matchesWildcard } from "../base/wildcard.ts";
import type { JobStateText, JobSummary, JobView } from "../protocol/job-view.ts";
import type { Submission } from "../protocol/submission.ts";
import type { ClusterJob } from "./cluster-job.ts";
import type { EndedJob, SubmissionRow } from "./job-row.ts";
import type { JobFilter } from "./service.ts";
import type { StateStore } from "./store.ts";

const summaryFields = [
  "job",
  "name",
  "state",
  "submitter",
  "host",
  "group",
  "project",
  "priority",
  "code",
  "attached",
  "submitTime",
  "startTime",
  "endTime",
  "elapsedMs",
  "mapTasks",
  "reduceTasks",
  "fraction",
  "waitingFor",
  "exception",
] as const;

/**
 * Every job that is known: those that live, with all there is of them, and those that have ended, briefly.
 */
export class Jobs {
  readonly #store: StateStore;
  readonly #directory: string;
  readonly #live = new Map<string, ClusterJob>();
  /** By id, oldest first. */
  readonly #ended = new Map<string, JobSummary>();
  readonly #byKey = new Map<string, string>();
  /** Of ended jobs that are kept for a time of their own: until then, by the wall clock. */
  readonly #keptUntilMs = new Map<string, number>();
  /** Jobs whose bundles stay when they are no longer kept. */
  readonly #keepsBundle = new Set<string>();
  /** Blobs of jobs that are no longer kept, the earliest first. */
  readonly #keptBundles: Map<string, readonly string[]>;
  /** Of ended jobs that have succeeded in all of their tasks. */
  readonly #onceKeys = new Map<string, string>();
  /** By what will need them. */
  readonly #pinned = new Map<string, readonly string[]>();
  /** Blobs the kept jobs name. */
  readonly #blobs = new Map<string, ReadonlySet<string>>();

  constructor(store: StateStore, stateDirectory: string) {
    this.#store = store;
    this.#directory = join(stateDirectory, "jobs");
    const rows = [...store.all("bundles")].sort((a, b) => (a.key < b.key ? -1 : 1));
    this.#keptBundles = new Map(rows.map(({ key, text }) => [key, JSON.parse(text) as string[]]));
  }

  add(job: ClusterJob): void {
    this.#live.set(job.id, job);
    this.#named({ job: job.id, idempotencyKey: job.idempotencyKey, submission: job.submission });
  }

  addEnded(view: JobView, onceKey: string | null, submission: SubmissionRow): void {
    this.#setEnded(view, onceKey);
    this.#named(submission);
  }

  /** The job has ended, which is durable. */
  ended(job: ClusterJob, view: JobView): void {
    this.#live.delete(job.id);
    this.#setEnded(view, job.row.onceKey);
  }

  #setEnded(view: JobView, onceKey: string | null): void {
    this.#ended.set(view.job, briefly(view));
    if (view.keptUntil !== undefined) this.#keptUntilMs.set(view.job, Date.parse(view.keptUntil));
    if (view.state === "SUCCEEDED" && view.failedTasks.length === 0 && onceKey !== null)
      this.#onceKeys.set(view.job, onceKey);
  }

  /** Ended jobs that have done what has this key, the latest first. */
  *sameAs(onceKey: string): Generator<EndedJob> {
    for (const [job, key] of [...this.#onceKeys].toReversed()) if (key === onceKey) yield this.findEnded(job);
  }

  /** The job submitted under this key before. */
  byKey(key: string): string | undefined {
    return this.#byKey.get(key);
  }

  live(): Iterable<ClusterJob> {
    return this.#live.values();
  }

  get liveCount(): number {
    return this.#live.size;
  }

  get(id: string): ClusterJob | undefined {
    return this.#live.get(id);
  }

  /** null: no such job is kept. */
  stateOf(id: string): JobStateText | null {
    return this.#live.get(id)?.row.state ?? this.#ended.get(id)?.state ?? null;
  }

  isEnded(id: string): boolean {
    return this.#ended.has(id);
  }

  /** @throws SheafError NOT_FOUND */
  findEnded(id: string): EndedJob {
    const text = this.#ended.has(id) ? this.#store.get("views", id) : null;
    if (text !== null) return JSON.parse(text) as EndedJob;
    throw new SheafError("NOT_FOUND", `no job "${id.slice(0, 120)}" is kept`, {
      hint: "`sheaf jobs` lists the jobs that are kept.",
    });
  }

  /** Newest first. */
  list(
    filter: JobFilter,
    summaryOf: (job: ClusterJob) => JobSummary,
  ): { jobs: JobSummary[]; truncated: boolean } {
    const limit = filter.limit ?? 100;
    const fits = (one: JobSummary): boolean =>
      (filter.name === undefined || one.name === filter.name) &&
      (filter.pattern === undefined || matchesWildcard(filter.pattern, one.name)) &&
      (filter.state === undefined || one.state === filter.state) &&
      (filter.group === undefined || one.group === filter.group) &&
      (filter.project === undefined || one.project === filter.project);
    const all = [...this.#ended.values(), ...[...this.#live.values()].map(summaryOf)].filter(fits);
    all.sort((a, b) =>
      a.submitTime === b.submitTime ? (a.job < b.job ? 1 : -1) : a.submitTime < b.submitTime ? 1 : -1,
    );
    return { jobs: all.slice(0, limit), truncated: all.length > limit };
  }

  /** Forgets the jobs whose time is over, and of the others those that ended first, beyond those kept. */
  prune(keep: number, nowMs: number, after: (work: () => void) => void): void {
    const over = [...this.#keptUntilMs].filter(([, untilMs]) => untilMs <= nowMs).map(([job]) => job);
    const others = [...this.#ended.values()].filter(({ job }) => !this.#keptUntilMs.has(job));
    const endOf = ({ endTime }: JobSummary): string => endTime ?? "";
    const surplus = Math.max(0, others.length - keep);
    if (surplus > 0) others.sort((a, b) => (endOf(a) < endOf(b) ? -1 : 1));
    for (const job of [...over, ...others.slice(0, surplus).map((one) => one.job)]) {
      if (this.#keepsBundle.has(job)) this.#keepBundle(job);
      this.forget(job, after);
    }
  }

  /** All that is kept of a job that has ended goes, its files when the rows are gone. */
  forget(job: string, after: (work: () => void) => void): void {
    this.#ended.delete(job);
    this.#keptUntilMs.delete(job);
    this.#keepsBundle.delete(job);
    this.#onceKeys.delete(job);
    this.#blobs.delete(job);
    for (const [key, id] of this.#byKey) if (id === job) this.#byKey.delete(key);
    this.#store.forget(job);
    after(() => {
      const options = { recursive: true, force: true, maxRetries: 3 };
      rm(join(this.#directory, job), options).catch(() => undefined);
    });
  }

  #keepBundle(job: string): void {
    const blobs = [...(this.#blobs.get(job) ?? [])];
    this.#keptBundles.set(job, blobs);
    this.#store.put("bundles", job, JSON.stringify(blobs));
    for (const oldest of this.#keptBundles.keys()) {
      if (this.#keptBundles.size <= limits.bundlesKept) return;
      this.#keptBundles.delete(oldest);
      this.#store.put("bundles", oldest, null);
    }
  }

  /** Keeps blobs for something that is no job yet; null: no more. */
  pin(name: string, blobs: readonly string[] | null): void {
    if (blobs === null) this.#pinned.delete(name);
    else this.#pinned.set(name, blobs);
  }

  usedBlobs(): Set<string> {
    const all = [this.#blobs, this.#keptBundles, this.#pinned].flatMap((map) => [...map.values()]);
    return new Set(all.flatMap((some) => [...some]));
  }

  directoryOf(id: string): string {
    return join(this.#directory, id);
  }

  #named({ job, idempotencyKey, submission }: SubmissionRow): void {
    if (submission.keepBundle === true) this.#keepsBundle.add(job);
    this.#byKey.set(idempotencyKey, job);
    this.#blobs.set(job, new Set(blobsOf(submission)));
  }
}

/** All that a submission names. */
export function blobsOf({ bundle, sourceMap, aux, files = [] }: Submission): string[] {
  return [bundle, ...(sourceMap === null ? [] : [sourceMap]), ...[...aux, ...files].map(({ blob }) => blob)];
}

export function briefly(view: JobView): JobSummary {
  return Object.fromEntries(summaryFields.map((field) => [field, view[field]])) as unknown as JobSummary;
}
