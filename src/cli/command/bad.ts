import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { SheafError } from "../../base/errors.ts";
import { escapeControls } from "../../base/escape-controls.ts";
import { settings } from "../../base/limits.ts";
import type { ApiClient } from "../../client/api-client.ts";
import type { ListedBadRecord } from "../../engine/bad-list.ts";
import { type CliCommand, type ExitCode, type Invocation, exitCodes } from "../command.ts";
import { clusterUrl, stateDirectoryOf, withCluster } from "../connection.ts";
import { repeatedFlag, switchFlag, types, valueFlag } from "../flag.ts";
import { connectFlags, jsonFlag } from "../flags.ts";
import { type Style, styleFor } from "../ui/style.ts";
import { plural } from "../ui/text.ts";
import { writeJson, writeTo } from "../world.ts";

export const badFlags = {
  limit: valueFlag("-n, --limit N", types.integer({ min: 1 }), "Show this many", {
    default: `${settings.listed.default}; all with --json`,
  }),
  all: switchFlag("-a, --all", "Show all"),
  output: valueFlag(
    "-o, --output DIR",
    types.place,
    "With retry: directory for the results of those records",
  ),
  overwrite: switchFlag("--overwrite", "With retry: replace DIR if it exists and a job has written it"),
  with: repeatedFlag(
    "--with NAME",
    types.string,
    "With retry -o, of a job with several inputs: read all of the input NAME besides",
  ),
  ...connectFlags,
  json: jsonFlag,
};

export const badCommand: CliCommand<typeof badFlags> = {
  name: "bad",
  summary: "List the records that a job has set aside, or try them again",
  details: [
    "With --max-bad, records that cannot be decoded, and those on which the job's code throws, are set aside in DIR/_bad " +
      "of its output. This lists them: file and offset, where it went wrong, the error, and the record, cut to 1,000 " +
      "characters and with control characters escaped. With --json each is an object on a line of its own.",
    "HANDLE names the job: @ is the latest, @?NAME the latest of that name, anything else the beginning of a job's id. " +
      "With --on it is a job of a cluster: what its coordinator keeps, or the shared output as this machine sees it.",
    "sheaf bad retry HANDLE -o DIR runs the job's file, as it is now, on those records alone, with the same params, and " +
      "writes the results to DIR; what is still bad is in DIR/_bad. It runs where the job ran, and input files must " +
      "be as they were. A reduce that joins several inputs sees these records only: --with NAME reads all of another " +
      "input besides. Without -o they are merged into the old output, where that was written with --incremental: " +
      "maps that have set records aside run again, all others are taken over. docs/bad-records.md says more.",
  ],
  arguments: [
    {
      name: "HANDLE",
      doc: "Job; default @. With the word retry before it, its bad records are tried again",
      required: false,
      many: true,
      complete: "handle",
    },
  ],
  flags: badFlags,
  examples: [
    ["sheaf bad", "Of the latest job"],
    ["sheaf bad retry @", "Merge those of an incremental job into its output, after a fix"],
    ["sheaf bad retry @ -o out-fixed", "Try those of the latest job again, after a fix of its file"],
    ["sheaf bad retry @ -o late --with customers", "The same of a join, with all of the input customers"],
    ["sheaf bad @?visits --json | jq -r .error | sort | uniq -c", "How often each error came"],
  ],
  run,
};

type Bad = Invocation<typeof badFlags>;

/** What a job has set aside. */
export interface BadList {
  readonly job: string;
  readonly count: number;
  /** Where they are, for people. */
  readonly where: string;
  readonly files: readonly string[];
}

