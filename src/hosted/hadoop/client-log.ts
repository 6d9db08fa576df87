import type { PlacedMaps } from "../host-engine.ts";
import { failureMark } from "../reports.ts";

/** A line of log4j, in the layouts that Hadoop comes with: what follows its first word is the level. */
const LOG_LINE =
  /^(?:\d{2}|\d{4})[-/]\d\d[-/]\d\d[ T]\d\d:\d\d:\d\d\S*\s+(?:\[[^\]]*\]\s+)?(TRACE|DEBUG|INFO|WARN|ERROR|FATAL)\b/;

/** The second application master of a job numbers attempts from here, the third from twice this. */
const ATTEMPTS_OF_A_MASTER = 1_000;

/** Lines of the client that are kept for a failure that nothing else explains. */
const LAST_LINES = 200;

export interface ClientTold {
  progress(phase: "map" | "reduce", share: number): void;
  attemptFailed(attempt: string, message: string): void;
  /** `url` is null where there is no page that shows the job. */
  tracking(url: string | null, id: string): void;
  /** The client waits for a server that does not answer; said once. */
  waiting(server: string): void;
  /** In local mode: what a task has written to its standard error. */
  log(text: string): void;
}

/** How the client says that a job has ended. */
export type ClientEnd =
  | { readonly kind: "succeeded" }
  /** `task` as Hadoop names it, "task_1_0001_m_000003", where it says which has failed the job. */
  | {
      readonly kind: "failed";
      readonly state: string;
      readonly reason: string;
      readonly task: string | null;
    };

/** What Hadoop's job client writes to its standard error, understood line by line. */
export class ClientLog {
  readonly #told: ClientTold;
  readonly #last: string[] = [];
  /** Lines that belong to the one before: the exception of an attempt, the reason of an end. */
  #open: { readonly add: (line: string) => void; readonly done: () => void } | null = null;
  #url: string | null = null;
  #isWaiting = false;
  /** "job_1700000000000_0001"; null until it was submitted. */
  jobId: string | null = null;
  applicationId: string | null = null;
  end: ClientEnd | null = null;
  /** `sheaf-error:` lines of tasks, as they came; only in local mode. */
  readonly errors: string[] = [];
  /** Attempts of maps by where they were started; null until the client has printed that, at the end. */
  placed: PlacedMaps | null = null;
  /** Exceptions of attempts, "attempt_..." and what was said of it. */
  readonly attempts: { readonly attempt: string; readonly message: string }[] = [];

  constructor(told: ClientTold) {
    this.#told = told;
  }

  /** The last lines that it has written. */
  get last(): readonly string[] {
    return this.#last;
  }

  line(line: string): void {
    this.#last.push(line);
    if (this.#last.length > LAST_LINES) this.#last.shift();
    if (line.startsWith(failureMark)) {
      this.errors.push(line.slice(failureMark.length));
      return;
    }
    if (this.end !== null) this.#counter(line);
    if (LOG_LINE.test(line)) {
      this.finish();
      this.#logLine(line);
    } else if (this.#open !== null) {
      this.#open.add(line);
    } else if (!this.#isClients(line)) {
      this.#told.log(line);
    }
  }

  /** There are no more lines. */
  finish(): void {
    const open = this.#open;
    this.#open = null;
    open?.done();
  }

  /** "\t\tData-local map tasks=3", as JobCounter.properties of Hadoop's has it. */
  #counter(line: string): void {
    const [, where, count] = /^\t\t(Data-local|Rack-local|Other local) map tasks=(\d+)$/.exec(line) ?? [];
    if (where === undefined) return;
    const kind = where === "Data-local" ? "local" : where === "Rack-local" ? "rack" : "other";
    this.placed = { local: 0, rack: 0, other: 0, ...this.placed, [kind]: Number(count) };
  }

