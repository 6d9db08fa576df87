import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { process } from "../base/own-globals.ts";
import { builtUrl } from "../base/package-places.ts";
import { runnableBundle } from "../bundle/portable-bundle.ts";
import { asSheafError } from "../storage/fs-error.ts";
import type { StoreAccess } from "../storage/stores.ts";
import type { TaskFailure, TaskResult, TaskSpec } from "../task/task-spec.ts";
import { failureOfExit } from "../worker/exit-cause.ts";
import { taskFailure } from "../worker/failure.ts";
import type { FromWorker } from "../worker/messages.ts";
import { captureStream } from "../worker/output-capture.ts";
import { TaskHost } from "../worker/task-host.ts";
import { printLines } from "./channel.ts";
import type { HostedSpec } from "./spec.ts";
import { type JobWatch, type Traced, withPlace } from "./watch.ts";

export interface AttemptWorld {
  readonly spec: HostedSpec;
  readonly watch: JobWatch;
  readonly traced: Traced | null;
  /** Where the bundle is put. */
  readonly scratch: string;
  readonly storage: StoreAccess;
  /** User code has ended the task, or what it left behind has: nothing can be waited for any more. */
  over(failure: TaskFailure): void;
}

const attemptId = 1;

/**
 * Runs the one attempt of this process in its main thread, as worker/process-entry.ts does.
 * Resolves to its result; that the job cannot be loaded is one.
 */
export function runAttempt(
  task: TaskSpec,
  { spec, watch, traced, scratch, storage, over }: AttemptWorld,
): Promise<TaskResult> {
  const bundle = placeBundle(spec, scratch);
  let phase = "load";
  let ended = false;
  return new Promise<TaskResult>((resolve) => {
    const end = (result: TaskResult): void => {
      if (ended) return;
      ended = true;
      watch.isRunning = false;
      resolve(result.kind === "failure" ? fromHere(result, spec, bundle) : result);
    };
    const heard = (message: FromWorker): void => {
      if (message.kind === "log") printLines(message.text);
      else if (message.kind === "loaded") phase = task.kind;
      else if (message.kind === "load-failed") end(message.failure);
      else if (message.kind === "result") end(message.result);
      else if (message.kind === "stray" && ended && message.failure.code === "EMIT_LATE")
        over(fromHere(message.failure, spec, bundle));
      else if (message.kind === "stray")
        printLines(`user code threw outside its task: ${message.failure.message}`);
    };
    const host: TaskHost = new TaskHost({
      board: watch.board,
      post: heard,
      busy: () => undefined,
      written: () => undefined,
      kill: () => process.kill(process.pid, "SIGKILL"),
    });
    captureStream(process.stdout, "stdout", host.capture);
    captureStream(process.stderr, "stderr", host.capture);
    process.on("uncaughtException", (error) => host.uncaught(error));
    process.on("unhandledRejection", (reason) => host.uncaught(reason));
    process.on("beforeExit", () => {
      host.idle();
      if (!ended) end(neverLoaded(host.capture.tail()));
    });
    // Ahead of whoever only knows that the process ends.
    process.prependListener("exit", (code) => {
      host.capture.end();
      if (ended) return;
      const exit = { code, signal: null, outOfMemory: false, message: null };
      const failure = failureOfExit(exit, phase, "inline", spec.heapBytes, host.capture.tail());
      over(withPlace(failure, traced, watch.board));
    });
    watch.isRunning = true;
    host.receive({ kind: "storage", access: storage });
    host.receive({ kind: "load", url: bundle });
    host.receive({ kind: "settings", settings: spec.settings });
    host.receive({ kind: "run", id: attemptId, spec: task, trace: traced?.trace ?? null, faults: [] });
  });
}

/** What is imported, as URL. */
function placeBundle({ bundle }: HostedSpec, scratch: string): string {
  let code: string;
  try {
    code = readFileSync(bundle, "utf8");
  } catch (error) {
    throw asSheafError(error, { path: bundle, doing: "read" });
  }
  const path = join(scratch, "job.mjs");
  try {
    writeFileSync(path, runnableBundle(code));
  } catch (error) {
    throw asSheafError(error, { path, doing: "write" });
  }
  return pathToFileURL(path).href;
}

function neverLoaded(log: readonly string[]): TaskFailure {
  return taskFailure("USER_CODE", "the job file waits for a promise that never settles", {
    name: "Error",
    phase: "load",
    log,
    hint: "Look for an await at the top level of the job file, or of what it imports, that nothing resolves.",
  });
}

/** Frames of the stack as they would be where the job was submitted, which has what maps them to sources. */
function fromHere(failure: TaskFailure, { origin }: HostedSpec, bundle: string): TaskFailure {
  const { stack } = failure;
  if (stack === null) return failure;
  return {
    ...failure,
    stack: stack.replaceAll(bundle, origin.bundle).replaceAll(builtUrl.href, origin.built),
  };
}
