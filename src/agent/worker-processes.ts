import { warmWorker } from "../worker/warm-worker.ts";
import { startWorkerProcess } from "../worker/worker-process.ts";
import type { StartWorker, Worker, WorkerStart } from "../worker/worker.ts";

export interface WorkerProcessesOptions {
  readonly environment: Readonly<Record<string, string>>;
  /** Heap that spares are started with: jobs that ask for another start their own. */
  readonly heapBytes: number | null;
  /** Attempts run at a time: there are never more processes than this and one more. */
  readonly slots: number;
  /** Starts a process. Default startWorkerProcess. */
  readonly start?: StartWorker;
}

interface Spare {
  readonly take: StartWorker;
  readonly worker: Worker;
}

/** An idle agent has no more processes than this waiting, of some 45 MB each. */
const sparesMax = 4;

/**
 * Starts the agent's worker processes, and keeps some started ahead, so that slots that get a job, or change
 * jobs, need not wait for the runtime. Each leads a process group: what user code has started ends with its
 * worker.
 */
export class WorkerProcesses {
  readonly #options: WorkerProcessesOptions;
  readonly #spares = new Set<Spare>();
  #alive = 0;
  #closed = false;

  constructor(options: WorkerProcessesOptions) {
    this.#options = options;
  }

  /** Processes there are, spares included. */
  get alive(): number {
    return this.#alive;
  }

  /** Starts spares as far as there is room for them. */
  warm(): void {
    const { slots } = this.#options;
    while (!this.#closed && this.#alive <= slots && this.#spares.size < Math.min(slots, sparesMax)) {
      this.#warmOne();
    }
  }

  /** As StartWorker. */
  readonly start: StartWorker = (start) => {
    setImmediate(() => this.warm());
    const spare =
      start.heapBytes === this.#options.heapBytes ? this.#spares.values().next().value : undefined;
    if (spare !== undefined) {
      this.#spares.delete(spare);
      return spare.take(start);
    }
    if (this.#alive > this.#options.slots) this.#endOne();
    return this.#start(start);
  };

  /** Ends the spares; none is started any more. */
  close(): void {
    this.#closed = true;
    while (this.#spares.size > 0) this.#endOne();
  }

  #endOne(): void {
    const spare = this.#spares.values().next().value;
    if (spare === undefined) return;
    this.#spares.delete(spare);
    spare.worker.kill();
  }

  #warmOne(): void {
    let spare: Spare | null = null;
    let worker: Worker | null = null;
    const take = warmWorker((start) => {
      worker = this.#start({
        ...start,
        listener: {
          message: (message) => start.listener.message(message),
          broken: (error) => start.listener.broken(error),
          exit: (exit) => {
            // One that is gone before anybody used it is nobody's failure.
            if (spare !== null) this.#spares.delete(spare);
            start.listener.exit(exit);
          },
        },
      });
      return worker;
    }, this.#options.heapBytes);
    spare = { take, worker: worker! };
    this.#spares.add(spare);
  }

  #start(start: WorkerStart): Worker {
    const { environment } = this.#options;
    this.#alive++;
    const { listener: told } = start;
    const listener: WorkerStart["listener"] = {
      message: (message) => told.message(message),
      broken: (error) => told.broken(error),
      exit: (reason) => {
        this.#alive--;
        told.exit(reason);
      },
    };
    return (this.#options.start ?? startWorkerProcess)({ ...start, environment, listener });
  }
}
