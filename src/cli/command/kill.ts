import { userInfo } from "node:os";
import { type CliCommand, type ExitCode, type Invocation, exitCodes } from "../command.ts";
import { withCluster } from "../connection.ts";
import { inCategory, types, valueFlag } from "../flag.ts";
import { connectFlags, jsonFlag } from "../flags.ts";
import { writeJson, writeTo } from "../world.ts";

export const killFlags = inCategory("Cluster", {
  ...connectFlags,
  reason: valueFlag("--reason TEXT", types.string, "Why, for those who look at the job later"),
  json: jsonFlag,
});

export const killCommand: CliCommand<typeof killFlags> = {
  name: "kill",
  summary: "Stop a job on a cluster; nothing of its output is left",
  details: ["A job that has ended stays as it is."],
  arguments: [
    {
      name: "HANDLE",
      doc: "Job: its id, the beginning of one, @ or @?NAME",
      required: true,
      complete: "handle",
    },
  ],
  flags: killFlags,
  examples: [["sheaf kill @ --reason 'wrong input'", "The latest job"]],
  run,
};

async function run({ flags, positionals, world }: Invocation<typeof killFlags>): Promise<ExitCode> {
  return withCluster(flags, world, async (api) => {
    const { findClusterJob } = await import("../../client/find-job.ts");
    const { job } = await findClusterJob(api, positionals[0]!);
    const before = await api.job(job);
    const summary = await api.kill(job, flags.reason ?? `killed by ${userInfo().username}`);
    const wasOver = before.endTime !== null;
    if (flags.json === true) await writeJson(world, { ...summary, wasOver });
    else {
      const text = wasOver ? `${job} has ended already: ${before.state}` : `${job} is stopped`;
      await writeTo(world.stdout, `${text}\n`);
    }
    return exitCodes.ok;
  });
}
