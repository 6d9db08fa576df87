import { type ChildProcess, spawn } from "node:child_process";
import type { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { describeThrown, SheafError } from "../base/errors.ts";
import { clearTimeout, Date, Promise, setTimeout } from "../base/own-globals.ts";
import { formatSize } from "../base/size.ts";
import { commandText, type ExecPlan } from "../job/exec.ts";
import { findProgram } from "./find-program.ts";
import { isPosix, launched, signalGroup } from "./launch.ts";
import { treeBytes } from "./process-tree.ts";
import { Reports, type ReportsTarget } from "./reports.ts";

/** How often the time without progress, and memory, are looked at. */
const LOOK_MS = 200;

/** Where in the input a program is, as far as can be told: what was handed to it. */
export interface InputPlace {
  readonly path: string | null;
  readonly offset: number | null;
}

export interface ProgramStart {
  readonly plan: ExecPlan;
  /** Its current directory. */
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Takes what it writes, in order; a promise makes it wait. What it throws ends the program. */
  take(chunk: Buffer): Promise<void> | void;
  /** It has read, written or reported something. */
  moved(): void;
  place(): InputPlace;
  readonly reports: ReportsTarget;
  readonly signal: AbortSignal;
}

/** What a task does with a program. */
export interface RunningProgram {
  /** False when the program has closed its input, or has ended: what is left of it need not be read. */
  readonly takesInput: boolean;
  /**
   * Resolves when the program, or the system for it, has taken the bytes, which may then be used anew.
   * @throws what has ended the program
   */
  write(bytes: Uint8Array): Promise<void>;
  /**
   * It has been given all: waits until it is done.
   * @throws SheafError PROGRAM_FAILED for its exit code or signal; what `take` has thrown
   */
  finish(): Promise<void>;
  /** Ends it, and all that it has started. */
  kill(): void;
}

/**
 * A program that is running. It is written to and read from at the same time, so that none can be made to
 * wait for itself; each side waits for the other where that is slow.
 */
export class Program implements RunningProgram {
  readonly #start: ProgramStart;
  readonly #child: ChildProcess;
  readonly #reports: Reports;
  readonly #stdin: Writable;
  readonly #over: Promise<void>;
  #failure: { readonly error: unknown } | undefined;
  #takesInput = true;
  #hasEnded = false;
  #isGroupEnded = false;
  #movedMs = Date.now();
  /** It has been given something to read, or all there is: what it does not do is its own delay. */
  #isAwaited = false;
  /** Chunks of its that wait for what takes them. */
  #taking = 0;
  #looking: NodeJS.Timeout | undefined;
  #stop: () => void = () => undefined;

  /** @throws SheafError PROGRAM_UNUSABLE */
  constructor(start: ProgramStart) {
    this.#start = start;
    const { plan, directory, environment, reports, signal } = start;
    const [name, ...words] = plan.argv;
    const file = findProgram(name!, directory, environment["PATH"]);
    const [command, given] = launched(file, words);
    try {
      this.#child = spawn(command, given, {
        cwd: directory,
        env: environment,
        stdio: ["pipe", "pipe", "pipe", "pipe"],
        detached: isPosix(),
      });
    } catch (error) {
      throw this.#ended({ code: null, signal: null, error });
    }
    // Without descriptors there are no streams, and the error itself comes only later.
    this.#child.on("error", () => undefined);
    if ((this.#child.stdin as Writable | null | undefined) == null) {
      const error = new Error("too many open files (EMFILE or ENFILE)");
      throw this.#ended({ code: null, signal: null, error });
    }
    this.#reports = new Reports(plan.reporter, reports);
    this.#stdin = this.#child.stdin!;
    // A program may close its input whenever it has enough.
    this.#stdin.on("error", () => void (this.#takesInput = false));
    this.#child.stdio[3]?.on("error", () => undefined);
    this.#over = this.#untilOver();
    this.#over.catch(() => undefined);
    const cancelled = (): void => this.#fail(signal.reason);
    signal.addEventListener("abort", cancelled, { once: true });
    this.#stop = () => signal.removeEventListener("abort", cancelled);
    if (signal.aborted) cancelled();
    this.#look();
  }

  get takesInput(): boolean {
    return this.#takesInput && this.#failure === undefined && !this.#stdin.destroyed;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.takesInput && bytes.length > 0) {
      this.#isAwaited = true;
      await new Promise<void>((resolve) => this.#stdin.write(bytes, () => resolve()));
      this.#isAwaited = false;
      this.#moved();
    }
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Closes its input and waits for its end; nothing that it has started is left. */
  async finish(): Promise<void> {
    this.#isAwaited = true;
    this.#stdin.end();
    await this.#over;
  }

  kill(): void {
    this.#fail(new SheafError("CANCELLED", "cancelled"));
  }

  /** It has ended, or is being ended. */
  get isOver(): boolean {
    return this.#hasEnded || this.#failure !== undefined;
  }

  /** Settles when it has ended, as finish() does, which closes its input before. */
  get over(): Promise<void> {
    return this.#over;
  }

  /** Something is to come of it now: what it does not do is its own delay. Its input stays open. */
  expectWord(): void {
    this.#isAwaited = true;
  }

  /** Nothing is wanted of it for a while; meanwhile it does not keep this process going. */
  rest(): void {
    this.#isAwaited = false;
    clearTimeout(this.#looking);
    for (const handle of this.#handles()) handle.unref();
  }

  wake(): void {
    for (const handle of this.#handles()) handle.ref();
    this.#movedMs = Date.now();
    clearTimeout(this.#looking);
    this.#look();
  }

  /** All streams of a child are sockets, and keep this process going as it does. */
  #handles(): readonly (ChildProcess | Socket)[] {
    const { stdio } = this.#child;
    return [this.#child, ...stdio.filter((one) => one != null)] as (ChildProcess | Socket)[];
  }

  async #untilOver(): Promise<void> {
    const child = this.#child;
    const [exit] = await Promise.all([
      new Promise<Exit>((resolve) => {
        child.once("error", (error) => resolve({ code: null, signal: null, error }));
        child.once("exit", (code, signal) => {
          this.#hasEnded = true;
          // What it has started for a task would hold its pipes open.
          if (this.#start.plan.reuse) this.#endGroup();
          resolve({ code, signal, error: null });
        });
      }),
      this.#drained(child.stdout!, (chunk) => this.#start.take(chunk)),
      this.#drained(child.stderr!, (chunk) => this.#reports.take(chunk)),
    ]);
    try {
      this.#reports.end();
    } finally {
      this.#close();
    }
    if (this.#failure !== undefined) throw this.#failure.error;
    const { exitCodes } = this.#start.plan;
    const isFine = exit.code !== null && (exitCodes === "any" || exitCodes.includes(exit.code));
    if (!isFine) throw this.#ended(exit);
  }

  /**
   * Gives each chunk to `take`, one after the other, until the stream has ended and all is taken. Paused or
   * not, a stream gives what it has left when the program exits: chunks wait for those before them.
   */
  #drained(stream: Readable, take: (chunk: Buffer) => Promise<void> | void): Promise<void> {
    return new Promise((resolve) => {
      let busy: Promise<void> | undefined;
      const fail = (error: unknown): void => {
        this.#fail(error);
        stream.resume();
      };
      const next = (chunk: Buffer): Promise<void> | void =>
        this.#failure === undefined ? take(chunk) : undefined;
      stream.on("data", (chunk: Buffer) => {
        if (this.#failure !== undefined) return;
        this.#moved();
        try {
          const now = busy === undefined ? take(chunk) : busy.then(() => next(chunk));
          if (now === undefined) return;
          busy = now;
          this.#taking++;
          stream.pause();
          now.then(() => {
            this.#taking--;
            if (busy !== now) return;
            busy = undefined;
            stream.resume();
          }, fail);
        } catch (error) {
          fail(error);
        }
      });
      const over = (): void => void (busy ?? Promise.resolve()).then(resolve, () => resolve());
      stream.on("error", over);
      stream.on("close", over);
    });
  }

  #moved(): void {
    this.#movedMs = Date.now();
    this.#start.moved();
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    clearTimeout(this.#looking);
    this.#endGroup();
    // What it has left in its pipes matters to nobody, and processes that it has hidden may hold them open.
    this.#stdin.destroy();
    this.#child.stdout!.destroy();
    this.#child.stderr!.destroy();
  }

  #close(): void {
    clearTimeout(this.#looking);
    this.#stop();
    this.#endGroup();
    this.#stdin.destroy();
  }

  /** The watcher keeps the group's number from being another's until it is ended itself. */
  #endGroup(): void {
    if (this.#isGroupEnded) return;
    this.#isGroupEnded = true;
    signalGroup(this.#child.pid, "SIGKILL");
    (this.#child.stdio[3] as Writable | undefined)?.destroy();
  }

  #look(): void {
    const { plan } = this.#start;
    const { memoryBytes, noProgressMs } = plan;
    if (this.#failure !== undefined || (memoryBytes === undefined && noProgressMs === undefined)) return;
    const dueMs = Date.now() + LOOK_MS;
    this.#looking = setTimeout(() => {
      const now = Date.now();
      // Time in which this thread has worked, or it had nothing to do, is not the program's.
      const isOurs = !this.#isAwaited || now > dueMs + LOOK_MS || this.#taking > 0;
      if (isOurs) this.#movedMs = now;
      const has = memoryBytes === undefined ? 0 : treeBytes(this.#child.pid);
      if (memoryBytes !== undefined && has > memoryBytes) {
        const [is, may] = [formatSize(has), formatSize(memoryBytes)];
        this.#fail(
          this.error("OUT_OF_MEMORY", `its memory grew to ${is}, above the ${may} it may have`, {
            hint: "Raise `memory` of exec(), or let the program keep less.",
          }),
        );
      } else if (noProgressMs !== undefined && now - this.#movedMs > noProgressMs) {
        this.#fail(
          this.error("NO_PROGRESS", `it has neither read, written nor reported for ${noProgressMs} ms`, {
            hint: "Raise `noProgressMs` of exec(), or have it write reporter:status:TEXT to standard error.",
          }),
        );
      } else this.#look();
    }, LOOK_MS);
  }

  #ended({ code, signal, error }: Exit): SheafError {
    if (error !== null) {
      return new SheafError(
        "PROGRAM_UNUSABLE",
        `${commandText(this.#start.plan)} cannot be started: ${describeThrown(error)}`,
        { cause: error, hint: "See that the machine has processes, memory and descriptors left." },
      );
    }
    if (signal !== null) {
      return this.error("PROGRAM_FAILED", `it was ended by ${signal}`, {
        hint:
          signal === "SIGKILL"
            ? "The system kills when memory runs out: run fewer workers, or let the program keep less."
            : "Its last lines on standard error may say why; sheaf replay runs the task again.",
      });
    }
    return this.error("PROGRAM_FAILED", `it ended with exit code ${code}`, {
      hint:
        code === 126 || code === 127
          ? "Programs use these codes for commands that they did not find or could not run."
          : "Where that is no failure (grep that finds nothing: 1), say exitCodes: [0, 1].",
    });
  }

  /** What it has done wrong, with its last words and where in the input that was. */
  error(
    code: "PROGRAM_FAILED" | "OUT_OF_MEMORY" | "NO_PROGRESS",
    what: string,
    more: { readonly hint: string },
  ): SheafError {
    const { path, offset } = this.#start.place();
    const last = this.#reports.last;
    const upTo = offset === null ? "" : ` up to offset ${offset}`;
    const where = path === null ? "" : `; it had been given ${path}${upTo}`;
    const words = last === "" ? "" : `: ${last}`;
    return new SheafError(code, `${commandText(this.#start.plan)}: ${what}${words}${where}`, {
      ...more,
      details: { path, offset },
    });
  }
}

interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
  readonly error: unknown;
}
