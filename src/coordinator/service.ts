import type { JobStateText } from "../protocol/job-view.ts";
import type { TaskAnswer, TaskReport, TaskReportAnswer } from "../protocol/task-messages.ts";

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
