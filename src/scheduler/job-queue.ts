import type { JobState } from "./job-state.ts";

/**
 * The jobs that have READY tasks, least served first: by running attempts per weight, then by submission. An
 * indexed heap: each job knows its place, so a changed share is put right in O(log n).
 */
export class JobQueue {
  readonly #jobs: JobState[] = [];

  /** To be called whenever the job's ready tasks, running attempts or status have changed. */
  update(job: JobState): void {
    const wanted = job.ready > 0 && job.status.kind === "RUNNING";
    if (wanted && job.queueAt < 0) {
      job.queueAt = this.#jobs.length;
      this.#jobs.push(job);
    }
    if (job.queueAt < 0) return;
    if (wanted) this.#settle(job.queueAt);
    else this.#remove(job);
  }

  /**
   * The first answer of `choose` that is not undefined, asking jobs in order. `choose` must not change the
   * queue.
   */
  find<T>(choose: (job: JobState) => T | undefined): T | undefined {
    const passed: JobState[] = [];
    let found: T | undefined;
    for (let job = this.#jobs[0]; job !== undefined; job = this.#jobs[0]) {
      found = choose(job);
      if (found !== undefined) break;
      this.#remove(job);
      passed.push(job);
    }
    for (const job of passed) this.update(job);
    return found;
  }

  #remove(job: JobState): void {
    const at = job.queueAt;
    const moved = this.#jobs.pop()!;
    job.queueAt = -1;
    if (moved === job) return;
    this.#put(moved, at);
    this.#settle(at);
  }

  #put(job: JobState, at: number): void {
    this.#jobs[at] = job;
    job.queueAt = at;
  }

  #settle(start: number): void {
    const jobs = this.#jobs;
    const job = jobs[start]!;
    let at = start;
    while (at > 0 && before(job, jobs[(at - 1) >> 1]!)) {
      this.#put(jobs[(at - 1) >> 1]!, at);
      at = (at - 1) >> 1;
    }
    for (;;) {
      let child = 2 * at + 1;
      if (child >= jobs.length) break;
      if (child + 1 < jobs.length && before(jobs[child + 1]!, jobs[child]!)) child++;
      if (!before(jobs[child]!, job)) break;
      this.#put(jobs[child]!, at);
      at = child;
    }
    this.#put(job, at);
  }
}

function before(a: JobState, b: JobState): boolean {
  const difference = a.running / a.weight - b.running / b.weight;
  return difference < 0 || (difference === 0 && a.sequence < b.sequence);
}
