import { once } from "node:events";
import { createInterface } from "node:readline";
import { findClusterJob } from "../../client/find-job.ts";
import { findJob } from "../../engine/job-history.ts";
import { clusterUrl, withCluster } from "../cluster-connection.ts";
import type { Invocation } from "../command.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import type { logsFlags } from "../flags/logs-flags.ts";
import { localLogs } from "../local-logs.ts";
import { stateDirectoryOf } from "../state-directory.ts";
import { taskHandle } from "../task-handle.ts";
import type { World } from "../world.ts";
import { dataWriter } from "../world.ts";

export async function run({ flags, positionals, world }: Invocation<typeof logsFlags>): Promise<ExitCode> {
  const handle = taskHandle(positionals[0] ?? "@", flags.task);
  if (clusterUrl(flags, world) === undefined) return local(handle, flags, world);
  return withCluster(flags, world, async (api) => {
    const { job, task } = await findClusterJob(api, handle);
    const wanted = { ...(task === null ? {} : { task }), ...(flags.follow === true ? { follow: true } : {}) };
    const download = await api.logs(job, wanted);
    const write = dataWriter(world.stdout);
    const lines = createInterface({ input: download.body, crlfDelay: Number.POSITIVE_INFINITY });
    // It tells of the body's errors, too, and of its end when the reader of this command has gone.
    lines.on("error", () => undefined);
    const failed = once(download.body, "error").then(([error]: unknown[]) => {
      throw download.bodyError(error);
    });
    failed.catch(() => undefined);
    try {
      for await (const line of lines) {
        const text = flags.json === true ? JSON.stringify(logLine(line)) : line;
        if (!(await write(`${text}\n`))) break;
      }
      if (download.body.errored !== null) await failed;
    } finally {
      download.body.destroy();
    }
    return exitCodes.ok;
  });
}

/** Of a job that ran, or runs, on this machine: its files do not say the attempt, nor log from stdout. */
async function local(
  handle: string,
  flags: Pick<Invocation<typeof logsFlags>["flags"], "follow" | "json">,
  world: World,
): Promise<ExitCode> {
  const state = stateDirectoryOf(world);
  const { directory, record, task } = await findJob(state, handle);
  const isRunning = async (): Promise<boolean> =>
    flags.follow === true && (await findJob(state, record.jobId)).record.status === "RUNNING";
  const write = dataWriter(world.stdout);
  for await (const line of localLogs(directory, task, isRunning)) {
    const text =
      flags.json === true
        ? JSON.stringify({ task: line.task, attempt: null, stream: null, text: line.text })
        : `[${line.task}] ${line.text}`;
    if (!(await write(`${text}\n`))) break;
  }
  return exitCodes.ok;
}

/** "[map-00003.1 stdout] text" as an object. */
function logLine(line: string): Readonly<Record<string, unknown>> {
  const match = /^\[((?:sample|map|reduce)-\d+)\.(\d+) (log|stdout|stderr)\] (.*)$/.exec(line);
  if (match === null) return { task: null, attempt: null, stream: null, text: line };
  const [, task, attempt, stream, text] = match;
  return { task, attempt: Number(attempt), stream, text };
}
