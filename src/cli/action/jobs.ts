import { SheafError } from "../../base/errors.ts";
import { listJobs } from "../../engine/job-history.ts";
import type { JobRecord } from "../../engine/job-directory.ts";
import { clusterUrl, withCluster } from "../cluster-connection.ts";
import type { Invocation } from "../command.ts";
import { formatDuration } from "../duration.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import type { jobsFlags } from "../flags/jobs-flags.ts";
import { jobsShownDefault } from "../flags/jobs-flags.ts";
import { stateDirectoryOf } from "../state-directory.ts";
import { table } from "../ui/layout.ts";
import { formatCount, plural } from "../ui/numbers.ts";
import { shortTime } from "../ui/short-time.ts";
import { writeTo } from "../world.ts";

export async function run({ flags, world }: Invocation<typeof jobsFlags>): Promise<ExitCode> {
  if (clusterUrl(flags, world) !== undefined) {
    const { listClusterJobs } = await import("./list-cluster-jobs.ts");
    return withCluster(flags, world, (api) => listClusterJobs(api, flags, world));
  }
  refuseClusterFlags(flags);
  const state = stateDirectoryOf(world);
  const records = (await listJobs(state)).map((job) => job.record);
  const chosen = flags.name === undefined ? records : records.filter((record) => record.name === flags.name);
  const limit = flags.all === true ? Number.POSITIVE_INFINITY : (flags.limit ?? jobsShownDefault);
  const shown = chosen.slice(0, limit);
  const cut = chosen.length - shown.length;
  if (flags.json === true) {
    await writeTo(
      world.stdout,
      `${JSON.stringify({ jobs: shown, truncated: cut > 0, total: chosen.length })}\n`,
    );
    return exitCodes.ok;
  }
  if (chosen.length === 0) {
    const which = flags.name === undefined ? "no jobs yet" : `no job called ${flags.name}`;
    await writeTo(world.stderr, `${which} in ${state}\n`);
    return exitCodes.ok;
  }
  const columns = [
    { title: "JOB" },
    { title: "STATUS" },
    { title: "STARTED (UTC)" },
    { title: "TIME", align: "right" },
    { title: "RECORDS IN", align: "right" },
    { title: "OUT", align: "right" },
  ] as const;
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
