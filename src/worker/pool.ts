import type { Clock } from "../base/clock.ts";
import { SheafError, unreachable } from "../base/errors.ts";
import type { StoreAccess, StoreLink } from "../storage/stores.ts";
import type { AuxCopies, SharedAux } from "../task/aux.ts";
import type { FoldAnswer, FoldRequest } from "../task/fold-states.ts";
import type { JobSettings, TaskFailure, TaskResult, TaskSpec } from "../task/task-spec.ts";
import { type Chaos, fateOf } from "./chaos.ts";
import { failureOfExit } from "./exit-cause.ts";
import { taskFailure } from "./failure.ts";
import type { InjectedFault } from "./fault-injection.ts";
import { checkResultOf, readFromWorker } from "./from-worker.ts";
import type { FromWorker, JobOutline, ToWorker } from "./messages.ts";
import type { Trace } from "./trace.ts";
import { type SlotAnswer, type SlotQuestion, type SlotWork, WorkerSlot } from "./worker-slot.ts";
import type { Isolation, StartWorker, Worker, WorkerExit } from "./worker.ts";

export interface PoolOptions {
  readonly startWorker: StartWorker;
  readonly isolation: Isolation;
  readonly heapBytes: number | null;
  readonly noProgressMs: number;
  readonly clock: Clock;
  readonly listener: PoolListener;
  /** With what workers read storages. Default: as this process does, from the environment they are given. */
  readonly storage?: StoreAccess;
}

export interface PoolListener {
  /** An attempt ended by itself, with success or a failure, or with its worker (then `failure` says how). */
  attemptEnded(slot: number, id: number, result: TaskResult): void;
  /** `id` is null for what was printed outside tasks. */
  log(id: number | null, stream: "log" | "stdout" | "stderr", text: string): void;
  /** What the running attempt has aggregated so far. Left out: nobody asks. */
  told?(slot: number, message: Extract<FromWorker, { kind: "told" }>): void;
  /** User code threw after its task was over: the last one that ran in the slot, or one before it. */
  stray(failure: TaskFailure, slot: number): void;
}

export interface RunMore {
  readonly trace: Trace | null;
  readonly faults: readonly InjectedFault[];
  /** Default: none. */
  readonly chaos?: Chaos | null;
}

/**
 * Workers by slot, started when first needed and again when one is gone. Knows nothing of tasks but that one
 * runs at a time, and how each ended.
 */
