import { warmWorker } from "../worker/warm-worker.ts";
import { startWorkerProcess } from "../worker/worker-process.ts";
import type { StartWorker, Worker, WorkerStart } from "../worker/worker.ts";

export interface WorkerProcessesOptions {
  readonly environment: Readonly<Record<string, string>>;
  /** Heap that the spare is started with: jobs that ask for another start their own. */
  readonly heapBytes: number | null;
  /** Starts a process. Default startWorkerProcess. */
  readonly start?: StartWorker;
}

/**
 * Starts the agent's worker processes, and keeps one started ahead, so that a slot that changes jobs need not
 * wait for the runtime. Each leads a process group: what user code has started ends with its worker.
 */
export class WorkerProcesses {
  readonly #options: WorkerProcessesOptions;
  #spare: { readonly take: StartWorker; readonly worker: Worker } | null = null;
  #closed = false;

  constructor(options: WorkerProcessesOptions) {
    this.#options = options;
  }

  /** Starts the spare process, unless there is one. */
  warm(): void {
    if (this.#closed || this.#spare !== null) return;
    let started: Worker | null = null;
    const take = warmWorker((start) => {
      started = this.#start({
        ...start,
        listener: {
          message: (message) => start.listener.message(message),
          exit: (exit) => {
            // A spare that is gone before anybody used it is nobody's failure.
            if (this.#spare?.worker === started) this.#spare = null;
            start.listener.exit(exit);
          },
        },
      });
      return started;
    }, this.#options.heapBytes);
    if (started !== null) this.#spare = { take, worker: started };
  }

  /** As StartWorker. */
  readonly start: StartWorker = (start) => {
    const spare = this.#spare;
    if (spare === null || start.heapBytes !== this.#options.heapBytes) return this.#start(start);
    this.#spare = null;
    setImmediate(() => this.warm());
    return spare.take(start);
  };

  /** Ends the spare; none is started any more. */
  close(): void {
    this.#closed = true;
    this.#spare?.worker.kill();
    this.#spare = null;
  }

  #start(start: WorkerStart): Worker {
    const { environment } = this.#options;
    return (this.#options.start ?? startWorkerProcess)({ ...start, environment, ownGroup: true });
  }
}
