import { formatSize } from "../base/size.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import { taskFailure } from "./failure.ts";
import type { Isolation, WorkerExit } from "./worker.ts";

/** Signals a process brings upon itself by what it executes; others come from outside, or may. */
const SELF_INFLICTED = new Set(["SIGABRT", "SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS"]);

/**
 * Why a worker that nobody ended is gone, as a failure of what it was doing.
 * @param phase "load" or the task's kind
 * @param log the last lines it printed
 */
export function failureOfExit(
  exit: WorkerExit,
  phase: string,
  isolation: Isolation,
  heapBytes: number | null,
  log: readonly string[],
): TaskFailure {
  if (exit.outOfMemory) {
    const size = heapBytes === null ? "" : ` of ${formatSize(heapBytes)}`;
    return taskFailure("OUT_OF_MEMORY", `the JavaScript heap${size} of the worker is full`, {
      phase,
      log,
      hint:
        "User code keeps too much: let values stream instead of collecting them, or raise the heap with " +
        "--heap (the engine's own buffers are bounded by --memory, apart from it).",
    });
  }
  if (exit.signal !== null && !SELF_INFLICTED.has(exit.signal)) {
    return taskFailure("WORKER_LOST", `the worker was killed by ${exit.signal}`, {
      phase,
      log,
      blame: "system",
      hint: "The system kills when memory runs out (lower --workers or --memory); so may user code.",
    });
  }
  if (exit.code === null && exit.signal === null) {
    return taskFailure(
      "WORKER_LOST",
      `the worker could not be started: ${exit.message ?? "no reason given"}`,
      {
        phase,
        log,
        blame: "system",
      },
    );
  }
  const how = exit.signal === null ? `exit code ${exit.code}` : exit.signal;
  const words = exit.message === null ? "" : `: ${exit.message}`;
  return taskFailure("USER_EXITED", `user code exited: it ended the worker (${how})${words}`, {
    phase,
    log,
    hint:
      isolation === "process"
        ? "Throw an error instead of calling process.exit or abort."
        : "Throw an error instead of calling process.exit.",
  });
}
