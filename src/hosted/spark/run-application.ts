import { type ChildProcess, spawn } from "node:child_process";
import { describeThrown, SheafError } from "../../base/errors.ts";
import type { HostEnd, HostJob, HostListener } from "../host-engine.ts";
import { applicationFailure } from "./application-failure.ts";
import { ApplicationSaid, type JobSaid } from "./application-said.ts";

/** How long an application that is told to end may take; its JVM stops executors and removes files. */
const STOP_MS = 20_000;
/** The same for one whose jobs are all done: nobody is in a hurry. */
const CLOSE_MS = 60_000;

export interface ApplicationStart {
  readonly submit: string;
  readonly words: readonly string[];
  readonly directory: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Hears it; null: nobody does. */
  readonly said: ApplicationSaid | null;
}

/** A spark-submit that runs. */
interface Submitted {
  readonly child: ChildProcess;
  /**
   * How it ended, for people: "ended with exit code 1"; null: with exit code 0. Rejects with SheafError
   * PROGRAM_UNUSABLE when it cannot be started.
   */
  readonly over: Promise<string | null>;
  stop(): void;
}

/**
 * Starts spark-submit. Its standard input stays open as long as this process lives, which is how the driver
 * sees that nobody waits for it any more.
 */
function submitted({ submit, words, directory, env, said }: ApplicationStart): Submitted {
  const child = spawn(submit, words, { cwd: directory, env, stdio: ["pipe", "pipe", "pipe"] });
  let killing: NodeJS.Timeout | undefined;
  const over = new Promise<string | null>((resolve, reject) => {
    child.stdin.on("error", () => undefined);
    child.stdout.setEncoding("utf8").on("data", (text: string) => said?.take("out", text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => said?.take("err", text));
    child.once("error", (cause) =>
      reject(
        new SheafError("PROGRAM_UNUSABLE", `${submit} cannot be started: ${describeThrown(cause)}`, {
          hint: "See that SPARK_HOME is a whole Spark, and that its programs are executable.",
          cause,
        }),
      ),
    );
    child.once("close", (code, ended) => {
      clearTimeout(killing);
      said?.end();
      resolve(code === 0 ? null : code === null ? `was ended by ${ended}` : `ended with exit code ${code}`);
    });
  });
  const stop = (): void => {
    child.kill("SIGTERM");
    killing ??= setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  };
  return { child, over, stop };
}

/** Runs spark-submit until it ends. @returns as Submitted.over */
export async function runApplication(
  start: ApplicationStart,
  signal: AbortSignal | null,
): Promise<string | null> {
  const { over, stop } = submitted(start);
  signal?.addEventListener("abort", stop, { once: true });
  if (signal?.aborted === true) stop();
  return over.finally(() => signal?.removeEventListener("abort", stop));
}

/** What an application is told of a job: see SparkJob.java. */
export interface JobOrder {
  readonly home: string;
  readonly archive: string;
  readonly splits: string;
  readonly output: string;
}

/** How a job has ended there. */
export type SparkJobEnd =
  | Exclude<HostEnd, { readonly kind: "done" }>
  | { readonly kind: "done" }
  /** The application was over before it had begun with it. */
  | { readonly kind: "untaken" };

/**
 * An application of Spark whose driver is a child of this process: it runs the jobs that it is given, one
 * after the other or several at a time, and what becomes of one changes nothing for the others.
 */
export class SparkApplication {
  readonly #said = new ApplicationSaid();
  readonly #submitted: Submitted;
  /** Those that it has now, and whether they are to end. */
  readonly #jobs = new Map<string, { isCancelled: boolean }>();
  readonly over: Promise<string | null>;
  /** It takes jobs. */
  isOpen = true;

  constructor(start: Omit<ApplicationStart, "said">) {
    this.#submitted = submitted({ ...start, said: this.#said });
    this.over = this.#submitted.over.finally(() => void (this.isOpen = false));
    // Who waits for a job is told; where there is none, nobody misses it.
    this.over.catch(() => undefined);
  }

  get isIdle(): boolean {
    return this.#jobs.size === 0;
  }

  /** @throws SheafError PROGRAM_UNUSABLE when there is no application at all */
  async run(
    job: HostJob,
    order: JobOrder,
    listener: HostListener,
    signal: AbortSignal,
  ): Promise<SparkJobEnd> {
    const { jobId, name, mapTasks, reduces } = job;
    const { home, archive, splits, output } = order;
    const isNew = !this.#said.isUp;
    const mine = { isCancelled: false };
    this.#jobs.set(jobId, mine);
    const said = this.#said.begin(job, listener);
    const cancel = (): void => {
      mine.isCancelled = true;
      // It may not even be up: what nobody waits for any more just ends.
      if ([...this.#jobs.values()].every(({ isCancelled }) => isCancelled)) this.#stop();
      else this.#tell("cancel", jobId);
    };
    this.#tell("run", jobId, name, home, archive, splits, output, `${mapTasks}`, `${reduces}`);
    signal.addEventListener("abort", cancel, { once: true });
    if (signal.aborted) cancel();
    try {
      return await this.#end(said, isNew, signal);
    } finally {
      signal.removeEventListener("abort", cancel);
      this.#said.forget(jobId);
      this.#jobs.delete(jobId);
    }
  }

  async #end(said: JobSaid, isNew: boolean, signal: AbortSignal): Promise<SparkJobEnd> {
    const how = await Promise.race([said.ended, this.over]);
    const isSaid = typeof how === "object" && how !== null;
    if (isSaid && how.kind === "done") return how;
    if (signal.aborted || (isSaid && how.kind === "cancelled")) return { kind: "cancelled" };
    if (!isSaid && !said.isTaken && !isNew) return { kind: "untaken" };
    const { failure, tail } = this.#said;
    if (isSaid) return { kind: "failed", ...applicationFailure(how.text, tail, "", said.last) };
    return { kind: "failed", ...applicationFailure(failure, tail, how ?? "ended before the job was done") };
  }

  /** Ends it. No job must be left. */
  async close(): Promise<void> {
    const { child, stop } = this.#submitted;
    if (this.isOpen) this.#tell("end");
    this.isOpen = false;
    child.stdin?.end();
    const late = setTimeout(stop, CLOSE_MS);
    await this.over.catch(() => undefined);
    clearTimeout(late);
  }

  #stop(): void {
    this.isOpen = false;
    this.#submitted.stop();
  }

  #tell(...words: readonly string[]): void {
    // Of names, half a pair of UTF-16 has no UTF-8.
    const encoded = words.map((word) => encodeURIComponent(Buffer.from(word).toString()));
    this.#submitted.child.stdin?.write(`${encoded.join("\t")}\n`);
  }
}
