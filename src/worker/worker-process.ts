import { spawn } from "node:child_process";
import type { Duplex, Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { SheafError } from "../base/errors.ts";
import { builtUrl } from "../base/package-places.ts";
import { MiB } from "../base/size.ts";
import { PROGRESS_BYTES } from "../task/task-spec.ts";
import { boardDescriptor, readBoard } from "./board-pipe.ts";
import { endGroup } from "./end-group.ts";
import type { ToWorker } from "./messages.ts";
import { OutputCapture } from "./output-capture.ts";
import { channelDescriptor, listenToWorker, sendToWorker } from "./worker-channel.ts";
import type { Worker, WorkerExit, WorkerStart } from "./worker.ts";

/**
 * To be called before the first worker process. Its environment is a clean one, and without the loader of
 * Plug'n'Play it finds no package.
 * @throws SheafError USAGE under Yarn's Plug'n'Play
 */
export function requireProcesses(): void {
  if (process.versions["pnp"] === undefined) return;
  throw new SheafError("USAGE", "worker processes cannot be started under Yarn's Plug'n'Play", {
    hint:
      "Write nodeLinker: node-modules in .yarnrc.yml and run yarn install. Threads, the default of sheaf run, " +
      "work as it is.",
  });
}

/** Starts a child process; its half is process-entry.ts. */
export function startWorkerProcess(start: WorkerStart): Worker {
  const heap = start.heapBytes === null ? [] : [`--max-old-space-size=${Math.ceil(start.heapBytes / MiB)}`];
  const child = spawn(
    process.execPath,
    [...heap, fileURLToPath(new URL("worker/process-entry.js", builtUrl))],
    {
      env: start.environment ?? ownEnvironment(),
      stdio: ["ignore", "pipe", "pipe", "pipe", "pipe"],
      // It leads a group of its own: what user code has started ends with it.
      detached: process.platform !== "win32",
    },
  );
  const board = new Float64Array(PROGRESS_BYTES / 8);
  readBoard(child.stdio[boardDescriptor] as Readable, board);

  // Only what goes past the capture inside the child comes here: native code, the runtime's last words.
  let lastWords: string | null = null;
  const raw = new OutputCapture((stream, text) => {
    lastWords = /^FATAL ERROR.*$/m.exec(text)?.[0] ?? lastWords;
    start.listener.message({ kind: "log", id: null, stream, text });
  });
  child.stdout!.on("data", (chunk: Buffer) => raw.write("stdout", chunk.toString("latin1")));
  child.stderr!.on("data", (chunk: Buffer) => raw.write("stderr", chunk.toString("latin1")));

  let ended = false;
  const exited = (exit: WorkerExit): void => {
    if (ended) return;
    ended = true;
    raw.end();
    start.listener.exit(exit);
  };
  const channel = child.stdio[channelDescriptor] as Duplex;
  listenToWorker(
    channel,
    (message) => start.listener.message(message),
    (error) => start.listener.broken(error),
  );
  child.on("error", (error) => {
    if (child.pid === undefined)
      exited({ code: null, signal: null, outOfMemory: false, message: error.message });
  });
  // What it has started may hold its pipes open, and then there would be no "close".
  child.on("exit", () => endGroup(child.pid));
  child.on("close", (code, signal) => {
    raw.end();
    const outOfMemory = lastWords?.includes("heap out of memory") ?? false;
    exited({ code, signal, outOfMemory, message: lastWords });
  });
  return {
    board,
    ...(child.pid === undefined ? {} : { pid: child.pid }),
    send: (message: ToWorker) => sendToWorker(channel, message),
    kill: () => {
      if (child.exitCode === null && child.signalCode === null) endGroup(child.pid);
      child.kill("SIGKILL");
    },
  };
}

/** An inspector that this process was told to open is its own: a worker's would be a door to user code. */
function ownEnvironment(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _, ...rest } = process.env;
  return rest;
}
