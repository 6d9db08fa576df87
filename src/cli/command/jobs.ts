import { escapeControls } from "../../base/escape-controls.ts";
import { settings } from "../../base/limits.ts";
import { matchesWildcard } from "../../base/wildcard.ts";
import type { ApiClient } from "../../client/api-client.ts";
import type { JobRecord } from "../../engine/job-directory.ts";
import { listJobs } from "../../engine/job-history.ts";
import type { JobSummary } from "../../protocol/job-view.ts";
import { type CliCommand, type ExitCode, type Invocation, exitCodes } from "../command.ts";
import { clusterUrl, stateDirectoryOf, withCluster } from "../connection.ts";
import { switchFlag, types, valueFlag } from "../flag.ts";
import { connectFlags, jsonFlag } from "../flags.ts";
import { formatCount, formatDuration, plural, shortTime, textTable } from "../ui/text.ts";
import { type World, writeJson, writeTo } from "../world.ts";

const jobStates = [
  "QUEUED",
  "PLANNING",
  "RUNNING",
  "COMMITTING",
  "SUCCEEDED",
  "FAILED",
  "CANCELLED",
] as const;

export const jobsFlags = {
  name: valueFlag(
    "--name PATTERN",
    types.string,
    "Only jobs of this name: * stands for any characters, ? for one",
  ),
  state: valueFlag(
    "--state STATE",
    types.choice(jobStates),
    `Only jobs in this state: ${jobStates.join(", ")}`,
  ),
  group: valueFlag("--group NAME", types.string, "Only jobs with this label"),
  project: valueFlag("--project NAME", types.string, "Only jobs with this label"),
  limit: valueFlag("-n, --limit N", types.integer({ min: 1 }), "Show this many", {
    default: String(settings.listed.default),
  }),
  all: switchFlag("-a, --all", "Show all"),
  ...connectFlags,
  json: jsonFlag,
};

export const jobsCommand: CliCommand<typeof jobsFlags> = {
  name: "jobs",
  summary: "List jobs: those that ran on this machine, or with --on those of a cluster",
  details: [
    "Latest first. The history is kept in $SHEAF_STATE, else $XDG_STATE_HOME/sheaf, else ~/.local/state/sheaf.",
  ],
  arguments: [],
  flags: jobsFlags,
  examples: [
    ["sheaf jobs --name 'daily-*' --state FAILED", "What has failed of these"],
    ["sheaf jobs --project shop --on http://10.0.0.5:7077", "On a cluster, by label"],
  ],
  run,
};

async function run({ flags, world }: Invocation<typeof jobsFlags>): Promise<ExitCode> {
  if (clusterUrl(flags, world) !== undefined) {
    return withCluster(flags, world, (api) => listClusterJobs(api, flags, world));
  }
  const state = stateDirectoryOf(world);
  const records = (await listJobs(state)).map((job) => job.record);
  const chosen = records.filter((record) => isWanted(record, flags));
  const limit = flags.all === true ? Number.POSITIVE_INFINITY : (flags.limit ?? settings.listed.default);
  const shown = chosen.slice(0, limit);
  const cut = chosen.length - shown.length;
  if (flags.json === true) {
    await writeJson(world, { jobs: shown, truncated: cut > 0, total: chosen.length });
    return exitCodes.ok;
  }
  if (chosen.length === 0) {
    await writeTo(world.stderr, `${records.length === 0 ? "no jobs yet" : "no such jobs"} in ${state}\n`);
    return exitCodes.ok;
  }
  const columns = ["JOB", "STATUS", "STARTED (UTC)", ">TIME", ">RECORDS IN", ">OUT"];
  const lines = textTable(columns, shown.map(row));
  if (cut > 0) lines.push(`truncated: ${plural(cut, "earlier job")} not shown; sheaf jobs --all shows them`);
  await writeTo(world.stdout, `${lines.join("\n")}\n`);
  return exitCodes.ok;
}

function isWanted(record: JobRecord, flags: Invocation<typeof jobsFlags>["flags"]): boolean {
  const { name, state, group, project } = flags;
  return (
    (name === undefined || matchesWildcard(name, record.name)) &&
    (state === undefined || stateOf(record) === state) &&
    (group === undefined || record.group === group) &&
    (project === undefined || record.project === project)
  );
}

/** In the words of a cluster: one that waits for others (--after) runs nothing yet. */
function stateOf({ status, currentPhase }: JobRecord): string {
  return status === "RUNNING" && currentPhase === "queue" ? "QUEUED" : status;
}

function row(record: JobRecord): readonly string[] {
  return [
    record.jobId,
    stateOf(record),
    shortTime(record.startTime),
    record.elapsedMs === null ? "" : formatDuration(record.elapsedMs),
    formatCount(record.recordsIn),
    formatCount(record.recordsOut),
  ];
}

/** `sheaf jobs --on`: latest first. */
async function listClusterJobs(
  api: ApiClient,
  flags: Invocation<typeof jobsFlags>["flags"],
  world: World,
): Promise<ExitCode> {
  const { name, state, group, project } = flags;
  const limit =
    flags.all === true
      ? settings.listed.max
      : Math.min(settings.listed.max, flags.limit ?? settings.listed.default);
  const { jobs, truncated } = await api.jobs({ pattern: name, state, group, project, limit });
  if (flags.json === true) {
    await writeJson(world, { jobs, truncated });
    return exitCodes.ok;
  }
  if (jobs.length === 0) {
    await writeTo(world.stderr, `no such jobs at ${api.url}\n`);
    return exitCodes.ok;
  }
  const columns = ["JOB", "STATE", "BY", "SUBMITTED (UTC)", ">TIME", ">DONE", ">TASKS", ">PRIORITY"];
  // Few jobs wait, and then nobody should have to ask what for.
  const waits = jobs.some(({ waitingFor }) => waitingFor !== null) ? ["WAITS FOR"] : [];
  const rows = jobs.map((job) => [...clusterRow(job), ...waits.map(() => job.waitingFor ?? "")]);
  const lines = textTable([...columns, ...waits], rows);
  if (truncated) lines.push("truncated: earlier jobs are not shown; sheaf jobs --all shows them");
  await writeTo(world.stdout, `${lines.join("\n")}\n`);
  return exitCodes.ok;
}

function clusterRow(job: JobSummary): readonly string[] {
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
