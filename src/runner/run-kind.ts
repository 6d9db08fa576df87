import type { JobPlan, TaskTable } from "../engine/plan-job.ts";
import type { Job } from "../job/job-plan.ts";
import type { JobSettings } from "../task/task-spec.ts";
import type { JobOutline } from "../worker/messages.ts";
import type { Elsewhere } from "./local-tasks.ts";
import type { MapOnlyRun } from "./map-only-mend.ts";

/** What is to run: a job file, or a Job object on this thread. */
export type JobSource =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "object"; readonly job: Job };

/** What makes a run another one than usual. */
export interface RunKind {
  readonly only?: JobSettings["only"];
  readonly probe?: Probe;
  /** As IncrementalOptions.mends; where nothing can be taken over the run fails. */
  readonly mends?: boolean;
  /** Maps of that run which have set nothing aside are taken over, of a job without reduce. */
  readonly maps?: MapOnlyRun;
  /** Its tasks are not run on this machine. */
  readonly elsewhere?: Elsewhere;
}

/** Makes a run one that only learns what the job takes: it commits nothing, and asks no `expect`. */
export interface Probe {
  /** The tasks that are run, of those planned. */
  choose(plan: JobPlan, outline: JobOutline): TaskTable;
  readonly limit: NonNullable<JobSettings["probe"]>;
}
