import { resolve } from "node:path";
import { attachToJob } from "../../client/cluster-run.ts";
import { findClusterJob } from "../../client/find-job.ts";
import { checkOutput } from "../../storage/atomic-output.ts";
import { withCluster } from "../cluster-connection.ts";
import type { Invocation } from "../command.ts";
import { deliverResults, disposeDelivery, prepareFetch, wantsRecords } from "../deliver-results.ts";
import type { ExitCode } from "../exit-code.ts";
import type { attachFlags } from "../flags/attach-flags.ts";
import { concludeRun } from "../conclude-run.ts";
import { stopOnSignal } from "../stop-on-signal.ts";
import { makeReporter } from "../ui/reporter.ts";
import { styleFor } from "../ui/style.ts";

export async function run({ flags, positionals, world }: Invocation<typeof attachFlags>): Promise<ExitCode> {
  const style = styleFor(world.stderr, world.env, flags.color);
  const output = flags.output === undefined ? null : resolve(world.cwd, flags.output);
  const overwrite = flags.overwrite === true;
  if (output !== null) await checkOutput(output, { overwrite });
  const delivery = await prepareFetch(flags, output);
  const target = delivery.kind === "stdout" ? delivery.output : output;
  return withCluster(flags, world, async (api) => {
    const { job } = await findClusterJob(api, positionals[0] ?? "@");
    const reporter = makeReporter({ quiet: flags.quiet === true, json: flags.json === true, style }, world);
    const farewell = flags.watch === true ? `leaving ${job}, which goes on` : undefined;
    const stop = stopOnSignal(reporter, world, farewell);
    try {
      let collections: readonly string[] = [""];
      const result = await attachToJob(api, job, {
        watch: flags.watch === true,
        output: target === null ? null : { path: target, overwrite },
        collect: wantsRecords(delivery, flags.json),
        signal: stop.signal,
        onEvent: (event) => {
          if (event.kind === "planned") collections = Object.keys(event.partitions);
          reporter.onEvent(event);
        },
      });
      reporter.end();
      const { signal } = stop;
      if (result.status === "SUCCEEDED") {
        await deliverResults(delivery, result, { collections, json: flags.json === true, signal }, world);
      }
      await result.dispose();
      return await concludeRun(
        result,
        {
          flags,
          showOutput: result.output !== null && delivery.kind !== "stdout",
          stoppedBy: stop.by(),
          ...(flags.watch === true ? { left: job } : {}),
        },
        world,
      );
    } finally {
      reporter.end();
      await disposeDelivery(delivery);
      stop.release();
    }
  });
}
