import type { TaskAnswer } from "../protocol/task-messages.ts";
import { JOB_STATUS, TASK_STATUS } from "../protocol/version.ts";
import type { TaskType } from "../coordinator/service.ts";
import type { Phase } from "../scheduler/ids.ts";
import type { TaskStateKind } from "../scheduler/task-state.ts";

const nothing = {
  type: null,
  id: null,
  status: null,
  i_path: [],
  o_path: null,
  n_buckets: 0,
  ask_anew: false,
  order: null,
} as const;

/** There is nothing to do yet: ask again. */
export function laterAnswer(job: string, retryAfterMs: number): TaskAnswer {
  return {
    ...nothing,
    i_path: [],
    job_uuid: job,
    job_status: JOB_STATUS.RUNNING,
    retry_after_ms: retryAfterMs,
  };
}

/** There will be nothing to do any more: exit. */
export function exitAnswer(job: string, status: number): TaskAnswer {
  return { ...nothing, i_path: [], job_uuid: job, job_status: status, retry_after_ms: null };
}

/** A task as a worker in any language is told of it. */
export function taskAnswer(
  job: string,
  phase: Phase,
  task: number,
  paths: { readonly inputs: readonly string[]; readonly output: string; readonly buckets: number },
): TaskAnswer {
  return {
    type: typeOfPhase[phase],
    id: task,
    status: TASK_STATUS.RUNNING,
    job_status: JOB_STATUS.RUNNING,
    job_uuid: job,
    i_path: [...paths.inputs],
    o_path: paths.output,
    n_buckets: paths.buckets,
    retry_after_ms: null,
    ask_anew: false,
    order: null,
  };
}

const typeOfPhase: Readonly<Record<Phase, TaskType>> = {
  sample: "sampler",
  map: "mapper",
  reduce: "reducer",
};

export const phaseOfType: Readonly<Record<TaskType, Phase>> = {
  sampler: "sample",
  mapper: "map",
  reducer: "reduce",
};

/** States as the worker protocol numbers them. */
export const statusOfState: Readonly<Record<TaskStateKind, number>> = TASK_STATUS;
