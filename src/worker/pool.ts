import type { Clock } from "../base/clock.ts";
import { SheafError } from "../base/errors.ts";
import { PROGRESS_CELLS } from "../task/task-spec.ts";
import type { JobSettings, TaskFailure, TaskResult, TaskSpec } from "../task/task-spec.ts";
import { failureOfExit } from "./exit-cause.ts";
import { taskFailure } from "./failure.ts";
import { checkResultOf, readFromWorker } from "./from-worker.ts";
import type { InjectedFault } from "./fault-injection.ts";
import type { FromWorker, JobOutline, ToWorker } from "./messages.ts";
import type { Trace } from "./trace.ts";
import type { Isolation, StartWorker, Worker, WorkerExit } from "./worker.ts";

export interface PoolOptions {
  readonly startWorker: StartWorker;
  readonly isolation: Isolation;
  readonly heapBytes: number | null;
  readonly noProgressMs: number;
  readonly clock: Clock;
  readonly listener: PoolListener;
}

export interface PoolListener {
  /** An attempt ended by itself, with success or a failure, or with its worker (then `failure` says how). */
  attemptEnded(slot: number, id: number, result: TaskResult): void;
  /** `id` is null for what was printed outside tasks. */
  log(id: number | null, stream: "log" | "stdout" | "stderr", text: string): void;
  /** User code threw after its task was over: the last one that ran in the slot, or one before it. */
  stray(failure: TaskFailure, slot: number): void;
}

export interface RunMore {
  readonly trace: Trace | null;
  readonly faults: readonly InjectedFault[];
}

interface Slot {
  worker: Worker | null;
  /** Resolves when `worker`, or the one before it, is gone. */
  exit: Promise<void>;
  /** The attempt it runs, null when idle. */
  id: number | null;
  /** What was run last. */
  spec: TaskSpec | null;
  phase: string;
  /** Last lines heard from it. */
  tail: string[];
  /** Set while the parent waits for an answer that is no attempt's result. */
  answer: ((message: FromWorker | WorkerExit) => void) | null;
  /** Called when user code begins to load: the clock of what it takes starts then. */
  began: (() => void) | null;
}

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

/**
 * Workers by slot, started when first needed and again when one is gone. Knows nothing of tasks but that one
 * runs at a
 * time, and how each ended.
 */
