import type { StartWorker, Worker, WorkerListener } from "./worker.ts";

/**
 * Starts a worker before anybody is there to listen to it: the first call of what this returns gets that
 * worker, and
 * hears what it has said meanwhile; later calls start their own.
 */
export function warmWorker(start: StartWorker, heapBytes: number | null): StartWorker {
  let target: WorkerListener | null = null;
  const missed: ((listener: WorkerListener) => void)[] = [];
  const tell = (what: (listener: WorkerListener) => void): void => {
    if (target === null) missed.push(what);
    else what(target);
  };
  let warm: Worker | null = start({
    heapBytes,
    listener: {
      message: (message) => tell((listener) => listener.message(message)),
      broken: (error) => tell((listener) => listener.broken(error)),
      exit: (exit) => tell((listener) => listener.exit(exit)),
    },
  });
  return (options) => {
    if (warm === null) return start(options);
    const worker = warm;
    warm = null;
    queueMicrotask(() => {
      target = options.listener;
      for (const what of missed) what(target);
    });
    return worker;
  };
}
