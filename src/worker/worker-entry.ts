import type { ChildProcess } from "node:child_process";
import { subscribe } from "node:diagnostics_channel";
import { syncBuiltinESMExports } from "node:module";
import workerThreads, { MessageChannel } from "node:worker_threads";
import { process } from "../base/own-globals.ts";
import type { ToWorker } from "./messages.ts";
import { captureStream } from "./output-capture.ts";
import { TaskHost } from "./task-host.ts";
import type { WorkerThreadData } from "./worker-thread.ts";

/* The thread's half of worker-thread.ts. */

const { board, port, processes } = workerThreads.workerData as WorkerThreadData;
hideChannels();
tellOfProcesses();
const host = new TaskHost({
  board: new Float64Array(board),
  post: (message) => port.postMessage(message),
  // While a task runs the port must not hold the loop open: a loop that runs dry then tells of a promise that
  // nothing can settle. Messages still arrive as long as the loop turns.
  busy: (running) => (running ? port.unref() : port.ref()),
  // The board is shared memory.
  written: () => undefined,
  kill: () => process.exit(137),
});

captureStream(process.stdout, "stdout", host.capture);
captureStream(process.stderr, "stderr", host.capture);
process.on("uncaughtException", (error) => host.uncaught(error));
process.on("unhandledRejection", (reason) => host.uncaught(reason));
process.on("beforeExit", () => host.idle());
process.on("exit", () => host.capture.end());
port.on("message", (message: ToWorker) => host.receive(message));

/** What user code has started would outlive this thread, and nobody else knows of it. */
function tellOfProcesses(): void {
  subscribe("child_process", (message) => {
    const { process: child } = message as { readonly process: ChildProcess };
    const tell = (): void => {
      if (child.pid === undefined) return;
      const { pid } = child;
      processes.postMessage(pid);
      child.once("exit", () => processes.postMessage(-pid));
    };
    if (child.pid === undefined) child.once("spawn", tell);
    else tell();
  });
}

/** Code that takes this thread for its own finds a port that leads nowhere, and no data. */
function hideChannels(): void {
  const nowhere = new MessageChannel();
  nowhere.port1.close();
  Object.assign(workerThreads, { parentPort: nowhere.port2, workerData: null });
  syncBuiltinESMExports();
}
