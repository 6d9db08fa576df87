import { SheafError } from "../../base/errors.ts";
import type { RunEvent } from "../../engine/events.ts";
import { findJob } from "../../engine/job-history.ts";
import type { RunOptions } from "../../engine/options.ts";
import type { RunResult } from "../../engine/run-result.ts";
import { runnerAsked } from "../../runners/runners.ts";
import type { CliCommand, ExitCode, Invocation } from "../command.ts";
import { credentialsOf, stateDirectoryOf } from "../connection.ts";
import { deliverResults, disposeDelivery, prepareDelivery, wantsRecords } from "../deliver.ts";
import { makeReporter } from "../ui/reporter.ts";
import { styleFor } from "../ui/style.ts";
import { concludeRun } from "../ui/summary.ts";
import { stopOnSignal } from "../world.ts";
import { runFlags } from "./run/flags.ts";
import { stepsOption } from "./run/options.ts";

const { only, from, until, print, collect, workers, tokenFile, tlsCa, tlsCert, tlsKey, quiet, json } =
  runFlags;

export const resumeFlags = {
  only,
  from,
  until,
  print,
  collect,
  workers,
  tokenFile,
  tlsCa,
  tlsCert,
  tlsKey,
  quiet,
  json,
};

export const resumeCommand: CliCommand<typeof resumeFlags> = {
  name: "resume",
  summary: "Go on with a pipeline that failed, was stopped or was killed",
  details: [
    "Steps that were done are not done again, unless their code, inputs or params have changed since: the reason is " +
      "told. The pipeline's file is read anew, everything else is as sheaf run was told.",
    "With --from STEP that step runs again with all that need it, whatever became of the pipeline.",
  ],
  arguments: [
    {
      name: "HANDLE",
      doc: "Pipeline: its id, the beginning of one, @ or @?NAME; default @",
      required: false,
      complete: "handle",
    },
  ],
  flags: resumeFlags,
  examples: [
    ["sheaf resume @", "Go on with the latest, after a step was corrected"],
    ["sheaf resume @?report --from score", "Once more from one step on"],
  ],
  run,
};

async function run({ flags, positionals, world }: Invocation<typeof resumeFlags>): Promise<ExitCode> {
  const stateDirectory = stateDirectoryOf(world);
  const job = await findJob(stateDirectory, positionals[0] ?? "@");
  if (job.record.steps === undefined) {
    throw new SheafError("USAGE", `${job.record.jobId} is no pipeline: it has no steps to go on with`, {
      hint: "Run the job again with sheaf run.",
    });
  }
  const { earlierPipeline, resumePipeline } = await import("../../pipeline/run-pipeline.ts");
  const { begun } = earlierPipeline(job).state;
  const style = styleFor(world.stderr, world.env, flags.color);
  const reporter = makeReporter({ quiet: flags.quiet === true, json: flags.json === true, style }, world);
  const stop = stopOnSignal(reporter, world);
  const output = begun!.output ?? undefined;
  const delivery = await prepareDelivery({ ...flags, output }, world.cwd);
  let result: RunResult | undefined;
  try {
    let collections: readonly string[] = [];
    const onEvent = (event: RunEvent): void => {
      if (event.kind === "steps-planned") collections = event.collections;
      reporter.onEvent(event);
    };
    const steps = stepsOption(flags);
    const options = {
      ...(delivery.kind === "stdout" ? { output: delivery.output } : {}),
      ...(begun!.options["on"] === undefined
        ? {}
        : await credentialsOf({ ...flags, on: undefined, profile: undefined }, world)),
      ...(flags.workers === undefined ? {} : { workers: flags.workers }),
      ...(steps === undefined ? {} : { steps }),
      collect: wantsRecords(delivery, flags.json),
      stateDirectory,
      signal: stop.signal,
      onEvent,
    } as RunOptions;
    const passing = delivery.kind === "stdout";
    result = await resumePipeline(job, options, runnerAsked, { passing });
    reporter.end();
    if (result.status === "SUCCEEDED") {
      const { signal } = stop;
      await deliverResults(delivery, result, { collections, json: flags.json === true, signal }, world);
    }
    const about = {
      flags: { ...flags, output },
      showOutput: delivery.kind === "directory",
      stoppedBy: stop.by(),
    };
    return await concludeRun(result, { ...about, countsRecords: true }, world);
  } finally {
    reporter.end();
    await result?.dispose();
    await disposeDelivery(delivery);
    stop.release();
  }
}
