import { SheafError } from "../base/errors.ts";
import { clearTimeout, Promise, setTimeout } from "../base/own-globals.ts";
import { printValue } from "../base/print-value.ts";
import { commandText, type ExecPlan } from "../job/exec.ts";
import { Program, type ProgramStart, type RunningProgram } from "./program.ts";
import { type WordForm, wordForm } from "./words.ts";

/** For a program to be ready for its first task; it may have much to load. */
const READY_MS = 60_000;

/** Where a program that does several tasks is at home: what it has from the first to the last of them. */
export interface StandingHome {
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** A word that it has to say: `{ name: task }`, and where it ends what belongs to none or a task, both. */
interface Expected {
  readonly name: "sheaf" | "began" | "done";
  readonly task: number;
  readonly from: Set<"out" | "err">;
  resolve(): void;
}

/**
 * A program that does one task after the other. What it says and is told besides data are words (words.ts):
 * {"sheaf": 0} when it is ready, {"task": N, ...} to it and {"began": N} from it, and when it has been given
 * all, {"end": true} to it and {"done": N} from it. Between these it waits. Standard error has no order with
 * standard output: there "sheaf:end:N" ends what belongs to task N, and with 0 what belongs to none.
 */
export class StandingProgram {
  readonly #plan: ExecPlan;
  readonly #program: Program;
  readonly #form: WordForm;
  readonly #end = new AbortController();
  #task: ProgramStart | undefined;
  #number = 0;
  /** What it writes to standard output is of the task. */
  #isWorking = false;
  /** What it writes to standard error is. */
  #isHeard = false;
  #expected: Expected | undefined;
  /** It has not kept to the protocol: what it did for the task before may not be all of it. */
  #violation: SheafError | undefined;
  readonly #ready: Promise<void>;

  /** @throws SheafError PROGRAM_UNUSABLE */
  constructor(plan: ExecPlan, { directory, environment }: StandingHome, task: ProgramStart) {
    this.#plan = plan;
    this.#form = wordForm(plan.protocol === "json" ? "json" : "bytes");
    this.#task = task;
    const split = this.#form.splitter();
    this.#program = new Program({
      plan,
      directory,
      environment: { ...environment, SHEAF_TASKS: "many" },
      take: (chunk) => {
        const { data, word } = split(chunk);
        const taken = data.length === 0 ? undefined : this.#data(data);
        if (word === undefined) return taken;
        return taken === undefined ? this.#said(word) : taken.then(() => this.#said(word));
      },
      moved: () => this.#task?.moved(),
      place: () => this.#task?.place() ?? { path: null, offset: null },
      reports: {
        count: (name, by) => {
          if (this.#isHeard) this.#task!.reports.count(name, by);
          else this.#task?.reports.log(`(not counted: it is of no task) ${name} ${by}`);
        },
        status: (text) => this.#task?.reports.status(text),
        log: (line) => this.#task?.reports.log(line),
        end: (number) => void this.#heard(number === 0 ? "sheaf" : "done", number, "err"),
      },
      signal: this.#end.signal,
    });
    this.#ready = this.#until("sheaf", 0);
    this.#ready.catch(() => undefined);
  }

  /** It has done, or said, what the protocol has not. */
  get violation(): SheafError | undefined {
    return this.#violation;
  }

  get isOver(): boolean {
    return this.#program.isOver;
  }