export class WorkerPool {
  readonly #options: PoolOptions;
  readonly #slots = new Map<number, Slot>();
  #load: ToWorker | null = null;
  #settings: ToWorker | null = null;
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** Workers there are now. */
  get running(): number {
    let count = 0;
    for (const slot of this.#slots.values()) if (slot.worker !== null) count++;
    return count;
  }

  /** Workers started so far, not counting those that replaced another. */
  get used(): number {
    return this.#slots.size;
  }

  /** Starts the slot's worker, if it has none, ahead of its first task. */
  prewarm(slot: number): void {
    this.#workerOf(slot);
  }

  /**
   * Has slot 0 load the job, and every other worker, now or when it starts.
   * @throws SheafError when it cannot be loaded; the failure is the error's cause
   */
  async load(url: string, attempts: number): Promise<{ outline: JobOutline } | { failure: TaskFailure }> {
    this.#load = { kind: "load", url };
    for (const [index, slot] of this.#slots) if (index !== 0) slot.worker?.send(this.#load);
    for (let attempt = 1; ; attempt++) {
      const slot = this.#slots.get(0);
      const answer = await this.#ask(
        0,
        slot?.worker === null || slot === undefined ? null : this.#load,
        "load",
      );
      if ("kind" in answer && answer.kind === "loaded") return { outline: answer.outline };
      if ("kind" in answer && answer.kind === "load-failed") return { failure: answer.failure };
      const failure = this.#exitFailure(0, answer as WorkerExit);
      if (attempt >= attempts || failure.code === "NO_PROGRESS") return { failure };
    }
  }

  /**
   * Every worker, now or when it starts, loads the job ahead of what it is to run. That it cannot be loaded
   * is then the failure of its attempts.
   */
  loads(url: string): void {
    this.#load = { kind: "load", url };
    for (const slot of this.#slots.values()) slot.worker?.send(this.#load);
  }

  /** Process id of the worker in the slot; undefined when it has none. */
  pid(slotIndex: number): number | undefined {
    return this.#slots.get(slotIndex)?.worker?.pid;
  }

  /** What every task from now on shares. */
  settings(settings: JobSettings): void {
    this.#settings = { kind: "settings", settings };
    for (const slot of this.#slots.values()) slot.worker?.send(this.#settings);
  }

  /**
   * Runs an attempt in an idle slot; `id` names it in what the listener hears. Returns its progress board.
   */
  run(slotIndex: number, id: number, spec: TaskSpec, more: RunMore): Float64Array {
    const slot = this.#workerOf(slotIndex);
    if (slot.id !== null) throw new SheafError("INTERNAL", `slot ${slotIndex} is busy`);
    slot.id = id;
    slot.spec = spec;
    slot.phase = spec.kind;
    slot.tail = [];
    const worker = slot.worker!;
    worker.board.fill(0);
    worker.send({ kind: "run", id, spec, ...more });
    return worker.board;
  }

  /** The map that runs in the slot may leave what it has not begun to so many others. */
  handOver(slotIndex: number, id: number, parts: number): void {
    const slot = this.#slots.get(slotIndex);
    if (slot?.id === id) slot.worker?.send({ kind: "handOver", id, parts });
  }

  /** The job's expect gate: null when it passed, else why not. */
  async expect(counters: Readonly<Record<string, number>>): Promise<TaskFailure | string | null> {
    const idle = [...this.#slots].find(([, slot]) => slot.worker !== null && slot.id === null)?.[0] ?? 0;
    const answer = await this.#ask(idle, { kind: "expect", counters }, "expect");
    if ("kind" in answer && answer.kind === "expected") return answer.failure ?? answer.refusal;
    if ("kind" in answer && answer.kind === "load-failed") return answer.failure;
    return this.#exitFailure(idle, answer as WorkerExit);
  }

  /** The last lines printed in the slot. */
  tail(slotIndex: number): readonly string[] {
    return this.#slots.get(slotIndex)?.tail ?? [];
  }

  /**
   * Asks the attempt in the slot to stop, and ends its worker; resolves when it is gone. The listener hears
   * nothing.
   */
  async kill(slotIndex: number): Promise<void> {
    const slot = this.#slots.get(slotIndex);
    if (slot === undefined || slot.worker === null) return;
    slot.id = null;
    await this.#end(slot);
  }

  /** Ends all workers; resolves when they are gone. */
  async close(): Promise<void> {
    this.#closed = true;
    const ends = [...this.#slots.values()].map((slot) => {
      slot.id = null;
      return this.#end(slot);
    });
    await Promise.all(ends);
  }

  #workerOf(index: number): Slot {
    let slot = this.#slots.get(index);
    if (slot === undefined) {
      slot = {
        worker: null,
        id: null,
        spec: null,
        phase: "load",
        tail: [],
        answer: null,
        began: null,
        exit: Promise.resolve(),
      };
      this.#slots.set(index, slot);
    }
    if (slot.worker === null) this.#startIn(index, slot);
    return slot;
  }

  #startIn(index: number, slot: Slot): void {
    if (this.#closed) throw new SheafError("INTERNAL", "the worker pool is closed");
    let gone!: () => void;
    slot.exit = new Promise<void>((resolve) => (gone = resolve));
    const worker = this.#options.startWorker({
      heapBytes: this.#options.heapBytes,
      listener: {
        message: (message) => {
          if (slot.worker === worker) this.#take(index, slot, message);
        },
        broken: (error) => {
          if (slot.worker === worker) this.#distrust(index, slot, error);
        },
        exit: (reason) => {
          if (slot.worker === worker) this.#exited(index, slot, reason);
          gone();
        },
      },
    });
    slot.worker = worker;
    if (this.#load !== null) worker.send(this.#load);
    if (this.#settings !== null) worker.send(this.#settings);
  }

  #take(index: number, slot: Slot, received: unknown): void {
    let message: FromWorker;
    try {
      message = readFromWorker(received);
      if (message.kind === "result" && slot.spec !== null) checkResultOf(slot.spec, message.result);
    } catch (error) {
      this.#distrust(index, slot, error as SheafError);
      return;
    }
    this.#heard(index, slot, message);
  }

  /** What comes from it is not its own words any more: it is ended, and what it was doing has failed. */
  #distrust(index: number, slot: Slot, error: SheafError): void {
    const { id, phase, answer } = slot;
    const failure = taskFailure("USER_CODE", error.message, {
      phase,
      log: slot.tail,
      hint: error.hint ?? null,
    });
    slot.id = null;
    slot.answer = null;
    void this.#end(slot);
    answer?.({ kind: "load-failed", failure });
    if (id !== null) this.#options.listener.attemptEnded(index, id, failure);
  }

