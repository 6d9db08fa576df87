import { SheafError, describeThrown, isSheafError } from "../base/errors.ts";
import type { Command } from "../scheduler/commands.ts";
import type { SchedulerEvent } from "../scheduler/events.ts";
import { factKey } from "../scheduler/facts.ts";
import type { Fact } from "../scheduler/facts.ts";
import type { Scheduler } from "../scheduler/scheduler.ts";
import type { Store } from "./store.ts";

export interface PumpHandlers {
  /** In memory and in the store (`put`) only: what the facts say is not durable yet. */
  follow(fact: Fact): void;
  /** A command that has been decided on and is not durable: as `follow`. */
  note(command: Command): void;
  /** Everything that led to the command is durable. May push events, and put into the store. */
  perform(command: Command): void;
  /** What was thrown where nothing may be: the rest goes on. */
  bug(error: unknown): void;
  /** The store cannot be written, or (null) can be again. */
  trouble(error: SheafError | null): void;
}

/**
 * The one way by which anything changes: events are taken in by the scheduler, what has to outlive the
 * coordinator is written in one transaction, and only then are commands carried out and requests answered.
 * When the store cannot be written nothing is carried out or answered until it can.
 */
export class Pump {
  readonly #scheduler: Scheduler;
  readonly #store: Store;
  readonly #handlers: PumpHandlers;
  readonly #nowMs: () => number;
  #events: {
    readonly event: SchedulerEvent;
    readonly decided: ((commands: readonly Command[]) => void) | null;
  }[] = [];
  /** To be done once what has been decided is durable, in order. */
  #due: (() => void)[] = [];
  #running = false;
  #soon = false;
  #waiting: ((error: SheafError | null) => void)[] = [];
  #trouble: SheafError | null = null;
  #closed = false;

  constructor(scheduler: Scheduler, store: Store, nowMs: () => number, handlers: PumpHandlers) {
    this.#scheduler = scheduler;
    this.#store = store;
    this.#nowMs = nowMs;
    this.#handlers = handlers;
  }

  /** Why nothing can be acknowledged; null when all is well. */
  get trouble(): SheafError | null {
    return this.#trouble;
  }

  /**
   * Takes the event in at the next `settle`. `decided` is called when it has been taken in and nothing of it
   * is durable; it may put into the store.
   */
  push(event: SchedulerEvent, decided: ((commands: readonly Command[]) => void) | null = null): void {
    this.#events.push({ event, decided });
  }

  /** Does it once what has been decided up to now is durable. */
  after(work: () => void): void {
    this.#due.push(work);
  }

  /** Something was thrown where nothing may be. */
  bug(error: unknown): void {
    this.#handlers.bug(error);
  }

  /** Carries out commands that no event has led to: those of a restored scheduler. */
  perform(commands: readonly Command[]): void {
    for (const command of commands) this.#due.push(() => this.#handlers.perform(command));
  }

  /**
   * Until nothing is left to do. Called from within itself it does nothing: what was pushed has its turn.
   * @throws SheafError why the store cannot be written
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
      } while (this.#events.length > 0 || this.#due.length > 0 || this.#store.hasPending);
    } finally {
      this.#running = false;
    }
  }

  /** @throws SheafError why nothing can be acknowledged at present */
  mayAcknowledge(): void {
    if (this.#trouble !== null) throw this.#trouble;
  }

  /** Changes something, and answers when that is durable. @throws SheafError as settle */
  change<T>(work: () => void, answer: () => T): T {
    this.mayAcknowledge();
    work();
    this.settle();
    return answer();
  }

  /** As settle, but says what it would throw. */
  settleQuietly(): SheafError | null {
    try {
      this.settle();
      return null;
    } catch (error) {
      if (isSheafError(error)) return error;
      this.#handlers.bug(error);
      return new SheafError("INTERNAL", `the coordinator failed: ${describeThrown(error)}`, { cause: error });
    }
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** From now on nothing changes any more. */
  close(): void {
    this.#closed = true;
  }

  /** Settles soon, together with what others push until then. Rejects when the store cannot be written. */
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
      const commands = this.#scheduler.step(next.event, this.#nowMs());
      for (const fact of this.#scheduler.takeFacts()) {
        this.#keep(fact);
        this.#handlers.follow(fact);
      }
      next.decided?.(commands);
      for (const command of commands) this.#handlers.note(command);
      this.perform(commands);
    }
  }

  #keep(fact: Fact): void {
    // The history of a job is the coordinator's to forget, not the scheduler's.
    if (fact.kind === "jobForgotten") return;
    const isGone =
      (fact.kind === "bar" && fact.bar === null) || (fact.kind === "handBar" && fact.reason === null);
    const job = "job" in fact ? fact.job : "";
    this.#store.putOf("facts", job, factKey(fact), isGone ? null : JSON.stringify(fact));
  }

  #write(): void {
    try {
      this.#store.flush();
    } catch (error) {
      if (!isSheafError(error)) throw error;
      if (this.#trouble === null) this.#handlers.trouble(error);
      this.#trouble = error;
      throw error;
    }
    if (this.#trouble !== null) this.#handlers.trouble(null);
    this.#trouble = null;
  }
}

function closedError(): SheafError {
  return new SheafError("UNREACHABLE", "the coordinator is being stopped", {
    hint: "Try again when it is back.",
    retryable: true,
  });
}