  /** Tells it of a task; resolves when it waits for the input of that. @throws what has ended it */
  async begin(task: ProgramStart): Promise<RunningProgram> {
    if (this.#violation !== undefined) throw this.#violation;
    const program = this.#program;
    this.#task = task;
    const cancel = (): void => this.#end.abort(task.signal.reason);
    task.signal.addEventListener("abort", cancel, { once: true });
    if (task.signal.aborted) cancel();
    program.wake();
    await this.#isReady();
    const number = ++this.#number;
    const { directory, environment: env } = task;
    this.#isHeard = true;
    await this.#until("began", number, { task: number, directory, env });
    const finish = async (): Promise<void> => {
      await this.#until("done", number, { end: true });
      task.signal.removeEventListener("abort", cancel);
      this.#task = undefined;
      program.rest();
    };
    return {
      get takesInput() {
        return program.takesInput;
      },
      write: (bytes) => program.write(bytes),
      finish,
      kill: () => program.kill(),
    };
  }

  kill(): void {
    this.#program.kill();
  }

  async #isReady(): Promise<void> {
    const late = (): void =>
      this.#end.abort(
        this.#program.error("PROGRAM_FAILED", "it has not said that it is ready for several tasks", {
          hint: "Leave reuse out, or let it speak the protocol of docs/streaming.md, as sheaf_worker.py does.",
        }),
      );
    const timer = setTimeout(late, this.#plan.noProgressMs ?? READY_MS);
    try {
      await this.#ready;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Tells it something, and waits for its answer. */
  async #until(name: Expected["name"], task: number, told?: object): Promise<void> {
    const program = this.#program;
    const said = new Promise<void>((resolve) => {
      this.#expected = { name, task, from: new Set(name === "began" ? ["out"] : ["out", "err"]), resolve };
    });
    if (told !== undefined) await program.write(this.#form.join(told));
    // How long it may take to be ready is looked at elsewhere.
    if (name !== "sheaf") program.expectWord();
    const ended = program.over.then(() => {
      const what = name === "done" ? "before it said that its task is done" : "before it was given a task";
      throw program.error("PROGRAM_FAILED", `it ended with exit code 0 ${what}`, {
        hint: "With reuse it goes on until its input ends: docs/streaming.md.",
      });
    });
    await Promise.race([said, ended]);
  }

  #data(data: Buffer): Promise<void> | void {
    if (this.#isWorking) return this.#task!.take(data);
    const text = printValue(data.toString("utf8", 0, 200));
    throw this.#broken(
      `it has written ${text} ${this.#number === 0 ? "before its first task" : "after it said that its task was done"}`,
      'With reuse a program says {"sheaf":0} first, and waits: docs/streaming.md. For others leave reuse out.',
    );
  }

  #said(text: string): void {
    let word: unknown;
    try {
      word = JSON.parse(text);
    } catch {
      word = null;
    }
    const [[name, task] = []] = typeof word === "object" && word !== null ? Object.entries(word) : [];
    if (name !== undefined && this.#heard(name, Number(task), "out")) return;
    const expected = this.#expected;
    const what = expected === undefined ? "nothing" : JSON.stringify({ [expected.name]: expected.task });
    throw this.#broken(`it has said ${printValue(text.trim())} where it was to say ${what}`, "");
  }

  #broken(what: string, hint: string): SheafError {
    const known = "docs/streaming.md has what programs with reuse say, and when.";
    const message = `${commandText(this.#plan)}: ${what}`;
    return (this.#violation = new SheafError("PROGRAM_FAILED", message, { hint: hint || known }));
  }

  /** @returns whether that was to come */
  #heard(name: string, task: number, from: "out" | "err"): boolean {
    const expected = this.#expected;
    if (expected === undefined || expected.name !== name || expected.task !== task) return false;
    if (!expected.from.delete(from)) return false;
    if (from === "out") this.#isWorking = name === "began";
    else this.#isHeard = false;
    if (expected.from.size > 0) return true;
    this.#expected = undefined;
    expected.resolve();
    return true;
  }
}

/** The programs of a worker that do several tasks, each until an attempt has not used it. */
export class StandingPrograms {
  readonly #kept = new Map<ExecPlan, StandingProgram>();
  #used = new Set<ExecPlan>();

  /**
   * A program that is ready for the task: the one that there is, or a new one.
   * @param home makes what a new one needs
   * @throws SheafError PROGRAM_UNUSABLE, PROGRAM_FAILED
   */
  async begin(
    plan: ExecPlan,
    task: ProgramStart,
    home: () => Promise<StandingHome>,
  ): Promise<RunningProgram> {
    this.#used.add(plan);
    const kept = this.#kept.get(plan);
    if (kept !== undefined) {
      try {
        return await kept.begin(task);
      } catch (error) {
        // It had ended since its last task, or does so now: nothing of this one was given to it.
        if (task.signal.aborted || kept.violation !== undefined) throw error;
        kept.kill();
      }
    }
    const made = new StandingProgram(plan, await home(), task);
    this.#kept.set(plan, made);
    return made.begin(task);
  }

  /** An attempt has ended: what it has not used ends, too. */
  settle(): void {
    for (const [plan, program] of this.#kept) {
      // One that said too much is kept for the next attempt to tell of it.
      if (this.#used.has(plan) && (!program.isOver || program.violation !== undefined)) continue;
      program.kill();
      this.#kept.delete(plan);
    }
    this.#used = new Set();
  }

  /** Ends all. */
  close(): void {
    for (const program of this.#kept.values()) program.kill();
    this.#kept.clear();
  }
}
