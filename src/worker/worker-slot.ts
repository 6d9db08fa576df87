import { within } from "../base/retry.ts";
import type { TaskFailure, TaskSpec } from "../task/task-spec.ts";
import { taskFailure } from "./failure.ts";
import type { FromWorker, ToWorker } from "./messages.ts";
import type { Worker } from "./worker.ts";

export type SlotQuestion = Extract<ToWorker, { kind: "load" | "aux" | "expect" | "fold" }>;

/** What the parent hears of a question that is no attempt. */
export type SlotAnswer =
  | Extract<FromWorker, { kind: "loaded" | "load-failed" | "expected" | "folded" | "prepared" }>
  /** The worker has ended. */
  | { readonly kind: "gone"; readonly failure: TaskFailure }
  /** It took too long, and was ended. */
  | { readonly kind: "late"; readonly failure: TaskFailure };

/** What a slot's worker does. */
export type SlotWork =
  | { readonly kind: "nothing" }
  | {
      readonly kind: "attempt";
      readonly id: number;
      readonly spec: TaskSpec;
      /** Its worker is ended before it can report. */
      readonly isDoomed: boolean;
    }
  | {
      readonly kind: "question";
      readonly phase: "load" | "aux" | "expect" | "until";
      /** User code begins to load, or the gate to run: the clock of what that takes starts now. */
      began(): void;
      answered(answer: SlotAnswer): void;
      /** Resolves when it is answered. */
      readonly over: Promise<unknown>;
    };

const nothing: SlotWork = { kind: "nothing" };
const tailLines = 20;
/**
 * A worker may take this long until it begins to load user code, on a machine that is busy with other
 * things.
 */
export const workerStartMsMax = 60_000;
/**
 * A worker blocked in a system call cannot be ended from within this process; it is not waited for longer.
 */
const killWaitMs = 5_000;

/** The place of one worker in a pool: at one time it has one or none, which does one thing or nothing. */
export class WorkerSlot {
  worker: Worker | null = null;
  /** Resolves when `worker`, or the one before it, is gone. */
  exit: Promise<void> = Promise.resolve();
  work: SlotWork = nothing;
  /** Last lines heard from it. */
  tail: readonly string[] = [];

  /** What it does, in the words of a failure. */
  get phase(): string {
    const { work } = this;
    return work.kind === "question" ? work.phase : work.kind === "attempt" ? work.spec.kind : "load";
  }

  /** It does nothing from now on. Returns what it did. */
  free(): SlotWork {
    const { work } = this;
    this.work = nothing;
    return work;
  }

  remember(text: string): void {
    const lines = text.split("\n").filter((line) => !crashReport.test(line));
    this.tail = [...this.tail, ...lines.slice(-tailLines)].slice(-tailLines);
  }

  /**
   * Waits for the answer to a question, or for the worker's end. A worker that starts loads by itself.
   * @param isNew it was started for this question
   * @param noProgressMs what the answer may take, but for the worker's own start
   */
  ask(worker: Worker, question: SlotQuestion, isNew: boolean, noProgressMs: number): Promise<SlotAnswer> {
    const phase = question.kind === "fold" ? "until" : question.kind;
    this.tail = [];
    let resolve!: (answer: SlotAnswer) => void;
    const over = new Promise<SlotAnswer>((settle) => (resolve = settle));
    const answered = (answer: SlotAnswer): void => {
      clearTimeout(timer);
      this.work = nothing;
      resolve(answer);
    };
    const giveUp = (): void => {
      answered({ kind: "late", failure: tooLong(phase, noProgressMs, this.tail) });
      this.kill();
    };
    const began = (): void => {
      clearTimeout(timer);
      timer = setTimeout(giveUp, noProgressMs);
    };
    const isThere = phase !== "load" && !isNew;
    let timer = setTimeout(giveUp, isThere ? noProgressMs : Math.max(noProgressMs, workerStartMsMax));
    this.work = { kind: "question", phase, began, answered, over };
    if (phase !== "load" || !isNew) worker.send(question);
    return over;
  }

  /** It is free for a new worker at once; what is left of the old one is only waited for. */
  async end(): Promise<void> {
    this.kill();
    await within(this.exit, killWaitMs);
  }

  /** Ends its worker, and does not wait until it is gone. */
  kill(): void {
    const { worker, tail: log } = this;
    const work = this.free();
    if (worker === null) return;
    this.worker = null;
    if (work.kind === "question") {
      const failure = taskFailure("WORKER_LOST", "the worker was ended", {
        phase: work.phase,
        log,
        blame: "system",
      });
      work.answered({ kind: "gone", failure });
    }
    worker.kill();
  }
}

function tooLong(phase: string, noProgressMs: number, log: readonly string[]): TaskFailure {
  return taskFailure("NO_PROGRESS", `${phase} took longer than ${noProgressMs} ms`, {
    phase,
    log,
    hint:
      phase === "until"
        ? "Look for an endless loop in the source's until."
        : phase === "aux"
          ? "Look for an endless loop in the functions given to by() and to readers of side data."
          : "Look for an endless loop or an await that never ends at the top level of the job file.",
  });
}

/** What the runtime prints when it crashes: it would push out what user code printed last. */
const crashReport = /^\s*(?:\d+: 0x|<---|-----|\[\d+:0x)|^\s*$/;
