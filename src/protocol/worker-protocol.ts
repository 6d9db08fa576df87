import type { TaskAnswer, TaskReport, TaskReportAnswer } from "./task-messages.ts";
import { JOB_STATUS, TASK_STATUS } from "./version.ts";

/*
 * The worker protocol: tasks out by `PUT /task`, reports in. Spoken by sheaf's agents, and by workers in any
 * language; served by a coordinator, and by the driver of one job over plain files.
 */

/** Tasks by the names they have on the wire. */
export type TaskType = "mapper" | "reducer" | "sampler";
type Phase = "sample" | "map" | "reduce";

export const phaseOf: Readonly<Record<TaskType, Phase>> = {
  mapper: "map",
  reducer: "reduce",
  sampler: "sample",
};
const typeOf: Readonly<Record<Phase, TaskType>> = {
  map: "mapper",
  reduce: "reducer",
  sample: "sampler",
};

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

/** Who hands out tasks. Throws SheafErrors. */
export interface TaskService {
  /** Resolves with a task, or "later" after a while. */
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

const noTask = {
  type: null,
  id: null,
  status: null,
  o_path: null,
  n_buckets: 0,
  ask_anew: false,
  order: null,
} as const;

/** Nothing to do now: ask again, under the same number. */
export function laterAnswer(job: string | null = null, retryAfterMs = 0): TaskAnswer {
  const { RUNNING } = JOB_STATUS;
  return { ...noTask, i_path: [], job_uuid: job, job_status: RUNNING, retry_after_ms: retryAfterMs };
}

/** What this question was answered with is void: ask under the next number. */
export function askAnewAnswer(): TaskAnswer {
  return { ...laterAnswer(), ask_anew: true };
}

/** There will be nothing to do any more: exit. `status`: one of JOB_STATUS. */
export function exitAnswer(job: string, status: number): TaskAnswer {
  return { ...noTask, i_path: [], job_uuid: job, job_status: status, retry_after_ms: null };
}

/** A task. `paths`: for workers that read and write plain files; `order`: for sheaf's own agents. */
export function taskAnswer(
  task: { readonly job: string; readonly phase: Phase; readonly task: number; readonly buckets: number },
  given: {
    readonly paths?: { readonly inputs: readonly string[]; readonly output: string };
    readonly order?: TaskAnswer["order"];
  },
): TaskAnswer {
  return {
    type: typeOf[task.phase],
    id: task.task,
    status: TASK_STATUS.RUNNING,
    job_status: JOB_STATUS.RUNNING,
    job_uuid: task.job,
    i_path: [...(given.paths?.inputs ?? [])],
    o_path: given.paths?.output ?? null,
    n_buckets: task.buckets,
    retry_after_ms: null,
    ask_anew: false,
    order: given.order ?? null,
  };
}
