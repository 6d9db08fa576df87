import { possiblePaths } from "../../engine/inputs.ts";
import type { RunEvent } from "../../engine/events.ts";
import type { RunOptions, RunResult } from "../../engine/options.ts";
import { clusterUrl, meansInline } from "../cluster-connection.ts";
import type { Invocation } from "../command.ts";
import type { Delivery } from "../deliver-results.ts";
import { deliverResults, disposeDelivery, prepareDelivery } from "../deliver-results.ts";
import type { DriverProcess } from "../driver-process.ts";
import type { ExitCode } from "../exit-code.ts";
import type { runFlags } from "../flags/run-flags.ts";
import { resolveJob } from "../project-file.ts";
import { checkRunFlags, runOptions } from "../run-options.ts";
import { concludeRun } from "../conclude-run.ts";
import { stopOnSignal } from "../stop-on-signal.ts";
import { makeReporter } from "../ui/reporter.ts";
import { styleFor } from "../ui/style.ts";
import type { World } from "../world.ts";

export async function run(invocation: Invocation<typeof runFlags>): Promise<ExitCode> {
  const { positionals, world } = invocation;
  const flags = meansInline(invocation.flags, world)
    ? { ...invocation.flags, inline: true }
    : invocation.flags;
  const [word, ...inputs] = positionals;
  const url = clusterUrl(flags, world);
  checkRunFlags(flags, url !== undefined);
  if (flags.intermediate !== undefined) {
    const { runForeignWorkers } = await import("../run-foreign-workers.ts");
    return runForeignWorkers({ flags, name: word!, inputs }, world);
  }
  const job = resolveJob(word!, world.cwd);
  const driver = await driverOf(flags, world);
  const on = driver?.url ?? url;
  if (on !== undefined && flags.detach === true) {
    const { submit } = await import("./submit.ts");
    return submit({ flags, job, inputs, on }, world);
  }
  const run = await runnerOf(on, flags, world);
  const style = styleFor(world.stderr, world.env, flags.color);
  const reporter = makeReporter({ quiet: flags.quiet === true, json: flags.json === true, style }, world);
  const stop = stopOnSignal(reporter, world);
  const delivery = await prepareDelivery(flags, world.cwd);
  if (inputs.flatMap(possiblePaths).includes("-") && world.stdinIsTerminal()) {
    reporter.say("reading what you type; Ctrl-D on a line of its own ends it");
  }
  let result: RunResult | undefined;
  try {
    let collections: readonly string[] = [""];
    const onEvent = (event: RunEvent): void => {
      if (event.kind === "planned") collections = Object.keys(event.partitions);
      reporter.onEvent(event);
    };
    const options = {
      ...runOptions(flags, job, inputs, delivery),
      ...(driver?.clientTokenFile === undefined ? {} : { tokenFile: driver.clientTokenFile }),
      signal: stop.signal,
      onEvent,
    };
    result = await run(job.file, options, delivery);
    reporter.end();
    if (result.status === "SUCCEEDED") {
      await deliverResults(
        delivery,
        result,
        { collections, json: flags.json === true, signal: stop.signal },
        world,
      );
    }
    const showOutput = delivery.kind === "directory";
    return await concludeRun(result, { flags, showOutput, stoppedBy: stop.by() }, world);
  } finally {
    reporter.end();
    await result?.dispose();
    await disposeDelivery(delivery);
    await driver?.end();
    stop.release();
  }
}

/** The coordinator of a run that is listened for; null for others. */
async function driverOf(
  { listen }: Invocation<typeof runFlags>["flags"],
  world: World,
): Promise<DriverProcess | null> {
  if (listen === undefined) return null;
  const { startDriver } = await import("../driver-process.ts");
  return startDriver({ ...listen, insecure: false }, world);
}

/** Of the two ways to run a job only the one that is wanted is loaded. */
async function runnerOf(
  on: string | undefined,
  flags: Invocation<typeof runFlags>["flags"],
  world: World,
): Promise<(file: string, options: RunOptions, delivery: Delivery) => Promise<RunResult>> {
  if (on === undefined) return (await import("../../runner/run.ts")).runJob;
  const [{ runOnCluster }, { clusterOptions }] = await Promise.all([
    import("../../client/cluster-run.ts"),
    import("../cluster-options.ts"),
  ]);
  return (file, options, delivery) =>
    runOnCluster(file, { ...clusterOptions(flags, delivery, on, world), ...options, on });
}
