import { Worker as Thread } from "node:worker_threads";
import { process } from "../base/own-globals.ts";
import { builtUrl } from "../base/package-places.ts";
import { PROGRESS_BYTES } from "../task/task-spec.ts";
import { writeBoard } from "./board-pipe.ts";
import { endThisProcess } from "./end-group.ts";
import type { ToWorker } from "./messages.ts";
import { captureStream } from "./output-capture.ts";
import { TaskHost } from "./task-host.ts";
import { ParentChannel } from "./worker-channel.ts";

/* The child's half of worker-process.ts. User code has this process's main thread for itself. */

const shared = new SharedArrayBuffer(PROGRESS_BYTES);

// The board is passed on by a thread of its own, which user code cannot block. When nobody reads any more,
// the parent
// is gone and so must this process be, whatever its main thread is doing.
const heartbeat = new Thread(new URL("worker/heartbeat-entry.js", builtUrl), { workerData: shared });
heartbeat.unref();

const channel = new ParentChannel(
  (message) => host.receive(message as ToWorker),
  () => endThisProcess(),
);
const boardBytes = new Uint8Array(shared);
const host: TaskHost = new TaskHost({
  board: new Float64Array(shared),
  post: (message) => channel.send(message),
  busy: (running) => channel.hold(!running),
  written: () => writeBoard(boardBytes),
  kill: () => process.kill(process.pid, "SIGKILL"),
});

captureStream(process.stdout, "stdout", host.capture);
captureStream(process.stderr, "stderr", host.capture);
process.on("uncaughtException", (error) => host.uncaught(error));
process.on("unhandledRejection", (reason) => host.uncaught(reason));
process.on("beforeExit", () => host.idle());
process.on("exit", () => host.capture.end());
// Ctrl-C reaches the whole process group: the parent decides what happens then.
process.on("SIGINT", () => undefined);
