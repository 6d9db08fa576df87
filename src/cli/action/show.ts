import { readFileSync } from "node:fs";
import { join } from "node:path";
import { SheafError } from "../../base/errors.ts";
import { suggest } from "../../base/suggest.ts";
import { findJob } from "../../engine/job-history.ts";
import type { JobHandle } from "../../engine/job-history.ts";
import { clusterUrl, withCluster } from "../cluster-connection.ts";
import type { Invocation } from "../command.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import type { showFlags } from "../flags/show-flags.ts";
import { tasksShownDefault } from "../flags/show-flags.ts";
import { readJobStory } from "../job-story.ts";
import { taskHandle } from "../task-handle.ts";
import { stateDirectoryOf } from "../state-directory.ts";
import { jobPage, taskPage } from "../ui/job-page.ts";
import type { ColorWhen } from "../ui/style.ts";
import { styleFor } from "../ui/style.ts";
import type { World } from "../world.ts";
import { writeTo } from "../world.ts";

/** Log lines shown of a task; the file has the others. */
const LOG_LINES_MAX = 50;

export async function run({ flags, positionals, world }: Invocation<typeof showFlags>): Promise<ExitCode> {
  const asked = taskHandle(positionals[0] ?? "@", flags.task);
  if (clusterUrl(flags, world) !== undefined) {
    const { showClusterJob } = await import("./show-cluster-job.ts");
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
  const story = readJobStory(job.directory);
  const style = styleFor(world.stdout, world.env, options.color);
  const look = {
    style,
    directory: job.directory,
    tasksMax: options.all ? Number.POSITIVE_INFINITY : tasksShownDefault,
  };
  const write = (value: unknown): Promise<boolean> => writeTo(world.stdout, `${JSON.stringify(value)}\n`);

  if (job.task === null) {
    if (options.json) await write({ ...job.record, directory: job.directory, ...story });
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
