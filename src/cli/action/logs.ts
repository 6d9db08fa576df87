import { once } from "node:events";
import { createInterface } from "node:readline";
import { findClusterJob } from "../../client/find-job.ts";
import { escapeControls } from "../../security/log-line.ts";
import { withCluster } from "../cluster-connection.ts";
import type { Invocation } from "../command.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import type { logsFlags } from "../flags/logs-flags.ts";
import { taskHandle } from "../task-handle.ts";
import { writeTo } from "../world.ts";

export async function run({ flags, positionals, world }: Invocation<typeof logsFlags>): Promise<ExitCode> {
  const handle = taskHandle(positionals[0] ?? "@", flags.task);
  return withCluster(flags, world, async (api) => {
    const { job, task } = await findClusterJob(api, handle);
    const wanted = { ...(task === null ? {} : { task }), ...(flags.follow === true ? { follow: true } : {}) };
    const download = await api.logs(job, wanted);
    const lines = createInterface({ input: download.body, crlfDelay: Number.POSITIVE_INFINITY });
    const failed = once(download.body, "error").then(([error]: unknown[]) => {
      throw download.bodyError(error);
    });
    failed.catch(() => undefined);
    try {
      for await (const line of lines) {
        const text = flags.json === true ? JSON.stringify(logLine(line)) : escapeControls(line, "\t");
        if (!(await writeTo(world.stdout, `${text}\n`))) break;
      }
      if (download.body.errored !== null) await failed;
    } finally {
      download.body.destroy();
    }
    return exitCodes.ok;
  });
}

/** "[map-00003.1 stdout] text" as an object. */
function logLine(line: string): Readonly<Record<string, unknown>> {
  const match = /^\[((?:sample|map|reduce)-\d+)\.(\d+) (log|stdout|stderr)\] (.*)$/.exec(line);
  if (match === null) return { task: null, attempt: null, stream: null, text: line };
  const [, task, attempt, stream, text] = match;
  return { task, attempt: Number(attempt), stream, text };
}
