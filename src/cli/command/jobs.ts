import { SheafError } from "../../base/errors.ts";
import { escapeControls } from "../../base/escape-controls.ts";
import { settings } from "../../base/limits.ts";
import type { ApiClient } from "../../client/api-client.ts";
import type { JobRecord } from "../../engine/job-directory.ts";
import { listJobs } from "../../engine/job-history.ts";
import type { JobSummary } from "../../protocol/job-view.ts";
import { type Command, type ExitCode, type Invocation, exitCodes } from "../command.ts";
import { clusterUrl, stateDirectoryOf, withCluster } from "../connection.ts";
import { inCategory, switchFlag, types, valueFlag } from "../flag.ts";
import { connectFlags, jsonFlag } from "../flags.ts";
import { formatCount, formatDuration, plural, shortTime, table } from "../ui/text.ts";
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
  name: valueFlag("--name NAME", types.string, "Only jobs of this name"),
  limit: valueFlag("-n, --limit N", types.integer({ min: 1 }), "Show this many", {
    default: String(settings.listed.default),
  }),
  all: switchFlag("-a, --all", "Show all"),
  ...inCategory("Cluster", {
    state: valueFlag(
      "--state STATE",
      types.choice(jobStates),
      `Only jobs in this state: ${jobStates.join(", ")}`,
    ),
    group: valueFlag("--group NAME", types.string, "Only jobs with this label"),
    project: valueFlag("--project NAME", types.string, "Only jobs with this label"),
  }),
  ...connectFlags,
  json: jsonFlag,
};

export const jobsCommand: Command<typeof jobsFlags> = {
  name: "jobs",
  summary: "List the jobs that ran on this machine",
  details: [
    "Latest first. The history is kept in $SHEAF_STATE, else $XDG_STATE_HOME/sheaf, else ~/.local/state/sheaf.",
  ],
  arguments: [],
  flags: jobsFlags,
  examples: [["sheaf jobs --name wordcount", "Runs of one job"]],
  run,
};

async function run({ flags, world }: Invocation<typeof jobsFlags>): Promise<ExitCode> {
  if (clusterUrl(flags, world) !== undefined) {
    return withCluster(flags, world, (api) => listClusterJobs(api, flags, world));
  }
  refuseClusterFlags(flags);
  const state = stateDirectoryOf(world);
  const records = (await listJobs(state)).map((job) => job.record);
  const chosen = flags.name === undefined ? records : records.filter((record) => record.name === flags.name);
  const limit = flags.all === true ? Number.POSITIVE_INFINITY : (flags.limit ?? settings.listed.default);
  const shown = chosen.slice(0, limit);
  const cut = chosen.length - shown.length;
  if (flags.json === true) {
    await writeJson(world, { jobs: shown, truncated: cut > 0, total: chosen.length });
    return exitCodes.ok;
  }
  if (chosen.length === 0) {
    const which = flags.name === undefined ? "no jobs yet" : `no job called ${flags.name}`;
    await writeTo(world.stderr, `${which} in ${state}\n`);
    return exitCodes.ok;
  }
  const columns = ["JOB", "STATUS", "STARTED (UTC)", ">TIME", ">RECORDS IN", ">OUT"];
  const lines = table(columns, shown.map(row));
  if (cut > 0) lines.push(`truncated: ${plural(cut, "earlier job")} not shown; sheaf jobs --all shows them`);
  await writeTo(world.stdout, `${lines.join("\n")}\n`);
  return exitCodes.ok;
}

/** @throws SheafError USAGE */
function refuseClusterFlags({ state, group, project }: Invocation<typeof jobsFlags>["flags"]): void {
  const given = Object.entries({ state, group, project }).find(([, value]) => value !== undefined);
  if (given === undefined) return;
  throw new SheafError("USAGE", `--${given[0]} needs a cluster`, {
    hint: "Give --on URL of its coordinator, or set $SHEAF_ON.",
  });
}

function row(record: JobRecord): readonly string[] {
  return [
    record.jobId,
    record.status,
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
  const { jobs, truncated } = await api.jobs({ name, state, group, project, limit });
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
  const lines = table([...columns, ...waits], rows);
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
