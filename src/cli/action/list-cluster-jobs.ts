import { escapeControls } from "../../base/escape-controls.ts";
import type { ApiClient } from "../../client/api-client.ts";
import type { JobStateText, JobSummary } from "../../protocol/job-view.ts";
import { formatDuration } from "../duration.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import { jobsShownDefault } from "../flags/jobs-flags.ts";
import { table } from "../ui/layout.ts";
import { shortTime } from "../ui/short-time.ts";
import type { World } from "../world.ts";
import { writeTo } from "../world.ts";

/** The most a coordinator lists at once. */
const listedMax = 10_000;

export interface JobListFlags {
  readonly name: string | undefined;
  readonly state: JobStateText | undefined;
  readonly group: string | undefined;
  readonly project: string | undefined;
  readonly limit: number | undefined;
  readonly all: boolean | undefined;
  readonly json: boolean | undefined;
}

/** `sheaf jobs --on`: latest first. */
export async function listClusterJobs(api: ApiClient, flags: JobListFlags, world: World): Promise<ExitCode> {
  const { name, state, group, project } = flags;
  const limit = flags.all === true ? listedMax : Math.min(listedMax, flags.limit ?? jobsShownDefault);
  const { jobs, truncated } = await api.jobs({ name, state, group, project, limit });
  if (flags.json === true) {
    await writeTo(world.stdout, `${JSON.stringify({ jobs, truncated })}\n`);
    return exitCodes.ok;
  }
  if (jobs.length === 0) {
    await writeTo(world.stderr, `no such jobs at ${api.url}\n`);
    return exitCodes.ok;
  }
  const columns = [
    { title: "JOB" },
    { title: "STATE" },
    { title: "BY" },
    { title: "SUBMITTED (UTC)" },
    { title: "TIME", align: "right" },
    { title: "DONE", align: "right" },
    { title: "TASKS", align: "right" },
    { title: "PRIORITY", align: "right" },
  ] as const;
  const lines = table(columns, jobs.map(row));
  if (truncated) lines.push("truncated: earlier jobs are not shown; sheaf jobs --all shows them");
  await writeTo(world.stdout, `${lines.join("\n")}\n`);
  return exitCodes.ok;
}

function row(job: JobSummary): readonly string[] {
  return [
    job.job,
    job.attached || job.endTime !== null ? job.state : `${job.state} (detached)`,
    escapeControls(job.submitter),
    shortTime(job.submitTime),
    job.elapsedMs === null ? "" : formatDuration(job.elapsedMs),
    `${Math.floor(job.fraction * 100)}%`,
    String(job.mapTasks + job.reduceTasks),
    String(job.priority),
  ];
}
