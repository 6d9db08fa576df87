import { readFileSync } from "node:fs";
import { getHeapStatistics } from "node:v8";
import { MiB, formatSize } from "../base/size.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import { taskFailure } from "../worker/failure.ts";
import type { WorkerPool } from "../worker/pool.ts";
import { warmWorker } from "../worker/warm-worker.ts";
import { startWorkerProcess } from "../worker/worker-process.ts";
import type { StartWorker, Worker, WorkerStart } from "../worker/worker.ts";
import { parseResidentBytes } from "./utility.ts";

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

/**
 * Which job's worker is in which slot. Jobs have pools of their own, numbered by the agent's slots; all
 * together have no more workers than there are slots.
 */
export class WorkerSlots {
  readonly #owners = new Map<number, WorkerPool>();

  /** The slot is that pool's: another job's idle worker in it is ended first. */
  async take(slot: number, pool: WorkerPool): Promise<void> {
    const owner = this.#owners.get(slot);
    this.#owners.set(slot, pool);
    if (owner !== undefined && owner !== pool) await owner.kill(slot);
  }

  /** The pool has been closed: it owns no slot any more. */
  released(pool: WorkerPool): void {
    for (const [slot, owner] of this.#owners) if (owner === pool) this.#owners.delete(slot);
  }
}

/** What a process needs apart from the job's data: the runtime, code, buffers of files and pipes. */
const processBytes = 384 * MiB;

/** What a worker may have, and what that is made of. */
interface MemoryCap {
  readonly bytes: number;
  readonly says: string;
}

/**
 * @param memoryBytes the job's memory for data
 * @param heapBytes of its workers; null: Node's own limit
 * @param given what the agent allows whatever the job says, null for nothing
 */
export function memoryCap(memoryBytes: number, heapBytes: number | null, given: number | null): MemoryCap {
  if (given !== null) return { bytes: given, says: "what the agent gives each worker (--worker-memory)" };
  const heap = heapBytes ?? getHeapStatistics().heap_size_limit;
  const parts = [`--memory ${formatSize(memoryBytes)}`, `--heap ${formatSize(heap)}`];
  const says = `${parts.join(" and ")} and ${formatSize(processBytes)} for the process`;
  return { bytes: memoryBytes + heap + processBytes, says };
}

/** Memory the process has in use, bytes; null when it is gone or the system does not tell. */
export function residentBytes(pid: number): number | null {
  try {
    return parseResidentBytes(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return null;
  }
}

/** How an attempt ends whose worker has more than the cap. */
export function overCap(bytes: number, cap: MemoryCap, phase: string, log: readonly string[]): TaskFailure {
  const [has, may] = [formatSize(bytes), formatSize(cap.bytes)];
  const message = `the worker's memory grew to ${has}, above ${may}: ${cap.says}`;
  return taskFailure("OUT_OF_MEMORY", message, {
    phase,
    log,
    hint:
      "User code keeps too much, in large buffers perhaps: let values stream instead of collecting them, or " +
      "raise --memory, --heap or the agent's --worker-memory.",
  });
}
