import { SheafError } from "../../base/errors.ts";
import { suggest } from "../../base/suggest.ts";
import type { ApiClient } from "../../client/api-client.ts";
import { findClusterJob } from "../../client/find-job.ts";
import type { AttemptView } from "../../protocol/job-view.ts";
import { formatAttempt, formatTask } from "../../scheduler/ids.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import { tasksShownDefault } from "../flags/show-flags.ts";
import { clusterJobPage, clusterTaskPage } from "../ui/cluster-job-page.ts";
import type { ColorWhen } from "../ui/style.ts";
import { styleFor } from "../ui/style.ts";
import type { World } from "../world.ts";
import { writeTo } from "../world.ts";

/** Log lines shown of a task; `sheaf logs` has the others. */
const logLinesMax = 50;

/** `sheaf show --on`: a job of a cluster, or one task of it. */
export async function showClusterJob(
  api: ApiClient,
  handle: string,
  options: { readonly json: boolean; readonly all: boolean; readonly color: ColorWhen | undefined },
  world: World,
): Promise<ExitCode> {
  const { job, task } = await findClusterJob(api, handle);
  const [view, attempts] = await Promise.all([api.job(job), api.attempts(job)]);
  const style = styleFor(world.stdout, world.env, options.color);
  const look = { style, attemptsMax: options.all ? Number.POSITIVE_INFINITY : tasksShownDefault };
  const write = (value: unknown): Promise<boolean> => writeTo(world.stdout, `${JSON.stringify(value)}\n`);
  if (task === null) {
    if (options.json) await write({ ...view, attempts: attempts.map(named) });
    else await writeTo(world.stdout, clusterJobPage(view, attempts, look));
    return exitCodes.ok;
  }
  const own = attempts.filter(({ attempt }) => formatTask(attempt) === task);
  if (own.length === 0) throw noSuchTask(job, task, attempts);
  const log = await logOf(api, job, task);
  if (options.json) await write({ job, task, attempts: own.map(named), log });
  else
    await writeTo(world.stdout, clusterTaskPage(task, view, own, log.slice(-logLinesMax), log.length, look));
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