  #heard(index: number, slot: Slot, message: FromWorker): void {
    switch (message.kind) {
      case "loading":
        slot.began?.();
        return;
      case "loaded":
        // A worker that was started for the gate loads the job first; the gate's own time begins now.
        if (slot.phase === "expect") slot.began?.();
        else slot.answer?.(message);
        return;
      case "load-failed":
      case "expected":
        slot.answer?.(message);
        return;
      case "result":
        this.#finished(index, slot, message);
        return;
      case "log":
        remember(slot, message.text);
        this.#options.listener.log(message.id ?? slot.id, message.stream, message.text);
        return;
      case "stray":
        this.#options.listener.stray(message.failure, index);
        if (slot.id === null) void this.#end(slot);
        return;
    }
  }

  #finished(index: number, slot: Slot, message: Extract<FromWorker, { kind: "result" }>): void {
    if (slot.id !== message.id) return;
    slot.id = null;
    if (message.spoiled) void this.#end(slot);
    this.#options.listener.attemptEnded(index, message.id, message.result);
  }

  #exited(index: number, slot: Slot, exit: WorkerExit): void {
    slot.worker = null;
    const { id, answer } = slot;
    slot.id = null;
    slot.answer = null;
    answer?.(exit);
    if (id !== null) this.#options.listener.attemptEnded(index, id, this.#exitFailure(index, exit));
  }

  #exitFailure(index: number, exit: WorkerExit): TaskFailure {
    const slot = this.#slots.get(index)!;
    if (exit.message === noAnswer) {
      return taskFailure("NO_PROGRESS", `${slot.phase} took longer than ${this.#options.noProgressMs} ms`, {
        phase: slot.phase,
        log: slot.tail,
        hint: "Look for an endless loop or an await that never ends at the top level of the job file.",
      });
    }
    return failureOfExit(exit, slot.phase, this.#options.isolation, this.#options.heapBytes, slot.tail);
  }

  /**
   * Sends a message (null: it was sent when the worker started) and waits for its answer or for the worker's
   * end.
   */
  async #ask(index: number, message: ToWorker | null, phase: string): Promise<FromWorker | WorkerExit> {
    const isThere = (this.#slots.get(index)?.worker ?? null) !== null;
    const slot = this.#workerOf(index);
    slot.phase = phase;
    slot.tail = [];
    return new Promise((resolve) => {
      const giveUp = (): void => {
        slot.answer = null;
        void this.#end(slot);
        resolve({ code: null, signal: null, outOfMemory: false, message: noAnswer });
      };
      const { noProgressMs } = this.#options;
      let timer = setTimeout(
        giveUp,
        message?.kind === "expect" && isThere ? noProgressMs : Math.max(noProgressMs, workerStartMsMax),
      );
      slot.began = () => {
        clearTimeout(timer);
        timer = setTimeout(giveUp, noProgressMs);
      };
      slot.answer = (answer) => {
        clearTimeout(timer);
        slot.answer = null;
        slot.began = null;
        resolve(answer);
      };
      if (message !== null) slot.worker!.send(message);
    });
  }

  /** The slot is free for a new worker at once; what is left of the old one is only waited for. */
  async #end(slot: Slot): Promise<void> {
    const { worker, exit } = slot;
    if (worker !== null) {
      slot.worker = null;
      slot.answer?.({ code: null, signal: null, outOfMemory: false, message: "it was ended" });
      worker.kill();
    }
    await within(exit, killWaitMs);
  }
}

const noAnswer = "no answer";

/** What the runtime prints when it crashes: it would push out what user code printed last. */
const crashReport = /^\s*(?:\d+: 0x|<---|-----|\[\d+:0x)|^\s*$/;

function remember(slot: Slot, text: string): void {
  const lines = text.split("\n").filter((line) => !crashReport.test(line));
  slot.tail = [...slot.tail, ...lines.slice(-tailLines)].slice(-tailLines);
}

/** Beat of a board: changes whenever the attempt has moved on. */
export function beatOf(board: Readonly<Float64Array>): number {
  return board[PROGRESS_CELLS.beat]!;
}

async function within(done: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([done, late]);
  clearTimeout(timer);
}
