import { SheafError } from "../../../base/errors.ts";
import { findJob } from "../../../engine/job-history.ts";
import type { RunResult } from "../../../engine/options.ts";
import { planRetry, runRetry } from "../../../runner/retry-bad.ts";
import type { ExitCode, Invocation } from "../../command.ts";
import { clusterUrl, stateDirectoryOf } from "../../connection.ts";
import { makeReporter } from "../../ui/reporter.ts";
import { styleFor } from "../../ui/style.ts";
import { concludeRun } from "../../ui/summary.ts";
import { formatCount, plural } from "../../ui/text.ts";
import { type World, stopOnSignal, writeTo } from "../../world.ts";
import type { badFlags } from "../bad.ts";

/** `sheaf bad retry`. */
export async function retryBad(
  handle: string,
  flags: Invocation<typeof badFlags>["flags"],
  world: World,
): Promise<ExitCode> {
  const { output, overwrite } = flags;
  if (clusterUrl(flags, world) !== undefined) {
    throw new SheafError("USAGE", "bad records of a cluster's job cannot be retried alone yet", {
      hint: "List them with sheaf bad, mend the job, and run it again on all of its input.",
    });
  }
  if (output === undefined) {
    throw new SheafError("USAGE", "sheaf bad retry writes beside the old output, and needs --output", {
      hint: "Give a directory: -o DIR. What a reduce made of the other records is not kept: nothing is merged.",
    });
  }
  const job = await findJob(stateDirectoryOf(world), handle);
  const retry = await planRetry(job, world.cwd);
  const style = styleFor(world.stderr, world.env, flags.color);
  const json = flags.json === true;
  const reporter = makeReporter({ quiet: false, json, style }, world);
  const stop = stopOnSignal(reporter, world);
  let result: RunResult | undefined;
  try {
    result = await runRetry(retry, {
      output,
      ...(overwrite === undefined ? {} : { overwrite }),
      signal: stop.signal,
      onEvent: (event) => reporter.onEvent(event),
    });
    reporter.end();
    const about = { flags: { ...flags, quiet: false }, showOutput: true, stoppedBy: stop.by() };
    const code = await concludeRun(result, about, world);
    if (result.status === "SUCCEEDED" && !json) {
      const still = result.badRecords;
      const good = formatCount(retry.records - still);
      const old = job.record.output ?? job.record.jobId;
      const more =
        retry.withoutPlace === 0
          ? ""
          : `${plural(retry.withoutPlace, "more record")} came out of a reduce, and were not retried\n`;
      await writeTo(
        world.stderr,
        `${good} of ${plural(retry.records, "bad record")} are good now; ` +
          `${formatCount(still)} are still bad. ` +
          `Their results stand beside those of ${old}, not in them\n${more}`,
      );
    }
    return code;
  } finally {
    reporter.end();
    await result?.dispose();
    stop.release();
  }
}
