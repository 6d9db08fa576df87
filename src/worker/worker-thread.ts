import { MessageChannel, Worker as Thread, receiveMessageOnPort } from "node:worker_threads";
import type { MessagePort } from "node:worker_threads";
import { describeThrown } from "../base/errors.ts";
import { builtUrl } from "../base/package-places.ts";
import { MiB } from "../base/size.ts";
import { PROGRESS_BYTES } from "../task/task-spec.ts";
import { endProcess } from "./end-group.ts";
import type { ToWorker } from "./messages.ts";
import type { Worker, WorkerExit, WorkerStart } from "./worker.ts";

/** What worker-entry.ts is started with. */
export interface WorkerThreadData {
  readonly board: SharedArrayBuffer;
  /** Messages go through a port that only the entry knows: user code can find `parentPort`. */
  readonly port: MessagePort;
  /** Of processes that user code starts: the id of one that has begun, and minus it when it has ended. */
  readonly processes: MessagePort;
}

/** Starts a worker thread; its half is worker-entry.ts. */
export function startWorkerThread(start: WorkerStart): Worker {
  const shared = new SharedArrayBuffer(PROGRESS_BYTES);
  const { port1: port, port2 } = new MessageChannel();
  const { port1: started, port2: processes } = new MessageChannel();
  const data: WorkerThreadData = { board: shared, port: port2, processes };
  const thread = new Thread(new URL("worker/worker-entry.js", builtUrl), {
    workerData: data,
    transferList: [port2, processes],
    name: "sheaf-worker",
    // What user code prints is captured inside; these only catch what the runtime itself prints.
    stdout: true,
    stderr: true,
    ...(start.heapBytes === null
      ? {}
      : { resourceLimits: { maxOldGenerationSizeMb: Math.ceil(start.heapBytes / MiB) } }),
  });
  let exit: WorkerExit = { code: null, signal: null, outOfMemory: false, message: null };
  port.on("message", (message: unknown) => start.listener.message(message));
  const running = new Set<number>();
  const note = (id: unknown): void => {
    if (!Number.isSafeInteger(id)) return;
    if ((id as number) > 1) running.add(id as number);
    else running.delete(-(id as number));
  };
  started.on("message", note);
  started.unref();
  // The thread itself keeps this process going, for as long as it runs.
  port.unref();
  thread.on("error", (error: unknown) => {
    const outOfMemory =
      error instanceof Error && "code" in error && error.code === "ERR_WORKER_OUT_OF_MEMORY";
    exit = { ...exit, outOfMemory, message: describeThrown(error) };
  });
  thread.on("exit", (code) => {
    for (let last = receiveMessageOnPort(port); last !== undefined; last = receiveMessageOnPort(port)) {
      start.listener.message(last.message);
    }
    port.close();
    for (let last = receiveMessageOnPort(started); last !== undefined; last = receiveMessageOnPort(started)) {
      note(last.message);
    }
    started.close();
    for (const id of running) endProcess(id);
    start.listener.exit({ ...exit, code });
  });
  return {
    board: new Float64Array(shared),
    send: (message: ToWorker) => port.postMessage(message),
    kill: () => void thread.terminate(),
  };
}
