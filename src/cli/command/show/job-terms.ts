import type { JobRecord } from "../../../engine/job-directory.ts";
import type { JobView } from "../../../protocol/job-view.ts";

/**
 * What every job has, of this machine or of a cluster, under the same names: `record` of `sheaf show --json`.
 * docs/job-record.md says what each is.
 */
export interface JobTerms {
  readonly id: string;
  readonly type: "mapreduce" | "pipeline";
  readonly name: string;
  readonly project: string | null;
  readonly group: string | null;
  readonly submitter: string;
  readonly host: string;
  /** null on one machine, where jobs do not share. */
  readonly priority: number | null;
  readonly inputs: readonly string[];
  readonly output: string | null;
  readonly runOnce: boolean;
  readonly force: boolean;
  /** How long it is kept from its end on; null: as long as others. */
  readonly keepMs: number | null;
  /** ISO 8601, UTC. null: not submitted to anybody, not begun, not ended. */
  readonly submitTime: string | null;
  readonly startTime: string | null;
  readonly endTime: string | null;
  readonly status: string;
  readonly currentPhase: string;
  readonly exception: string | null;
}

/** Of job.json. Records of earlier versions say less: what they leave out is null or false. */
export function termsOfRecord(record: JobRecord): JobTerms {
  const { settings, name, submitter, host, inputs, output, startTime, endTime, status } = record;
  const { group = null, project = null, steps } = record;
  return {
    id: record.jobId,
    type: steps === undefined ? "mapreduce" : "pipeline",
    name,
    project,
    group,
    submitter,
    host,
    priority: null,
    inputs,
    output,
    runOnce: settings["once"] === true,
    force: settings["once"] === true && settings["force"] === true,
    keepMs: typeof settings["keepMs"] === "number" ? settings["keepMs"] : null,
    submitTime: null,
    startTime,
    endTime,
    status,
    currentPhase: endTime === null ? record.currentPhase : "finished",
    exception: record.exception,
  };
}

/** Of a job that a coordinator tells of. */
export function termsOfView(view: JobView): JobTerms {
  const { name, project, group, submitter, host, priority, inputs, output, exception } = view;
  return {
    id: view.job,
    type: "mapreduce",
    name,
    project,
    group,
    submitter,
    host,
    priority,
    inputs,
    output,
    runOnce: view.runOnce ?? false,
    force: view.force ?? false,
    keepMs: view.keepMs ?? null,
    submitTime: view.submitTime,
    startTime: view.startTime,
    endTime: view.endTime,
    status: view.state,
    currentPhase: phaseOf(view),
    exception,
  };
}

/** As job.json calls phases. */
function phaseOf({ state, endTime, phases }: JobView): string {
  if (endTime !== null) return "finished";
  switch (state) {
    case "QUEUED":
      return "queue";
    case "PLANNING":
      return "plan";
    case "COMMITTING":
      return "commit";
    default:
      return phases.find(({ tasks, finished }) => finished < tasks)?.phase ?? "map";
  }
}
