import type { HostJob, HostListener } from "../host-engine.ts";
import type { SparkJobEnd, JobOrder, SparkApplication } from "./run-application.ts";

/** For so long an application waits for the next job; what it holds of the cluster others may need. */
const IDLE_MS = 60_000;

/**
 * The applications of one pipeline, or of one job. A job goes to the one that was started with the same
 * words, if there is one: nothing of these can be changed while it runs.
 */
export class SparkApplications {
  readonly #start: (words: readonly string[]) => SparkApplication;
  readonly #idleMs: number;
  readonly #all = new Map<SparkApplication, string>();
  readonly #timers = new Map<SparkApplication, NodeJS.Timeout>();
  /** How many are at work that may have a job soon. */
  #keeping = 0;

  /** @param start starts one, by the words for spark-submit */
  constructor(start: (words: readonly string[]) => SparkApplication, idleMs = IDLE_MS) {
    this.#start = start;
    this.#idleMs = idleMs;
  }

  /** @throws SheafError PROGRAM_UNUSABLE when there is no application at all */
  async run(
    words: readonly string[],
    job: HostJob,
    order: JobOrder,
    listener: HostListener,
    signal: AbortSignal,
  ): Promise<Exclude<SparkJobEnd, { readonly kind: "untaken" }>> {
    const key = words.join("\0");
    for (;;) {
      if (signal.aborted) return { kind: "cancelled" };
      const all = [...this.#all];
      let application = all.find(([one, its]) => its === key && one.isOpen)?.[0];
      const idle = all.filter(([one]) => one.isIdle).map(([one]) => one);
      if (application === undefined && idle.length > 0) {
        // One that has all of a cluster and nothing to do would keep this one waiting.
        await Promise.all(idle.map((one) => this.#close(one)));
        continue;
      }
      application ??= this.#started(key, words);
      clearTimeout(this.#timers.get(application));
      try {
        const end = await application.run(job, order, listener, signal);
        if (end.kind !== "untaken") return end;
      } finally {
        this.#rests(application);
      }
    }
  }

  /** While that is at work, none ends because there is no job for it. */
  async keep<T>(work: () => Promise<T>): Promise<T> {
    this.#keeping++;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    try {
      return await work();
    } finally {
      this.#keeping--;
      for (const one of this.#all.keys()) this.#rests(one);
    }
  }

  /** Ends all of them. */
  async close(): Promise<void> {
    await Promise.all([...this.#all.keys()].map((one) => this.#close(one)));
  }

  #started(key: string, words: readonly string[]): SparkApplication {
    const application = this.#start(words);
    this.#all.set(application, key);
    const gone = (): void => this.#forget(application);
    application.over.then(gone, gone);
    return application;
  }

  #rests(application: SparkApplication): void {
    if (!application.isIdle || !application.isOpen) return;
    if (this.#all.size > 1) return void this.#close(application);
    if (this.#keeping > 0) return;
    clearTimeout(this.#timers.get(application));
    this.#timers.set(
      application,
      setTimeout(() => void this.#close(application), this.#idleMs),
    );
  }

  async #close(application: SparkApplication): Promise<void> {
    clearTimeout(this.#timers.get(application));
    await application.close();
    this.#forget(application);
  }

  #forget(application: SparkApplication): void {
    clearTimeout(this.#timers.get(application));
    this.#timers.delete(application);
    this.#all.delete(application);
  }
}
