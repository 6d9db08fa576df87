import { format } from "node:util";
import type { Job } from "../job/define.ts";
import { PROGRESS_BYTES } from "../task/task-spec.ts";
import type { ToWorker } from "./messages.ts";
import { TaskHost } from "./task-host.ts";
import type { Worker, WorkerStart } from "./worker.ts";

const CONSOLE_STREAMS = { log: "stdout", info: "stdout", debug: "stdout", warn: "stderr", error: "stderr" } as const;

/**
 * A worker that is this thread, so that breakpoints and profilers work. Nothing can interrupt user code here: it is
 * not ended when it hangs in a loop, and takes the process with it when it exits.
 */
export function startWorkerInline(start: WorkerStart, job: Job | undefined): Worker {
  const board = new Float64Array(PROGRESS_BYTES / 8);
  let ended = false;
  let restore: (() => void) | null = null;
  const host: TaskHost = new TaskHost({
    board,
    post: (message) => {
      if (!ended) queueMicrotask(() => void (ended || start.listener.message(message)));
    },
    busy: (running) => {
      restore?.();
      restore = running ? listenToProcess(host) : null;
    },
    kill: () => process.exit(137),
    ...(job === undefined ? {} : { job }),
  });
  return {
    board,
    send: (message: ToWorker) => host.receive(message),
    kill: () => {
      if (ended) return;
      ended = true;
      restore?.();
      restore = null;
      host.abandon();
      queueMicrotask(() => start.listener.exit({ code: null, signal: null, outOfMemory: false, message: "abandoned" }));
    },
  };
}

/** While a task runs, errors nobody catches and what console prints are the task's. */
function listenToProcess(host: TaskHost): () => void {
  const uncaught = (error: unknown): void => host.uncaught(error);
  const idle = (): void => host.idle();
  process.on("uncaughtException", uncaught);
  process.on("unhandledRejection", uncaught);
  process.on("beforeExit", idle);
  const methods = Object.keys(CONSOLE_STREAMS) as (keyof typeof CONSOLE_STREAMS)[];
  const before = methods.map((method) => [method, console[method]] as const);
  for (const method of methods) {
    console[method] = (...given: unknown[]) => host.capture.line(CONSOLE_STREAMS[method], format(...given));
  }
  return () => {
    process.off("uncaughtException", uncaught);
    process.off("unhandledRejection", uncaught);
    process.off("beforeExit", idle);
    for (const [method, original] of before) console[method] = original;
  };
}
