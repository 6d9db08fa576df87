import { clearTimeout, process, queueMicrotask, setTimeout } from "../base/own-globals.ts";
import type { Job } from "../job/job-plan.ts";
import { PROGRESS_BYTES } from "../task/task-spec.ts";
import type { ToWorker } from "./messages.ts";
import { TaskHost } from "./task-host.ts";
import type { Worker, WorkerStart } from "./worker.ts";

const lingerMs = 50;

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
  const host: TaskHost = new TaskHost({
    board,
    post: (message) => {
      if (!ended) queueMicrotask(() => void (ended || start.listener.message(message)));
    },
    busy: (running) => {
      clearTimeout(lingering);
      if (running) restore ??= listenToProcess(host);
      // A task that was given up may still run for a moment, and throw again.
      else lingering = setTimeout(stopListening, lingerMs).unref();
    },
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

/** While a task runs, errors nobody catches are the task's. */
function listenToProcess(host: TaskHost): () => void {
  const uncaught = (error: unknown): void => host.uncaught(error);
  const idle = (): void => host.idle();
  process.on("uncaughtException", uncaught);
  process.on("unhandledRejection", uncaught);
  process.on("beforeExit", idle);
  return () => {
    process.off("uncaughtException", uncaught);
    process.off("unhandledRejection", uncaught);
    process.off("beforeExit", idle);
  };
}
