import { readFileSync } from "node:fs";
import { join } from "node:path";
import { SheafError } from "../../base/errors.ts";
import { settings } from "../../base/limits.ts";
import { suggest } from "../../base/suggest.ts";
import type { ApiClient } from "../../client/api-client.ts";
import { type JobHandle, findJob } from "../../engine/job-history.ts";
import type { AttemptView } from "../../protocol/job-view.ts";
import { formatAttempt, formatTask } from "../../scheduler/ids.ts";
import { type CliCommand, type ExitCode, type Invocation, exitCodes } from "../command.ts";
import { clusterJob, clusterUrl, stateDirectoryOf, taskHandle, withCluster } from "../connection.ts";
import { inCategory, switchFlag, types, valueFlag } from "../flag.ts";
import { connectFlags, jsonFlag } from "../flags.ts";
import { type ColorWhen, styleFor } from "../ui/style.ts";
import { type World, writeJson, writeTo } from "../world.ts";
import { termsOfRecord, termsOfView } from "./show/job-terms.ts";

export const showFlags = inCategory("Display", {
  task: valueFlag("-t, --task TASK", types.string, "Show one task: map-17, reduce-3"),
  all: switchFlag("-a, --all", "List every task"),
  ...connectFlags,
  json: jsonFlag,
});

export const showCommand: CliCommand<typeof showFlags> = {
  name: "show",
  summary: "Show how a job went: phases, tasks, attempts, counters, errors",
  details: [
    "HANDLE names the job: @ is the latest, @?NAME the latest of that name, anything else the beginning of a job's id. " +
      "With :TASK (@:map-17), or --task, one task is shown with its log.",
  ],
  arguments: [{ name: "HANDLE", doc: "Job, or job:task; default @", required: false, complete: "handle" }],
  flags: showFlags,
  examples: [
    ["sheaf show", "The latest job"],
    ["sheaf show @?wordcount --task map-17", "One task of the latest wordcount"],
  ],
  run,
};

/** Log lines shown of a task; the file, and `sheaf logs`, have the others. */
const LOG_LINES_MAX = 50;

async function run({ flags, positionals, world }: Invocation<typeof showFlags>): Promise<ExitCode> {
  const asked = taskHandle(positionals[0] ?? "@", flags.task);
  if (clusterUrl(flags, world) !== undefined) {
    return withCluster(flags, world, (api) =>
      showClusterJob(
        api,
        asked,
        { json: flags.json === true, all: flags.all === true, color: flags.color },
        world,
      ),
    );
  }
  const job = await findJob(stateDirectoryOf(world), asked);
  await showJob(job, { json: flags.json === true, all: flags.all === true, color: flags.color }, world);
  return exitCodes.ok;
}

/** Also what `sheaf inspect` does with a job directory. */
export async function showJob(
  job: JobHandle,
  options: { readonly json: boolean; readonly all: boolean; readonly color: ColorWhen | undefined },
  world: World,
): Promise<void> {
  const { jobPage, readJobStory, taskPage } = await import("./show/job-page.ts");
  const story = readJobStory(job.directory);
  const style = styleFor(world.stdout, world.env, options.color);
  const look = {
    style,
    directory: job.directory,
    tasksMax: options.all ? Number.POSITIVE_INFINITY : settings.listed.default,
  };
  const write = (value: unknown): Promise<boolean> => writeJson(world, value);

  if (job.task === null) {
    const record = termsOfRecord(job.record);
    if (options.json) await write({ ...job.record, directory: job.directory, ...story, record });
    else await writeTo(world.stdout, jobPage(job.record, story, look));
    return;
  }
  const task = story.tasks.find((one) => one.task === job.task);
  if (task === undefined) {
    const near = suggest(
      job.task,
      story.tasks.map((one) => one.task),
    );
    throw new SheafError("NOT_FOUND", `${job.record.jobId} has no task ${job.task}`, {
      hint: near === undefined ? "No attempt of it was begun." : `Did you mean ${near}?`,
    });
  }
  const log = taskLog(job.directory, job.task);
  const shown = log.slice(-LOG_LINES_MAX);
  if (options.json) await write({ jobId: job.record.jobId, ...task, log });
  else await writeTo(world.stdout, taskPage(task, shown, log.length - shown.length, look));
}

function taskLog(directory: string, task: string): readonly string[] {
  try {
    const text = readFileSync(join(directory, "logs", `${task}.log`), "utf8");
    return text.replace(/\n$/, "").split("\n");
  } catch {
    return [];
  }
}

/** `sheaf show --on`: a job of a cluster, or one task of it. */
async function showClusterJob(
  api: ApiClient,
  handle: string,
  options: { readonly json: boolean; readonly all: boolean; readonly color: ColorWhen | undefined },
  world: World,
): Promise<ExitCode> {
  const { clusterJobPage, clusterTaskPage } = await import("./show/cluster-job-page.ts");
  const { job, task } = await clusterJob(api, handle, world);
  const [view, attempts] = await Promise.all([api.job(job), api.attempts(job)]);
  const style = styleFor(world.stdout, world.env, options.color);
  const look = { style, attemptsMax: options.all ? Number.POSITIVE_INFINITY : settings.listed.default };
  const write = (value: unknown): Promise<boolean> => writeJson(world, value);
  if (task === null) {
    if (options.json) await write({ ...view, attempts: attempts.map(named), record: termsOfView(view) });
    else await writeTo(world.stdout, clusterJobPage(view, attempts, look));
    return exitCodes.ok;
  }
  const own = attempts.filter(({ attempt }) => formatTask(attempt) === task);
  if (own.length === 0) throw noSuchTask(job, task, attempts);
  const log = await logOf(api, job, task);
  if (options.json) await write({ job, task, attempts: own.map(named), log });
  else
    await writeTo(
      world.stdout,
      clusterTaskPage(task, view, own, log.slice(-LOG_LINES_MAX), log.length, look),
    );
  return exitCodes.ok;
}

function named(view: AttemptView) {
  return { ...view, attempt: formatAttempt(view.attempt) };
}

async function logOf(api: ApiClient, job: string, task: string): Promise<readonly string[]> {
  const { body, bodyError } = await api.logs(job, { task });
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) chunks.push(chunk);
  } catch (error) {
    throw bodyError(error);
  }
  const text = Buffer.concat(chunks).toString("utf8").replace(/\n$/, "");
  return text === "" ? [] : text.split("\n");
}

function noSuchTask(job: string, task: string, attempts: readonly AttemptView[]): SheafError {
  const near = suggest(
    task,
    attempts.map(({ attempt }) => formatTask(attempt)),
  );
  return new SheafError("NOT_FOUND", `${job} has no task ${task}`, {
    hint: near === undefined ? "No attempt of it was begun." : `Did you mean ${near}?`,
  });
}
