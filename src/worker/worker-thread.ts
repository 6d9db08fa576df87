import { Worker as Thread } from "node:worker_threads";
import { describeThrown } from "../base/errors.ts";
import { MiB } from "../base/size.ts";
import { PROGRESS_BYTES } from "../task/task-spec.ts";
import type { FromWorker, ToWorker } from "./messages.ts";
import type { Worker, WorkerExit, WorkerStart } from "./worker.ts";

/** What worker-entry.ts is started with. */
export interface WorkerThreadData {
  readonly board: SharedArrayBuffer;
}

/** Starts a worker thread; its half is worker-entry.ts. */
export function startWorkerThread(start: WorkerStart): Worker {
  const shared = new SharedArrayBuffer(PROGRESS_BYTES);
  const data: WorkerThreadData = { board: shared };
  const thread = new Thread(new URL("./worker-entry.js", import.meta.url), {
    workerData: data,
    name: "sheaf-worker",
    // What user code prints is captured inside; these only catch what the runtime itself prints.
    stdout: true,
    stderr: true,
    ...(start.heapBytes === null
      ? {}
      : { resourceLimits: { maxOldGenerationSizeMb: Math.ceil(start.heapBytes / MiB) } }),
  });
  let exit: WorkerExit = { code: null, signal: null, outOfMemory: false, message: null };
  thread.on("message", (message: FromWorker) => start.listener.message(message));
  thread.on("error", (error: unknown) => {
    const outOfMemory =
      error instanceof Error && "code" in error && error.code === "ERR_WORKER_OUT_OF_MEMORY";
    exit = { ...exit, outOfMemory, message: describeThrown(error) };
  });
  thread.on("exit", (code) => start.listener.exit({ ...exit, code }));
  return {
    board: new Float64Array(shared),
    send: (message: ToWorker) => thread.postMessage(message),
    kill: () => void thread.terminate(),
  };
}