  /** Counters, stacks and notes that the client prints without a time. */
  #isClients(line: string): boolean {
    return (
      this.jobId === null ||
      this.end !== null ||
      /^\s*$|^\t|^(?:packageJobJar|Streaming Command Failed|Caused by: |java\.|org\.apache\.hadoop\.)/.test(
        line,
      )
    );
  }

  #logLine(line: string): void {
    const progress = /\bmap (\d+)% reduce (\d+)%/.exec(line);
    if (progress !== null) {
      // So it says of every job that has ended, of those that have failed, too.
      if (progress[1] === "100" && progress[2] === "100") return;
      this.#told.progress("map", Number(progress[1]) / 100);
      this.#told.progress("reduce", Number(progress[2]) / 100);
      return;
    }
    const [, server, tries] = /Retrying connect to server: (\S+?)\.? Already tried (\d+)/.exec(line) ?? [];
    if (server !== undefined && Number(tries) >= 2 && !this.#isWaiting) {
      this.#isWaiting = true;
      this.#told.waiting(server);
    }
    this.applicationId ??= /Submitted application (application_\w+)/.exec(line)?.[1] ?? null;
    this.#url ??= /url to track the job: (\S+)/.exec(line)?.[1] ?? null;
    const running = /Running job: (job_\w+)/.exec(line)?.[1];
    if (running !== undefined && this.jobId === null) {
      this.jobId = running;
      // What local mode says there, http://localhost:8080/, is nowhere.
      this.#told.tracking(running.startsWith("job_local") ? null : pageOf(this.#url), running);
      return;
    }
    const [, attempt, state] = /Task Id : (attempt_\w+), Status : (\w+)/.exec(line) ?? [];
    if (attempt !== undefined) {
      this.#collect((lines) => {
        const message = lines.join("\n").trim();
        if (state !== "FAILED") return;
        this.attempts.push({ attempt, message });
        this.#told.attemptFailed(attempt, message);
      });
      return;
    }
    if (/Job job_\w+ completed successfully/.test(line)) {
      this.end = { kind: "succeeded" };
      for (const phase of ["map", "reduce"] as const) this.#told.progress(phase, 1);
    }
    const failed = /Job job_\w+ failed with state (\w+) due to: ?(.*)$/.exec(line);
    if (failed === null) return;
    const [, endState = "FAILED", reason = ""] = failed;
    const set = (lines: readonly string[]): void => {
      const text = [reason, ...lines].join("\n").trim();
      const task = /\b(task_\w+_[mr]_\d+)/.exec(text)?.[1] ?? null;
      this.end = { kind: "failed", state: endState, reason: text, task };
    };
    set([]);
    this.#collect(set);
  }

  #collect(done: (lines: readonly string[]) => void): void {
    const lines: string[] = [];
    this.#open = { add: (line) => void lines.push(line), done: () => done(lines) };
  }
}

/** The page, where it is one: of a cluster whose web address is not configured it has port 0. */
function pageOf(url: string | null): string | null {
  return url === null || !URL.canParse(url) || new URL(url).port === "0" ? null : url;
}

/**
 * 3 of "attempt_1_0001_m_000003_2": attempts are counted from 1. 0: it cannot be told, as where a second
 * application master has begun to count anew.
 */
export function attemptOfHadoop(id: string | null): number {
  const number = Number(/^attempt_\w+?_[mr]_\d+_(\d+)$/.exec(id ?? "")?.[1] ?? -1);
  return number < ATTEMPTS_OF_A_MASTER ? number + 1 : 0;
}

/** "map-00003" of an attempt or a task as Hadoop names them; null for what is none of ours. */
export function taskOfHadoop(id: string): string | null {
  const found = /^(?:attempt|task)_\w+?_([mr])_(\d+)(?:_\d+)?$/.exec(id);
  if (found === null) return null;
  return `${found[1] === "m" ? "map" : "reduce"}-${String(Number(found[2])).padStart(5, "0")}`;
}
