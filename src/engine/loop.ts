import { SheafError, describeThrown, isSheafError } from "../base/errors.ts";
import type { Fact } from "../scheduler/facts.ts";
import type { AttemptRef } from "../scheduler/ids.ts";
import type { Command, SchedulerEvent } from "../scheduler/messages.ts";
import type { Scheduler } from "../scheduler/scheduler.ts";
import type { TaskFailure, TaskResult } from "../task/task-spec.ts";

/** The scheduler as the engine uses it: failures come with all that is known of them. */
export type EngineScheduler<Output> = Scheduler<Output, TaskFailure>;
export type EngineEvent<Output> = SchedulerEvent<Output, TaskFailure>;
export type EngineCommand = Command<TaskFailure>;

/** Where facts go that have to outlive this process. */
export interface Journal {
  /** Keeps a row; it is lasting after the next flush. */
  keep(fact: Fact): void;
  /** Rows wait to be written: those of `keep`, and whatever else the owner of the journal keeps. */
  readonly hasPending: boolean;
  /** All that waits becomes lasting, or nothing of it. @throws SheafError when it cannot be written */
  flush(): void;
}

/** Of a run that ends with its process. */
export const memoryJournal: Journal = { keep: () => undefined, hasPending: false, flush: () => undefined };

/** What is done with what the scheduler decides. `Output`: what is kept of an attempt that finished. */
export interface LoopHandlers<Output> {
  /**
   * A fact has changed, and is not lasting yet: only memory and the journal may be changed. `report`: what
   * was reported of the attempt, when this is the fact of an attempt whose report caused the change.
   */
  follow(fact: Fact<Output, TaskFailure>, report: TaskResult | null): void;
  /** A command that has been decided on and is not lasting yet: as `follow`. */
  note?(command: EngineCommand): void;
  /** All that led to the command is lasting. May push events and write to the journal. */
  perform(command: EngineCommand): void;
  /** Something was thrown where nothing should be; everything else goes on. */
  bug(error: unknown): void;
  /** The journal cannot be written; null: it can be again. */
  trouble?(error: SheafError | null): void;
}

export interface EventLoopOptions<Output> {
  readonly scheduler: EngineScheduler<Output>;
  readonly journal: Journal;
  readonly handlers: LoopHandlers<Output>;
  /** Milliseconds, monotonic; on one clock with the times in the facts that the scheduler was made of. */
  nowMs(): number;
}

/** Called when the event has been taken in, and before anything of that is lasting. */
export type Decided = (commands: readonly EngineCommand[]) => void;

interface Pushed<Output> {
  readonly event: EngineEvent<Output>;
  readonly report: TaskResult | null;
  readonly decided: Decided | null;
}

/**
 * The event loop of a run, and the only place that steps a scheduler: the scheduler takes an event in, the
 * facts that changed become lasting, and only then are commands carried out and requests answered. While the
 * journal cannot be written, nothing is carried out or answered.
 */
export class EventLoop<Output> {
  readonly scheduler: EngineScheduler<Output>;
  readonly #journal: Journal;
  readonly #handlers: LoopHandlers<Output>;
  readonly #nowMs: () => number;
  #events: Pushed<Output>[] = [];
  /** To be done, in this order, when what has been decided is lasting. */
  #due: (() => void)[] = [];
  #running = false;
  #soon = false;
  #waiting: ((error: SheafError | null) => void)[] = [];
  #trouble: SheafError | null = null;
  #closed = false;

  constructor({ scheduler, journal, handlers, nowMs }: EventLoopOptions<Output>) {
    this.scheduler = scheduler;
    this.#journal = journal;
    this.#handlers = handlers;
    this.#nowMs = nowMs;
  }

  /** Why nothing can be acknowledged; null when all is well. */
  get trouble(): SheafError | null {
    return this.#trouble;
  }

  /** The event is taken in at the next `settle`, with what was reported of the attempt it is about. */
  push(event: EngineEvent<Output>, decided: Decided | null = null, report: TaskResult | null = null): void {
    this.#events.push({ event, report, decided });
  }

  /** Does the work when all that has been decided up to now is lasting. */
  after(work: () => void): void {
    this.#due.push(work);
  }

