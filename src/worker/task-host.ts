import { SheafError, errorCharsMax, plainError } from "../base/errors.ts";
import { Promise, setImmediate, setTimeout } from "../base/own-globals.ts";
import { cutText, printValue } from "../base/print-value.ts";
import { jobOfInput } from "../job/define.ts";
import type { Job } from "../job/job-plan.ts";
import { isPipeline, type Pipeline } from "../steps/pipeline.ts";
import { choiceExport, jobOfStep, type StepChoice } from "../steps/step-choice.ts";
import { linkStores, setStoreAccess } from "../storage/stores.ts";
import { AuxData, type SharedAux } from "../task/aux.ts";
import type { FoldAnswer, FoldRequest } from "../task/fold-states.ts";
import { PROGRESS_CELLS } from "../task/task-spec.ts";
import type { JobSettings, TaskFailure, TaskResult, TaskRunner, TaskSpec } from "../task/task-spec.ts";
import { failureOfThrown, taskFailure } from "./failure.ts";
import { faultFor } from "./fault-injection.ts";
import type { InjectedFault } from "./fault-injection.ts";
import { injectFault } from "./injected-fault.ts";
import type { FromWorker, ToWorker } from "./messages.ts";
import { outlineOf, pipelineOutline } from "./outline.ts";
import { OutputCapture } from "./output-capture.ts";
import { findPatch, patchError } from "./patched-globals.ts";
import { tracedJob } from "./trace.ts";
import type { Trace } from "./trace.ts";

export interface TaskHostOptions {
  readonly board: Float64Array;
  post(message: FromWorker): void;
  /** Called around tasks: while one runs the message port must not keep the event loop alive (see idle()). */
  busy(running: boolean): void;
  /** Nothing of an attempt's own calls runs any more: also when it had been given up before. */
  settled?(): void;
  /** The board has changed and must have reached the parent before this returns. */
  written(): void;
  /** How this worker kills itself, for injected faults. */
  kill(): void;
  /** Set for a Job object, which needs no loading. */
  readonly job?: Job;
}

/** A task being run. Taken out of `TaskHost` when it has its result, whichever way that came about. */
interface Running {
  readonly id: number;
  readonly spec: TaskSpec;
  readonly abort: AbortController;
  /** So many would take over what it has not begun. */
  parts: number;
  /** Its source makes no more records. */
  isStopped: boolean;
}

/**
 * The worker's half: handles the parent's messages one after the other and answers each. The same in a
 * thread, in a child process and inline; what differs comes in by TaskHostOptions.
 */
export class TaskHost {
  readonly capture: OutputCapture;
  readonly #options: TaskHostOptions;
  #job: Job | null = null;
  #pipeline: Pipeline | null = null;
  #loadFailure: TaskFailure | null = null;
  #settings: JobSettings | null = null;
  #runner: TaskRunner | null = null;
  /** Of the job, whatever its settings become. */
  readonly #aux = new AuxData();
  #shared: SharedAux = {};
  #running: Running | null = null;
  /** The attempt whose source was stopped last. */
  #stopped: number | null = null;
  #queue: Promise<void> = Promise.resolve();
  readonly #engine = loadEngine();

