import { BinaryHeap } from "./heap.ts";

/** What a task needs to stand in a ReadyQueue. */
interface QueuedTask {
  readonly order: number;
  readonly pinned: readonly string[];
  readonly preferred: readonly string[];
  readonly state: { readonly kind: string };
  readonly lastFailedNode: string | null;
  /** True while it stands in one. */
  queued: boolean;
}

/**
 * The READY tasks of one job, in task order: one heap for all that may run anywhere, one per node for those
 * pinned to it or near it. A task stands in several heaps; entries whose task is READY no more are dropped
 * when they come up.
 */
export class ReadyQueue<T extends QueuedTask> {
  readonly #anywhere = newHeap<T>();
  readonly #near = new Map<string, BinaryHeap<T>>();

  add(task: T): void {
    if (task.queued) return;
    task.queued = true;
    for (const node of task.pinned) this.#heapOf(node).push(task);
    if (task.pinned.length > 0) return;
    for (const node of task.preferred) this.#heapOf(node).push(task);
    this.#anywhere.push(task);
  }

  /**
   * The best READY task for the node: near it if there is one. With `avoid`, rather not one that failed there
   * last (with a single node that would only put off the failure). The task stays in the queue.
   */
  peek(node: string, avoid: boolean): T | undefined {
    const near = this.#near.get(node);
    const nearest = near && firstFor(near, node, avoid);
    if (near?.size === 0) this.#near.delete(node);
    return nearest ?? firstFor(this.#anywhere, node, avoid);
  }

  /** How many READY tasks the node may run, but no more than `most`. At worst it looks at all of them. */
  count(node: string, most: number): number {
    const found = new Set<T>();
    for (const heap of [this.#near.get(node), this.#anywhere]) {
      for (const task of heap?.items ?? []) {
        if (found.size >= most) return found.size;
        if (task.state.kind === "READY") found.add(task);
      }
    }
    return found.size;
  }

  #heapOf(node: string): BinaryHeap<T> {
    let heap = this.#near.get(node);
    if (heap === undefined) this.#near.set(node, (heap = newHeap<T>()));
    return heap;
  }
}

function newHeap<T extends QueuedTask>(): BinaryHeap<T> {
  return new BinaryHeap<T>((a, b) => a.order < b.order);
}

function firstFor<T extends QueuedTask>(heap: BinaryHeap<T>, node: string, avoid: boolean): T | undefined {
  const task = firstReady(heap);
  if (!avoid || task?.lastFailedNode !== node) return task;
  heap.pop();
  const other = firstReady(heap);
  heap.push(task);
  return other === undefined || other.lastFailedNode === node ? task : other;
}

function firstReady<T extends QueuedTask>(heap: BinaryHeap<T>): T | undefined {
  for (;;) {
    const task = heap.peek();
    if (task === undefined || task.state.kind === "READY") return task;
    heap.pop();
    task.queued = false;
  }
}

/** What a job needs to stand in a JobQueue. */
interface QueuedJob {
  readonly sequence: number;
  readonly weight: number;
  readonly ready: number;
  readonly running: number;
  readonly status: { readonly kind: string };
  /** Its place, -1 while it stands in none. */
  queueAt: number;
}

/**
 * The jobs that have READY tasks, least served first: by running attempts per weight, then by submission. An
 * indexed heap: each job knows its place, so a changed share is put right in O(log n).
 */
export class JobQueue<J extends QueuedJob> {
  readonly #jobs: J[] = [];

  /** To be called whenever the job's ready tasks, running attempts or status have changed. */
  update(job: J): void {
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
  find<T>(choose: (job: J) => T | undefined): T | undefined {
    const passed: J[] = [];
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

  #remove(job: J): void {
    const at = job.queueAt;
    const moved = this.#jobs.pop()!;
    job.queueAt = -1;
    if (moved === job) return;
    this.#put(moved, at);
    this.#settle(at);
  }

  #put(job: J, at: number): void {
    this.#jobs[at] = job;
    job.queueAt = at;
  }

  #settle(start: number): void {
    const jobs = this.#jobs;
    const job = jobs[start]!;
    let at = start;
    while (at > 0 && isServedBefore(job, jobs[(at - 1) >> 1]!)) {
      this.#put(jobs[(at - 1) >> 1]!, at);
      at = (at - 1) >> 1;
    }
    for (;;) {
      let child = 2 * at + 1;
      if (child >= jobs.length) break;
      if (child + 1 < jobs.length && isServedBefore(jobs[child + 1]!, jobs[child]!)) child++;
      if (!isServedBefore(jobs[child]!, job)) break;
      this.#put(jobs[child]!, at);
      at = child;
    }
    this.#put(job, at);
  }
}

function isServedBefore(a: QueuedJob, b: QueuedJob): boolean {
  const difference = a.running / a.weight - b.running / b.weight;
  return difference < 0 || (difference === 0 && a.sequence < b.sequence);
}