export class WorkerPool {
  readonly #options: PoolOptions;
  readonly #slots = new Map<number, WorkerSlot>();
  #load: Extract<ToWorker, { kind: "load" }> | null = null;
  #settings: ToWorker | null = null;
  #stores: ToWorker | null = null;
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** Workers there are now. Of those for tasks, whose slots are numbered from 0: so below. */
  get running(): number {
    let count = 0;
    for (const [index, slot] of this.#slots) if (index >= 0 && slot.worker !== null) count++;
    return count;
  }

  /** Workers started so far, not counting those that replaced another. */
  get used(): number {
    return [...this.#slots.keys()].filter((index) => index >= 0).length;
  }

  /** Starts the slot's worker, if it has none, ahead of its first task. */
  prewarm(slot: number): void {
    this.#started(slot);
  }

  /** Has slot 0 load the job, and every other worker, now or when it starts. */
  async load(url: string, attempts: number): Promise<{ outline: JobOutline } | { failure: TaskFailure }> {
    this.#load = { kind: "load", url };
    for (const [index, slot] of this.#slots) if (index !== 0) slot.worker?.send(this.#load);
    for (let attempt = 1; ; attempt++) {
      const answer = await this.#ask(0, this.#load);
      if (answer.kind === "loaded") return { outline: answer.outline };
      if (answer.kind === "expected" || answer.kind === "folded" || answer.kind === "prepared") continue;
      if (answer.kind !== "gone" || attempt >= attempts) return { failure: answer.failure };
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

  /**
   * Has slot 0 load the job's side data, as its tasks will: null when nothing is wrong with it.
   * @param bytesMax of its content, decompressed
   */
  async aux(copies: AuxCopies, bytesMax: number): Promise<TaskFailure | null> {
    const answer = await this.#ask(0, { kind: "aux", copies, bytesMax });
    if (answer.kind === "prepared") return answer.failure;
    if ("failure" in answer && answer.failure !== null) return answer.failure;
    return unanswered();
  }

  /** Storages of users, which every worker knows from now on. */
  stores(links: readonly StoreLink[]): void {
    if (links.length === 0) return;
    this.#stores = { kind: "stores", links };
    for (const slot of this.#slots.values()) slot.worker?.send(this.#stores);
  }

  /** What every task from now on shares; `shared`, with workers that are threads, what they need not read. */
  settings(settings: JobSettings, shared?: SharedAux): void {
    this.#settings = { kind: "settings", settings, ...(shared !== undefined && { shared }) };
    for (const slot of this.#slots.values()) slot.worker?.send(this.#settings);
  }

  /**
   * Runs an attempt in an idle slot; `id` names it in what the listener hears. Returns its progress board.
   */
  run(slotIndex: number, id: number, spec: TaskSpec, { trace, faults, chaos = null }: RunMore): Float64Array {
    const { slot, worker } = this.#started(slotIndex);
    if (slot.work.kind !== "nothing") throw new SheafError("INTERNAL", `slot ${slotIndex} is busy`);
    const fate = chaos === null ? null : fateOf(chaos, spec);
    const work = { kind: "attempt", id, spec, isDoomed: fate?.how === "kill" } as const;
    slot.work = work;
    slot.tail = [];
    worker.board.fill(0);
    const begin = (): void => worker.send({ kind: "run", id, spec, trace, faults });
    const later = (act: () => void): NodeJS.Timeout =>
      setTimeout(() => (slot.work === work ? act() : undefined), fate!.afterMs);
    if (fate?.how === "slow") later(begin);
    else begin();
    // In this thread nobody can end what runs: there it is done to its end, in vain.
    if (work.isDoomed && this.#options.isolation !== "inline")
      later(() => this.#doom(slotIndex, slot, id)).unref();
    return worker.board;
  }

  /** The map that runs in the slot may leave what it has not begun to so many others. */
  handOver(slotIndex: number, id: number, parts: number): void {
    const slot = this.#slots.get(slotIndex);
    if (slot?.work.kind === "attempt" && slot.work.id === id)
      slot.worker?.send({ kind: "handOver", id, parts });
  }

  /** The source of the map that runs in the slot makes no more records. */
  stop(slotIndex: number, id: number): void {
    const slot = this.#slots.get(slotIndex);
    if (slot?.work.kind === "attempt" && slot.work.id === id) slot.worker?.send({ kind: "stop", id });
  }

  /** Merges what map tasks have told, and asks the source's stop condition, in that slot. */
  async fold(request: FoldRequest, slotIndex: number): Promise<FoldAnswer | TaskFailure> {
    const answer = await this.#ask(slotIndex, { kind: "fold", request });
    if (answer.kind === "folded" && answer.answer !== null) return answer.answer;
    if ("failure" in answer && answer.failure !== null) return answer.failure;
    return unanswered();
  }

  /** The job's expect gate: null when it passed, else why not. In that slot, else in one that is idle. */
  async expect(
    counters: Readonly<Record<string, number>>,
    slotIndex: number = this.#idleSlot(),
  ): Promise<TaskFailure | string | null> {
    const answer = await this.#ask(slotIndex, { kind: "expect", counters });
    if (answer.kind === "expected") return answer.failure ?? answer.refusal;
    return answer.kind === "loaded" || answer.kind === "prepared" ? null : answer.failure;
  }

  /** The last lines printed in the slot. */
  tail(slotIndex: number): readonly string[] {
    return this.#slots.get(slotIndex)?.tail ?? [];
  }

  /**
   * Ends the slot's worker and the attempt it runs; resolves when it is gone. The listener hears nothing. A
   * question is answered first: its time has a limit of its own.
   */
  async kill(slotIndex: number): Promise<void> {
    const slot = this.#slots.get(slotIndex);
    if (slot?.work.kind === "question") await slot.work.over;
    if (slot !== undefined && slot.worker !== null) await slot.end();
  }

  /** Ends all workers; resolves when they are gone. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#slots.values()].map((slot) => slot.end()));
  }

  /** One that has an idle worker, or else none that is busy. */
  #idleSlot(): number {
    const idle = [...this.#slots].find(([, { worker, work }]) => worker !== null && work.kind === "nothing");
    if (idle !== undefined) return idle[0];
    let index = 0;
    while ((this.#slots.get(index)?.work.kind ?? "nothing") !== "nothing") index++;
    return index;
  }

  /** The slot with its worker, which is started when there is none. */
  #started(index: number): { readonly slot: WorkerSlot; readonly worker: Worker; readonly isNew: boolean } {
    let slot = this.#slots.get(index);
    if (slot === undefined) {
      slot = new WorkerSlot();
      this.#slots.set(index, slot);
    }
    if (slot.worker !== null) return { slot, worker: slot.worker, isNew: false };
    return { slot, worker: this.#startIn(index, slot), isNew: true };
  }

  #startIn(index: number, slot: WorkerSlot): Worker {
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
        exit: (exit) => {
          if (slot.worker === worker) this.#exited(index, slot, exit);
          gone();
        },
      },
    });
    slot.worker = worker;
    if (this.#options.storage !== undefined) {
      worker.send({ kind: "storage", access: this.#options.storage });
    }
    if (this.#stores !== null) worker.send(this.#stores);
    if (this.#load !== null) worker.send(this.#load);
    if (this.#settings !== null) worker.send(this.#settings);
    return worker;
  }

  #take(index: number, slot: WorkerSlot, received: unknown): void {
    let message: FromWorker;
    try {
      message = readFromWorker(received);
      if (message.kind === "result" && slot.work.kind === "attempt")
        checkResultOf(slot.work.spec, message.result);
    } catch (error) {
      this.#distrust(index, slot, error as SheafError);
      return;
    }
    this.#heard(index, slot, message);
  }

  /** What comes from it is not its own words any more: it is ended, and what it was doing has failed. */
  #distrust(index: number, slot: WorkerSlot, error: SheafError): void {
    const { phase, tail: log } = slot;
    const failure = taskFailure("USER_CODE", error.message, { phase, log, hint: error.hint ?? null });
    const work = slot.free();
    slot.kill();
    this.#tell(index, work, { kind: "load-failed", failure });
  }

  #exited(index: number, slot: WorkerSlot, exit: WorkerExit): void {
    const { phase, tail } = slot;
    const { isolation, heapBytes } = this.#options;
    slot.worker = null;
    const failure = failureOfExit(exit, phase, isolation, heapBytes, tail);
    this.#tell(index, slot.free(), { kind: "gone", failure });
  }

  /** The worker has failed: so has what it did. */
  #tell(index: number, work: SlotWork, answer: Extract<SlotAnswer, { failure: TaskFailure }>): void {
    if (work.kind === "question") work.answered(answer);
    else if (work.kind === "attempt") this.#options.listener.attemptEnded(index, work.id, answer.failure);
  }

  #heard(index: number, slot: WorkerSlot, message: FromWorker): void {
    const { work } = slot;
    const { listener } = this.#options;
    switch (message.kind) {
      case "loading":
        if (work.kind === "question") work.began();
        return;
      case "loaded":
        if (work.kind !== "question") return;
        // A worker that was started for the gate loads the job first; the gate's own time begins now.
        if (work.phase !== "load") work.began();
        else work.answered(message);
        return;
      case "load-failed":
        if (work.kind === "question") work.answered(message);
        return;
      case "expected":
        if (work.kind === "question" && work.phase === "expect") work.answered(message);
        return;
      case "folded":
        if (work.kind === "question" && work.phase === "until") work.answered(message);
        return;
      case "prepared":
        if (work.kind === "question" && work.phase === "aux") work.answered(message);
        return;
      case "told":
        if (work.kind === "attempt" && work.id === message.id) listener.told?.(index, message);
        return;
      case "result":
        if (work.kind !== "attempt" || work.id !== message.id) return;
        if (work.isDoomed) {
          this.#doom(index, slot, work.id);
          return;
        }
        slot.free();
        if (message.spoiled) slot.kill();
        listener.attemptEnded(index, message.id, message.result);
        return;
      case "log":
        slot.remember(message.text);
        listener.log(message.id ?? (work.kind === "attempt" ? work.id : null), message.stream, message.text);
        return;
      case "stray":
        listener.stray(message.failure, index);
        // Its worker is not used again; a question is answered first.
        if (work.kind === "nothing") slot.kill();
        else if (work.kind === "question") {
          const end = (): void => (slot.work.kind === "nothing" ? slot.kill() : undefined);
          work.over.then(end, end);
        }
        return;
      default:
        unreachable(message);
    }
  }

  /** Waits for the answer to a question, or for the worker's end. */
  #ask(index: number, question: SlotQuestion): Promise<SlotAnswer> {
    const { slot, worker, isNew } = this.#started(index);
    return slot.ask(worker, question, isNew, this.#options.noProgressMs);
  }

  /** Chaos ends the worker with what it does. It is told when nothing is written any more. */
  #doom(index: number, slot: WorkerSlot, id: number): void {
    const { phase, tail: log } = slot;
    const failure = taskFailure("CANCELLED", "the worker was ended by --chaos", {
      phase,
      log,
      blame: "system",
    });
    const tell = (): void => this.#options.listener.attemptEnded(index, id, failure);
    slot.end().then(tell, tell);
  }
}

function unanswered(): TaskFailure {
  return taskFailure("INTERNAL", "the worker did not answer what it was asked", { blame: "system" });
}
