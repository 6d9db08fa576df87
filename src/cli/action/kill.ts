import { userInfo } from "node:os";
import { findClusterJob } from "../../client/find-job.ts";
import { withCluster } from "../cluster-connection.ts";
import type { Invocation } from "../command.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import type { killFlags } from "../flags/kill-flags.ts";
import { writeTo } from "../world.ts";

export async function run({ flags, positionals, world }: Invocation<typeof killFlags>): Promise<ExitCode> {
  return withCluster(flags, world, async (api) => {
    const { job } = await findClusterJob(api, positionals[0]!);
    const before = await api.job(job);
    const summary = await api.kill(job, flags.reason ?? `killed by ${userInfo().username}`);
    const wasOver = before.endTime !== null;
    if (flags.json === true) await writeTo(world.stdout, `${JSON.stringify({ ...summary, wasOver })}\n`);
    else {
      const text = wasOver ? `${job} has ended already: ${before.state}` : `${job} is stopped`;
      await writeTo(world.stdout, `${text}\n`);
    }
    return exitCodes.ok;
  });
}
