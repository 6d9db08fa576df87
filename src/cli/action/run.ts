import { possiblePaths } from "../../engine/inputs.ts";
import type { RunEvent } from "../../engine/events.ts";
import type { JobRunOptions, RunResult } from "../../engine/options.ts";
import type { Runner } from "../../runners/runners.ts";
import { runners } from "../../runners/runners.ts";
import { meansInline } from "../cluster-connection.ts";
import type { Invocation } from "../command.ts";
import { deliverResults, disposeDelivery, prepareDelivery } from "../deliver-results.ts";
import type { ExitCode } from "../exit-code.ts";
import type { runFlags } from "../flags/run-flags.ts";
import { resolveJob } from "../project-file.ts";
import { checkRunFlags, runnerOf, runOptions } from "../run-options.ts";
import { concludeRun } from "../conclude-run.ts";
import { stopOnSignal } from "../stop-on-signal.ts";
import { makeReporter } from "../ui/reporter.ts";
import { styleFor } from "../ui/style.ts";

export async function run(invocation: Invocation<typeof runFlags>): Promise<ExitCode> {
  const { positionals, world } = invocation;
  const flags = meansInline(invocation.flags, world)
    ? { ...invocation.flags, inline: true }
    : invocation.flags;
  const [word, ...inputs] = positionals;
  const name = runnerOf(flags, world);
  const entry = runners[name];
  checkRunFlags(flags, name);
  const job =
    entry.job === "file" ? resolveJob(word!, world.cwd) : { file: word!, name: undefined, external: [] };
  if (flags.detach === true) {
    const { submit } = await import("./submit.ts");
    return submit({ flags, job, inputs, runner: name }, world);
  }
  // Which type its options are of, runOptions has seen to.
  const runner = (await entry.load()) as Runner<JobRunOptions>;
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
    const options = runOptions(name, { flags, job, inputs, delivery }, world);
    result = await runner.run(job.file, { ...options, signal: stop.signal, onEvent });
    reporter.end();
    if (result.status === "SUCCEEDED") {
      const { signal } = stop;
      await deliverResults(delivery, result, { collections, json: flags.json === true, signal }, world);
    }
    const { countsRecords } = entry;
    const about = { flags, showOutput: delivery.kind === "directory", countsRecords, stoppedBy: stop.by() };
    return await concludeRun(result, about, world);
  } finally {
    reporter.end();
    await result?.dispose();
    await disposeDelivery(delivery);
    stop.release();
  }
}
