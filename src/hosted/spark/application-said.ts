import { taskFailure } from "../../worker/failure.ts";
import type { HostFailure, HostJob, HostListener } from "../host-engine.ts";
import { failureIn, firstCause } from "./application-failure.ts";

const EVENT = "sheaf-spark: ";
const LOG = "sheaf-log: ";
/** Of what spark-submit says, kept for the error of an application that fails. */
const tailChars = 64 * 1024;
const lineChars = 2 * 1024 * 1024;

/** A line of SparkMain's, see Progress.java. Every value is text. */
type Told = { readonly event: string } & Readonly<Record<string, string | undefined>>;

/** How a job has ended, as the application says. */
export type SaidEnd =
  | { readonly kind: "done" }
  | { readonly kind: "cancelled" }
  /** `text`: what went wrong, as Java prints exceptions. */
  | { readonly kind: "failed"; readonly text: string };

export type LastAttempt = Pick<HostFailure, "task" | "attempt">;

/** What was heard of one job. */
export class JobSaid {
  readonly listener: HostListener;
  readonly #tasks: { readonly map: number; readonly reduce: number };
  readonly #attempts: number;
  #tell!: (end: SaidEnd) => void;
  readonly ended = new Promise<SaidEnd>((resolve) => void (this.#tell = resolve));
  /** The application has begun with it. */
  isTaken = false;
  /** Of the attempts after which there was no other, the one that ended last. */
  last: LastAttempt | null = null;

  constructor(listener: HostListener, job: Pick<HostJob, "mapTasks" | "reduces" | "attempts">) {
    this.listener = listener;
    this.#tasks = { map: job.mapTasks, reduce: job.reduces };
    this.#attempts = job.attempts;
  }

  hear(told: Told): void {
    const { event, text = "" } = told;
    if (event === "taken") this.isTaken = true;
    else if (event === "map" || event === "reduce") {
      this.listener.progress(event, Number(told["done"]) / Math.max(1, this.#tasks[event]));
    } else if (event === "taskFailed") this.#taskFailed(told, text);
    else if (event === "done" || event === "cancelled") this.#tell({ kind: event });
    else if (event === "failed") this.#tell({ kind: event, text });
  }

  /** An attempt after which there are no others is the failure of the job, and told as that. */
  #taskFailed(told: Told, text: string): void {
    const [phase, index = ""] = (told["task"] ?? "").split("-");
    const task = `${phase}-${index.padStart(5, "0")}`;
    const attempt = Number(told["attempt"]) + 1;
    if (attempt >= this.#attempts && told["counts"] === "true") {
      this.last = { task, attempt };
      return;
    }
    const known = failureIn(text);
    this.listener.attemptFailed({
      task: known?.task ?? task,
      attempt,
      failure:
        known?.failure ??
        taskFailure("WORKER_LOST", firstCause(text.split("\n")) ?? "", {
          phase: phase ?? "",
          blame: "system",
        }),
    });
  }
}

/** Hears an application: its own lines on standard output, and Spark's log on standard error. */
export class ApplicationSaid {
  /** Those that it is given now. */
  readonly #jobs = new Map<string, JobSaid>();
  readonly #partial = { out: "", err: "" };
  readonly #warned = new Set<string>();
  #tracked: { readonly id: string; readonly url: string | null } | null = null;
  #tail = "";
  /** It can take jobs. */
  isUp = false;
  /** What went wrong with itself, as Java prints exceptions; null as long as nothing did. */
  failure: string | null = null;
  /** Of YARN: "application_1700000000000_0001". */
  applicationId: string | null = null;

  /** Hears of a job from now on. */
  begin(job: HostJob, listener: HostListener): JobSaid {
    // What it said before is of other jobs.
    if (this.#jobs.size === 0 && this.isUp) this.#tail = "";
    const said = new JobSaid(listener, job);
    this.#jobs.set(job.jobId, said);
    if (this.#tracked !== null) listener.tracking(this.#tracked.id, this.#tracked.url);
    return said;
  }

  forget(jobId: string): void {
    this.#jobs.delete(jobId);
  }

  /** The end of Spark's log. */
  get tail(): string {
    return this.#tail;
  }

  take(from: "out" | "err", text: string): void {
    const lines = (this.#partial[from] + text).split("\n");
    const rest = lines.pop()!;
    this.#partial[from] = rest.length > lineChars ? "" : rest;
    for (const line of lines) this.#line(from, line);
  }

  end(): void {
    for (const from of ["out", "err"] as const) {
      if (this.#partial[from] !== "") this.#line(from, this.#partial[from]);
      this.#partial[from] = "";
    }
  }

  #line(from: "out" | "err", line: string): void {
    if (from === "err") this.#logged(line);
    else if (line.startsWith(LOG)) {
      const end = line.indexOf(" ", LOG.length);
      this.#jobs.get(line.slice(LOG.length, end))?.listener.log(line.slice(end + 1));
    } else if (line.startsWith(EVENT)) {
      const told = toldOf(line.slice(EVENT.length));
      if (told !== null) this.#event(told);
    }
  }

  #event(told: Told): void {
    const { event, job, text = "" } = told;
    if (job !== undefined) this.#jobs.get(job)?.hear(told);
    else if (event === "started") {
      this.isUp = true;
      this.#track(told["url"] ?? "", told["id"] ?? "");
    } else if (event === "executorRemoved") {
      this.#warn(`Spark has lost executor ${told["executor"]}: ${firstLine(text)}`);
    } else if (event === "failed") this.failure = text;
  }

  #logged(line: string): void {
    this.#tail = `${this.#tail}${line}\n`.slice(-tailChars);
    const id = /\bapplication_\d+_\d+\b/.exec(line)?.[0];
    if (id !== undefined) this.applicationId = id;
    const url = /^\s*tracking URL: (\S+)/.exec(line)?.[1];
    if (url !== undefined && this.applicationId !== null) this.#track(url, this.applicationId);
    if (line.includes("Initial job has not accepted any resources")) {
      this.#warn(
        "Spark has no executor for the job yet: see that its workers are there and have the memory and cores " +
          "that it asks for (spark.executor.memory, spark.executor.cores)",
      );
    }
  }

  #track(url: string, id: string): void {
    if (this.#tracked !== null) return;
    this.#tracked = { id, url: url === "" ? null : url };
    for (const { listener } of this.#jobs.values()) listener.tracking(id, this.#tracked.url);
  }

  #warn(message: string): void {
    if (this.#warned.has(message)) return;
    this.#warned.add(message);
    for (const { listener } of this.#jobs.values()) listener.warn(message);
  }
}

function toldOf(text: string): Told | null {
  try {
    const told: unknown = JSON.parse(text);
    return typeof told === "object" && told !== null && "event" in told ? (told as Told) : null;
  } catch {
    return null;
  }
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0]!.slice(0, 1_000);
}
