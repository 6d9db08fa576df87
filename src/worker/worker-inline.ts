import { clearTimeout, process, queueMicrotask, setTimeout } from "../base/own-globals.ts";
import type { Job } from "../job/job-plan.ts";
import { PROGRESS_BYTES } from "../task/task-spec.ts";
import type { ToWorker } from "./messages.ts";
import { TaskHost } from "./task-host.ts";
import type { Worker, WorkerStart } from "./worker.ts";

/** For what an attempt throws after its end. */
const lingerMs = 50;
/** For one that was given up and has not come to its end. */
const lingerMsMax = 10_000;

/**
 * A worker that is this thread, so that breakpoints and profilers work. Nothing can interrupt user code here:
 * it is
 * not ended when it hangs in a loop, and takes the process with it when it exits.
 */
export function startWorkerInline(start: WorkerStart, job: Job | undefined): Worker {
  const board = new Float64Array(PROGRESS_BYTES / 8);
  let ended = false;
  let restore: (() => void) | null = null;
  let lingering: NodeJS.Timeout | undefined;
  let isBusy = false;
  let isSettled = true;
  const linger = (ms: number): void => {
    clearTimeout(lingering);
    lingering = setTimeout(stopListening, ms).unref();
  };
  const settled = (): void => {
    isSettled = true;
    if (!isBusy) linger(lingerMs);
  };
  const host: TaskHost = new TaskHost({
    board,
    post: (message) => {
      if (!ended) queueMicrotask(() => void (ended || start.listener.message(message)));
    },
    busy: (running) => {
      isBusy = running;
      if (!running) {
        // A task that was given up may still run, and throw again.
        linger(isSettled ? lingerMs : lingerMsMax);
        return;
      }
      clearTimeout(lingering);
      isSettled = false;
      restore ??= listenToProcess(host, settled);
    },
    settled,
    written: () => undefined,
    kill: () => process.exit(137),
    ...(job === undefined ? {} : { job }),
  });
  const stopListening = (): void => {
    restore?.();
    restore = null;
  };
  return {
    board,
    send: (message: ToWorker) => host.receive(message),
    kill: () => {
      if (ended) return;
      ended = true;
      host.abandon();
      queueMicrotask(() =>
        start.listener.exit({ code: null, signal: null, outOfMemory: false, message: "abandoned" }),
      );
    },
  };
}

/** While a task runs, errors nobody catches are the task's. `settled`: none can come any more. */
function listenToProcess(host: TaskHost, settled: () => void): () => void {
  const uncaught = (error: unknown): void => host.uncaught(error);
  const idle = (): void => {
    host.idle();
    settled();
  };
  process.on("uncaughtException", uncaught);
  process.on("unhandledRejection", uncaught);
  process.on("beforeExit", idle);
  return () => {
    process.off("uncaughtException", uncaught);
    process.off("unhandledRejection", uncaught);
    process.off("beforeExit", idle);
  };
}
