import type { Readable } from "node:stream";
import type {
  ErrandResult,
  Heartbeat,
  HeartbeatAnswer,
  Leave,
  Orders,
  OrdersQuestion,
  Register,
  Registered,
  SplitPage,
} from "../protocol/agent-messages.ts";
import type { AttemptView, ClusterView, JobSummary, JobView, NodeView } from "../protocol/job-view.ts";
import type { JobStateText } from "../protocol/job-view.ts";
import type { Submission } from "../protocol/submission.ts";
import type {
  LogLines,
  Preparation,
  Stray,
  TaskAnswer,
  TaskReport,
  TaskReportAnswer,
} from "../protocol/task-messages.ts";
import type { EventListener } from "./job-events.ts";

/** Who asks, for the audit line: never decides anything. */
export interface Caller {
  /** "client" or "agent", by the token that was shown. */
  readonly role: string;
  /** Address of the connection's other end. */
  readonly remote: string;
}

/** A slot of an agent, or a worker that speaks for itself, asking for work. */
export interface Asker {
  readonly agent: string;
  readonly incarnation: number;
  readonly slot: number;
  readonly ask: number;
  /** As given in the header worker-pid. */
  readonly workerPid: number | null;
  /** Address of the connection's other end: with the process id it tells workers without an agent apart. */
  readonly remote: string;
}

export interface JobFilter {
  readonly name?: string;
  readonly state?: JobStateText;
  readonly group?: string;
  readonly project?: string;
  /** Default 100. */
  readonly limit?: number;
}

export type TaskType = "mapper" | "reducer" | "sampler";

/** A file to be sent. */
export interface StoredFile {
  readonly path: string;
  readonly bytes: number;
}

export interface Gauges {
  readonly queued: number;
  readonly running: number;
  readonly agents: number;
  readonly slots: number;
  readonly busySlots: number;
  readonly tasksReady: number;
  readonly tasksRunning: number;
  /** Of the agent silent longest, ms. */
  readonly heartbeatAgeMsMax: number;
}

/** Since this coordinator started. */
export interface Totals {
  readonly jobsSucceeded: number;
  readonly jobsFailed: number;
  readonly jobsCancelled: number;
  readonly attemptsFinished: number;
  readonly attemptsFailed: number;
  readonly attemptsLost: number;
  readonly fetchFailures: number;
  readonly inputBytes: number;
  readonly shuffleBytes: number;
  readonly outputBytes: number;
}

/** The worker protocol: tasks out, reports in. Throws SheafErrors. */
export interface TaskService {
  /** Resolves with a task, or "later" after longPollMs. */
  askTask(asker: Asker, signal: AbortSignal): Promise<TaskAnswer>;
  /** `job` null: the only job that is not over. */
  report(
    job: string | null,
    type: TaskType,
    task: number,
    report: TaskReport,
    asker: Asker,
  ): Promise<TaskReportAnswer>;
  taskStatus(job: string | null, type: TaskType, task: number): { status: number };
}

/**
 * All that can be asked of a coordinator; the REST routes only translate. Every method throws SheafErrors
 * (NOT_FOUND for an unknown job, agent, task or blob; FORBIDDEN; LIMIT_EXCEEDED; USAGE), and answers only
 * what is already durable. Job parameters are ids, not handles.
 */
export interface CoordinatorService extends TaskService {
  cluster(): ClusterView;
  nodes(): readonly NodeView[];
  bar(agent: string, reason: string): NodeView;
  admit(agent: string): NodeView;
  drain(agent: string, draining: boolean): NodeView;

  /** The same key again gives the same job. @throws VERSION_MISMATCH, FORBIDDEN, LIMIT_EXCEEDED, USAGE */
  submit(submission: Submission, idempotencyKey: string, caller: Caller): { job: string; isNew: boolean };
  /** Newest first. */
  jobs(filter: JobFilter): { readonly jobs: readonly JobSummary[]; readonly truncated: boolean };
  job(job: string): JobView;
  attempts(job: string): readonly AttemptView[];
  kill(job: string, reason: string, caller: Caller): JobSummary;
  attach(job: string, attached: boolean): JobSummary;
  /** The attached client lives. */
  clientBeat(job: string): JobStateText;
  /**
   * Calls `listener` with every event of the job from number `after` + 1 on, the past ones first, as JSON
   * texts, each when the listener has taken the one before. One that takes its time misses what is not kept
   * (progress, printed lines). `done` is called after the last one (job-finished). Returns how to stop
   * listening.
   */
  listen(job: string, after: number, listener: EventListener, done: () => void): () => void;
  /** Printed lines, "[map-00003.1 stdout] text"; with `follow` until the job has ended. */
  logs(job: string, task: string | null, follow: boolean, signal: AbortSignal): AsyncIterable<string>;
  resultFile(job: string, kind: "output" | "collected" | "bad", index: number): StoredFile;
  /** capsule.json of a failed task, or the code it ran. */
  capsuleFile(job: string, task: string, file: "capsule" | "code" | "sourceMap"): StoredFile;

  hasBlob(hash: string): Promise<boolean>;
  /** Resolves when it is whole, checked and lasting. @throws USAGE when the content has another hash */
  putBlob(hash: string, content: Readable): Promise<void>;
  blob(hash: string): Promise<StoredFile>;

  register(register: Register): Registered;
  heartbeat(agent: string, heartbeat: Heartbeat): HeartbeatAnswer;
  /** Resolves with what there is to do, or empty after longPollMs or when the signal aborts. */
  orders(agent: string, question: OrdersQuestion, signal: AbortSignal): Promise<Orders>;
  errandDone(errand: string, result: ErrandResult): void;
  /** A part of an errand's result that comes ahead of it. */
  errandPage(errand: string, page: SplitPage): void;
  /** This life of the agent is over by its own will. */
  leave(agent: string, leave: Leave): void;
  preparation(job: string, agent: string): Preparation;
  /** A page of the list of map outputs from entry `after` on: MapOutputs as JSON. */
  outputsPage(job: string, after: number): Buffer;
  /** User code emitted after its task was over. Says whether that has failed the job. */
  stray(job: string, stray: Stray): boolean;
  takeLogs(job: string, agent: string, lines: LogLines): void;
  /** A result file of an attempt; `name` as the worker called it. Resolves when it is whole and lasting. */
  putResult(
    job: string,
    attempt: string,
    name: string,
    expected: { readonly crc32c: number; readonly bytes: number },
    content: Readable,
  ): Promise<void>;

  gauges(): Gauges;
  totals(): Totals;
}