async function run(invocation: Bad): Promise<ExitCode> {
  const { flags, positionals, world } = invocation;
  const isRetry = positionals[0] === "retry";
  const [handle = "@", ...more] = isRetry ? positionals.slice(1) : positionals;
  if (more.length > 0) {
    throw new SheafError("USAGE", `there is one job too many: ${more.join(" ")}`, {
      hint: "Write sheaf bad HANDLE, or sheaf bad retry HANDLE -o DIR.",
    });
  }
  if (isRetry) return (await import("./bad/retry.ts")).retryBad(handle, flags, world);
  if (flags.output !== undefined || flags.overwrite === true || flags.with.length > 0) {
    throw new SheafError("USAGE", "-o, --overwrite and --with are for sheaf bad retry", {
      hint: "Write sheaf bad retry HANDLE -o DIR.",
    });
  }
  if (clusterUrl(flags, world) !== undefined)
    return withCluster(flags, world, (api) =>
      withBadOfCluster(api, handle, (found) => list(found, invocation)),
    );
  const [{ findJob }, { badFilesOf }] = await Promise.all([
    import("../../engine/job-history.ts"),
    import("../../engine/bad-list.ts"),
  ]);
  const { record } = await findJob(stateDirectoryOf(world), handle);
  const files = badFilesOf(record);
  const where = `${record.output ?? ""}/_bad`;
  return list({ job: record.jobId, count: record.badRecords, where, files }, invocation);
}

/** What a job of a cluster has set aside. `work` may read the files until it has ended. */
export async function withBadOfCluster<T>(
  api: ApiClient,
  handle: string,
  work: (list: BadList) => Promise<T>,
): Promise<T> {
  const [{ findClusterJob }, { badFilesIn }] = await Promise.all([
    import("../../client/find-job.ts"),
    import("../../engine/bad-list.ts"),
  ]);
  const { job } = await findClusterJob(api, handle);
  const { badRecords: count, output, state } = await api.job(job);
  if (state !== "SUCCEEDED") {
    throw new SheafError("NOT_FOUND", `job ${job} keeps no bad records: it is ${state}`, {
      hint: "They are there when a job has succeeded.",
    });
  }
  if (count === 0) return work({ job, count, where: "", files: [] });
  if (output !== null) {
    const files = badFilesIn(output);
    if (files.length > 0) return work({ job, count, where: `${output}/_bad`, files });
    throw new SheafError("NOT_FOUND", `${output}/_bad: the bad records of ${job} are not there`, {
      hint: "The output is on a file system that the agents share: look where this directory can be seen.",
      details: { path: output },
    });
  }
  const [{ fetchBad }, { makeTempDirectory }] = await Promise.all([
    import("../../client/fetch-results.ts"),
    import("../../storage/temp-directory.ts"),
  ]);
  const directory = await makeTempDirectory(tmpdir());
  try {
    const files = await fetchBad(api, job, directory, undefined);
    return await work({ job, count, where: "kept by the coordinator", files });
  } finally {
    await rm(directory, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function list({ job, count, where, files }: BadList, { flags, world }: Bad): Promise<ExitCode> {
  const { readBadRecords } = await import("../../engine/bad-list.ts");
  const isJson = flags.json === true;
  const isAll = flags.all === true || (isJson && flags.limit === undefined);
  const most = isAll ? Number.POSITIVE_INFINITY : (flags.limit ?? settings.listed.default);
  const style = styleFor(world.stdout, world.env, flags.color);
  let shown = 0;
  for (const file of files) {
    for await (const bad of readBadRecords(file)) {
      if (shown === most) break;
      shown++;
      const isRead = isJson
        ? await writeJson(world, { kind: "bad", job, ...bad })
        : await writeTo(world.stdout, `${textOf(bad, style)}\n`);
      if (!isRead) return exitCodes.ok;
    }
  }
  if (!isJson) await writeTo(world.stderr, `${countText({ job, count, where }, shown)}\n`);
  return exitCodes.ok;
}

function countText({ job, count, where }: Omit<BadList, "files">, shown: number): string {
  if (count === 0) return `${job} has set no record aside`;
  const rest = shown < count ? `; ${shown} of them shown, --all shows the rest` : "";
  return `${plural(count, "record")} set aside by ${job} (${where})${rest}`;
}

/** Two lines: where and why, and the record. Nothing of it can break the line. */
function textOf({ path, offset, phase, code, error, record }: ListedBadRecord, style: Style): string {
  const place =
    path === null
      ? offset === null
        ? "no place in the input"
        : `record ${offset}`
      : `${path}:${offset ?? 0}`;
  const why = escapeControls(error);
  return `${style.bold(escapeControls(place))}  ${phase}: ${why} ${style.dim(`[${code}]`)}\n    ${escapeControls(record)}`;
}