  /** Tells of something that was thrown where nothing should be. */
  bug(error: unknown): void {
    this.#handlers.bug(error);
  }

  /** Carries out commands that no event has led to: those of a restored scheduler. */
  perform(commands: readonly EngineCommand[]): void {
    for (const command of commands) this.#due.push(() => this.#handlers.perform(command));
  }

  /**
   * Runs until nothing is left to do. Called from within itself it does nothing: what was pushed has its
   * turn.
   * @throws SheafError why the journal cannot be written, or UNREACHABLE when the loop is closed
   */
  settle(): void {
    if (this.#running) return;
    if (this.#closed) throw closedError();
    this.#running = true;
    try {
      do {
        this.#decide();
        this.#write();
        const due = this.#due;
        this.#due = [];
        for (const work of due) this.#do(work);
      } while (this.#events.length > 0 || this.#due.length > 0 || this.#journal.hasPending);
    } finally {
      this.#running = false;
    }
  }

  /**
   * Pushes one event and settles. Never throws: called by timers and workers, who could do nothing about it.
   * What is thrown goes to the `trouble` handler when it is the journal's, else to `bug`.
   */
  dispatch(event: EngineEvent<Output>): void {
    this.push(event);
    this.settleQuietly();
  }

  /** @throws SheafError why nothing can be acknowledged at present */
  mayAcknowledge(): void {
    if (this.#trouble !== null) throw this.#trouble;
  }

  /** Changes something, and answers when the change is lasting. @throws SheafError as settle */
  change<T>(work: () => void, answer: () => T): T {
    this.mayAcknowledge();
    work();
    this.settle();
    return answer();
  }

  /** As settle, but returns what that would throw; `bug` is told of what settle is not said to throw. */
  settleQuietly(): SheafError | null {
    try {
      this.settle();
      return null;
    } catch (error) {
      if (isSheafError(error) && (this.#closed || error === this.#trouble)) return error;
      this.#handlers.bug(error);
      if (isSheafError(error)) return error;
      return new SheafError("INTERNAL", `the event loop failed: ${describeThrown(error)}`, { cause: error });
    }
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** From now on nothing changes any more. */
  close(): void {
    this.#closed = true;
  }

  /** Settles soon, together with what others push until then. Rejects as settle throws. */
  settled(): Promise<void> {
    const settled = new Promise<void>((resolve, reject) => {
      this.#waiting.push((error) => (error === null ? resolve() : reject(error)));
    });
    if (!this.#soon) {
      this.#soon = true;
      setImmediate(() => {
        this.#soon = false;
        const waiting = this.#waiting;
        this.#waiting = [];
        const failed = this.settleQuietly();
        for (const one of waiting) one(failed);
      });
    }
    return settled;
  }

  #do(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#handlers.bug(error);
    }
  }

  #decide(): void {
    for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
      const { event, report, decided } = next;
      const commands = this.scheduler.step(event, this.#nowMs());
      for (const fact of this.scheduler.takeFacts()) {
        this.#journal.keep(fact);
        this.#handlers.follow(fact, report !== null && isAbout(fact, event) ? report : null);
      }
      decided?.(commands);
      if (this.#handlers.note !== undefined) for (const command of commands) this.#handlers.note(command);
      this.perform(commands);
    }
  }

  #write(): void {
    try {
      this.#journal.flush();
    } catch (error) {
      if (!isSheafError(error)) throw error;
      if (this.#trouble === null) this.#handlers.trouble?.(error);
      this.#trouble = error;
      throw error;
    }
    if (this.#trouble !== null) this.#handlers.trouble?.(null);
    this.#trouble = null;
  }
}

function isAbout(fact: Fact, event: EngineEvent<unknown>): boolean {
  if (fact.kind !== "attempt" || !("attempt" in event) || event.attempt === null) return false;
  const { job, phase, task, attempt }: AttemptRef = event.attempt;
  return fact.attempt === attempt && fact.task === task && fact.phase === phase && fact.job === job;
}

function closedError(): SheafError {
  return new SheafError("UNREACHABLE", "the coordinator is being stopped", {
    hint: "Try again when it is back.",
    retryable: true,
  });
}