  constructor(options: TaskHostOptions) {
    this.#options = options;
    this.#job = options.job ?? null;
    this.capture = new OutputCapture((stream, text) =>
      options.post({ kind: "log", id: this.#running?.id ?? null, stream, text }),
    );
    this.#engine.catch(() => undefined);
  }

  receive(message: ToWorker): void {
    if (message.kind === "cancel") {
      if (this.#running?.id === message.id)
        this.#running.abort.abort(new SheafError("CANCELLED", "cancelled"));
      return;
    }
    if (message.kind === "handOver") {
      if (this.#running?.id === message.id) this.#running.parts = message.parts;
      return;
    }
    if (message.kind === "stop") {
      // It may have come to its turn only after this.
      this.#stopped = message.id;
      if (this.#running?.id === message.id) this.#running.isStopped = true;
      return;
    }
    this.#queue = this.#queue.then(() => this.#handle(message));
  }

  /** User code threw where nobody could catch it: a rejected promise, a timer, a stream. */
  uncaught(error: unknown): void {
    const failure = failureOfThrown(error, "uncaught", "USER_CODE");
    if (this.#running === null) this.#options.post({ kind: "stray", failure });
    else this.#finish(this.#running, this.#told(failure), true);
  }

  /** The event loop has run dry: when a task is running, what it waits for can never happen. */
  idle(): void {
    if (this.#running === null) return;
    const failure = taskFailure(
      "USER_CODE",
      `the ${this.#running.spec.kind} waits for a promise that never settles: nothing is left to settle it`,
      {
        name: "Error",
        phase: this.#running.spec.kind,
        hint: "Look for a promise whose resolve is never called.",
      },
    );
    this.#finish(this.#running, this.#told(failure), true);
  }

  /**
   * The parent has given this worker up: whatever still runs is told to stop, and its result matters to
   * nobody.
   */
  abandon(): void {
    this.#running?.abort.abort(new SheafError("CANCELLED", "cancelled"));
    if (this.#running !== null) this.#options.busy(false);
    this.#running = null;
    this.#runner?.close();
  }

  async #handle(message: Exclude<ToWorker, { kind: "cancel" | "handOver" | "stop" }>): Promise<void> {
    switch (message.kind) {
      case "load":
        return this.#load(message.url);
      case "storage":
        setStoreAccess(message.access);
        return;
      case "stores":
        linkStores(message.links);
        return;
      case "settings":
        this.#settings = message.settings;
        this.#shared = message.shared ?? {};
        this.#runner?.close();
        this.#runner = null;
        return;
      case "aux":
        return this.#prepare(message);
      case "run":
        return this.#run(message);
      case "expect":
        return this.#expect(message.counters);
      case "fold":
        return this.#fold(message.request);
    }
  }

  async #load(url: string): Promise<void> {
    try {
      await this.#engine;
      this.#options.post({ kind: "loading" });
      if (this.#job === null) {
        const loaded = (await import(url)) as { readonly default?: unknown };
        const exported = jobOfModule(loaded);
        if (!isPipeline(exported)) this.#job = asJob(exported);
        else this.#pipeline = exported;
      }
      const patch = findPatch();
      if (patch !== null) throw patchError("JOB_LOAD", patch);
      const outline = this.#job === null ? pipelineOutline(this.#pipeline!) : outlineOf(this.#job);
      this.#options.post({ kind: "loaded", outline });
    } catch (error) {
      // What was thrown may come of what was changed.
      const patch = findPatch();
      const cause = patch === null ? error : patchError("JOB_LOAD", patch);
      this.#loadFailure = failureOfThrown(cause, "load", "JOB_LOAD");
      this.#options.post({ kind: "load-failed", failure: this.#told(this.#loadFailure) });
    } finally {
      this.capture.end();
    }
  }

  async #run({ id, spec, trace, faults }: Extract<ToWorker, { kind: "run" }>): Promise<void> {
    this.capture.reset();
    this.#options.board.fill(0);
    const running = { id, spec, abort: new AbortController(), parts: 0, isStopped: this.#stopped === id };
    this.#running = running;
    this.#options.busy(true);
    const result = await this.#attempt(running, trace, faults);
    // One turn of the loop, so that an error thrown just after the user's function returned is still this
    // attempt's. Most of thousands of partitions are empty, and a turn costs more than all else in them.
    const ranItsCode = ranUserCode(spec, result);
    if (ranItsCode) await new Promise((resolve) => setTimeout(resolve, 0));
    this.#options.settled?.();
    if (this.#running !== running) return;
    const patch = ranItsCode ? findPatch() : null;
    const ended =
      patch === null ? result : failureOfThrown(patchError("USER_CODE", patch), spec.kind, "USER_CODE");
    this.#finish(running, ended.kind === "failure" ? this.#told(ended) : ended, patch !== null);
  }

  async #attempt(
    running: Running,
    trace: Trace | null,
    faults: readonly InjectedFault[],
  ): Promise<TaskResult> {
    let runner: TaskRunner | null = null;
    try {
      if (this.#loadFailure !== null) return this.#loadFailure;
      runner = await this.#taskRunner(running.spec, trace);
      // From here on a board that stands still means user code that does: the parent is to know it at once.
      this.#options.board[PROGRESS_CELLS.beat]! += 1;
      this.#options.written();
      const atStart = faultFor(faults, running.spec, "start");
      if (atStart !== undefined) await injectFault(atStart, this.#options.kill);
      const result = await runner.run(running.spec, {
        progress: this.#options.board,
        signal: running.abort.signal,
        turn: () => new Promise((resolve) => setImmediate(() => resolve(running.parts))),
        isStopped: () => running.isStopped,
        told: (states, records, made) =>
          this.#options.post({ kind: "told", id: running.id, states, records, made }),
        log: (line) => this.capture.line("log", line),
      });
      const atEnd = faultFor(faults, running.spec, "end");
      if (atEnd !== undefined) await injectFault(atEnd, this.#options.kill);
      return result;
    } catch (error) {
      const injected = plainError(error).name === "InjectedFault";
      return failureOfThrown(
        error,
        running.spec.kind,
        injected ? "USER_CODE" : "INTERNAL",
        injected ? "user" : "system",
      );
    } finally {
      if (runner !== this.#runner) runner?.close();
    }
  }

  /** Traced attempts have a runner of their own; the others share one, with its memory. */
  async #taskRunner(spec: TaskSpec, trace: Trace | null): Promise<TaskRunner> {
    if (this.#job === null || this.#settings === null) throw new SheafError("INTERNAL", "task before job");
    const createTaskRunner = await this.#engine;
    const settings = withDefaultParams(this.#job, this.#settings);
    const aux = { data: this.#aux, shared: this.#shared };
    if (trace !== null && spec.kind === "map") {
      const job = jobOfInput(this.#job, spec.split.input);
      const traced = tracedJob(job, spec, trace, this.#options.board, () => this.#options.written());
      return createTaskRunner(traced, settings, aux);
    }
    this.#runner ??= createTaskRunner(this.#job, settings, aux);
    return this.#runner;
  }

  #finish(running: Running, result: TaskResult, spoiled: boolean): void {
    this.capture.end();
    this.#running = null;
    this.#options.busy(false);
    this.#options.board[PROGRESS_CELLS.beat]! += 1;
    this.#options.post({ kind: "result", id: running.id, result, spoiled });
  }

  /** What was printed tells more than nothing when the task itself logged nothing. */
  #told(failure: TaskFailure): TaskFailure {
    return failure.log.length > 0 ? failure : { ...failure, log: this.capture.tail() };
  }

  async #expect(counters: Readonly<Record<string, number>>): Promise<void> {
    let refusal: string | null = null;
    let failure: TaskFailure | null = null;
    try {
      const verdict: unknown = await this.#job?.expect?.({ ...counters });
      if (typeof verdict === "string") refusal = cutText(verdict, errorCharsMax);
      else if (verdict !== true) refusal = `expect returned ${printValue(verdict)}`;
    } catch (error) {
      failure = failureOfThrown(error, "expect", "EXPECT_FAILED");
    }
    this.capture.end();
    this.#options.post({ kind: "expected", refusal, failure });
  }

  async #prepare({ copies, bytesMax }: Extract<ToWorker, { kind: "aux" }>): Promise<void> {
    let failure = this.#loadFailure;
    try {
      const progress = (): void => this.#options.post({ kind: "loading" });
      const shared = this.#shared;
      if (failure === null)
        await this.#aux.load(this.#job?.aux ?? {}, copies, { shared, bytesMax, progress });
    } catch (error) {
      failure = failureOfThrown(error, "aux", "USER_CODE", "data");
    }
    this.capture.end();
    this.#options.post({ kind: "prepared", failure: failure === null ? null : this.#told(failure) });
  }

  async #fold(request: FoldRequest): Promise<void> {
    let answer: FoldAnswer | null = null;
    let failure: TaskFailure | null = null;
    try {
      if (this.#job === null) throw new SheafError("INTERNAL", "states before the job");
      const { foldStates } = await import("../task/fold-states.ts");
      answer = foldStates(this.#job, request);
    } catch (error) {
      failure = this.#told(this.#loadFailure ?? failureOfThrown(error, "until", "USER_CODE"));
    }
    this.capture.end();
    this.#options.post({ kind: "folded", answer, failure });
  }
}

/**
 * Begun when the worker starts, so that all is there when the bundle is: the engine, and what job files
 * import.
 */
async function loadEngine() {
  const [{ createTaskRunner }] = await Promise.all([import("../task/task-runner.ts"), import("../index.ts")]);
  return createTaskRunner;
}

/** Of code that was compiled to CommonJS (`exports.default = job(...)`) too. */
function defaultOf(loaded: { readonly default?: unknown }): unknown {
  const exported = loaded.default;
  const isCompiled = typeof exported === "object" && exported !== null && "__esModule" in exported;
  return isCompiled && "default" in exported ? exported.default : exported;
}

/** What a bundle is of: its default export; where it says so, that step of the pipeline which that is. */
export function jobOfModule(loaded: { readonly default?: unknown }): unknown {
  const exported = defaultOf(loaded);
  const choice = (loaded as Readonly<Record<string, unknown>>)[choiceExport];
  if (choice === undefined || !isPipeline(exported)) return exported;
  return jobOfStep(exported, choice as StepChoice);
}

function asJob(exported: unknown): Job {
  if (typeof exported === "object" && exported !== null && "sheaf" in exported && exported.sheaf === "job") {
    return exported as Job;
  }
  throw new SheafError("JOB_LOAD", "the job file's default export is no job", {
    hint: "End the job file with: export default job({ input: ..., map: ..., reduce: ... });",
  });
}

/** Params that were given, over the job's own, which never leave the worker: they may be of any type. */
export function withDefaultParams(job: Job, settings: JobSettings): JobSettings {
  return { ...settings, params: { ...job.params, ...settings.params } };
}

/** A reduce without groups has called nothing of the job's. */
function ranUserCode(spec: TaskSpec, result: TaskResult): boolean {
  return spec.kind !== "reduce" || result.kind !== "success" || result.stats.groups > 0;
}
