import type { CliCommand, ExitCode, Invocation } from "../command.ts";
import { withCluster, stateDirectoryOf } from "../connection.ts";
import { deliverResults, disposeDelivery, prepareFetch } from "../deliver.ts";
import { inCategory, switchFlag } from "../flag.ts";
import { connectFlags, displayFlags } from "../flags.ts";
import { makeReporter } from "../ui/reporter.ts";
import { styleFor } from "../ui/style.ts";
import { concludeRun } from "../ui/summary.ts";
import { stopOnSignal } from "../world.ts";
import { fetchFlags } from "./run/flags.ts";

export const attachFlags = inCategory("Cluster", {
  ...fetchFlags,
  watch: switchFlag("--watch", "Only look: Ctrl-C leaves the job running"),
  ...connectFlags,
  ...displayFlags,
});

export const attachCommand: CliCommand<typeof attachFlags> = {
  name: "attach",
  summary: "Follow a job on a cluster, from its beginning to its end",
  details: [
    "Shows what sheaf run would have shown. From then on the job is this command's: Ctrl-C stops it, and so does the " +
      "end of this command. With --watch it is only looked at.",
    "With -o, --print or --collect the results of a job without a shared output are fetched when it is done.",
  ],
  arguments: [{ name: "HANDLE", doc: "Job; default @, the latest", required: false, complete: "handle" }],
  flags: attachFlags,
  examples: [
    ["sheaf attach --on http://10.0.0.5:7077", "The latest job"],
    ["sheaf attach @?wordcount -o out", "Write its results when it is done"],
  ],
  run,
};

async function run({ flags, positionals, world }: Invocation<typeof attachFlags>): Promise<ExitCode> {
  const style = styleFor(world.stderr, world.env, flags.color);
  const { delivery, wishes } = await prepareFetch(flags, world.cwd);
  return withCluster(flags, world, async (api) => {
    const { findClusterJob } = await import("../../client/find-job.ts");
    const { job } = await findClusterJob(api, positionals[0] ?? "@");
    const reporter = makeReporter({ quiet: flags.quiet === true, json: flags.json === true, style }, world);
    const farewell = flags.watch === true ? `leaving ${job}, which goes on` : undefined;
    const stop = stopOnSignal(reporter, world, farewell);
    try {
      let collections: readonly string[] = [""];
      const { attachToJob } = await import("../../client/cluster-run.ts");
      const result = await attachToJob(api, job, {
        watch: flags.watch === true,
        ...wishes,
        signal: stop.signal,
        stateDirectory: stateDirectoryOf(world),
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
      const showOutput = result.output !== null && delivery.kind !== "stdout";
      const about = {
        flags,
        showOutput,
        stoppedBy: stop.by(),
        ...(flags.watch === true ? { left: job } : {}),
      };
      return await concludeRun(result, about, world);
    } finally {
      reporter.end();
      await disposeDelivery(delivery);
      stop.release();
    }
  });
}
