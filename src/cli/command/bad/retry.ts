import { SheafError } from "../../../base/errors.ts";
import type { RunEvent } from "../../../engine/events.ts";
import { findJob } from "../../../engine/job-history.ts";
import type { RunResult } from "../../../engine/options.ts";
import { planMend, planRetry, runMend, runRetry } from "../../../runner/retry-bad.ts";
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
  const job = await findJob(stateDirectoryOf(world), handle);
  const retry = output === undefined ? null : await planRetry(job, world.cwd);
  const mend = retry === null ? await planMend(job) : null;
  const style = styleFor(world.stderr, world.env, flags.color);
  const json = flags.json === true;
  const reporter = makeReporter({ quiet: false, json, style }, world);
  const stop = stopOnSignal(reporter, world);
  let result: RunResult | undefined;
  try {
    const more = {
      signal: stop.signal,
      stateDirectory: stateDirectoryOf(world),
      onEvent: (event: RunEvent): void => reporter.onEvent(event),
    };
    const target = { ...(output !== undefined && { output }), ...(overwrite !== undefined && { overwrite }) };
    result = await (retry === null ? runMend(mend!, more) : runRetry(retry, { ...more, ...target }));
    reporter.end();
    const about = { flags: { ...flags, quiet: false }, showOutput: true, stoppedBy: stop.by() };
    const code = await concludeRun(result, about, world);
    if (result.status === "SUCCEEDED" && !json) {
      const still = result.badRecords;
      const { records, withoutPlace = 0 } = retry ?? { records: mend!.records };
      const good = formatCount(records - still);
      const old = job.record.output ?? job.record.jobId;
      const rest =
        withoutPlace === 0
          ? ""
          : `${plural(withoutPlace, "more record")} came out of a reduce, and were not retried\n`;
      await writeTo(
        world.stderr,
        `${good} of ${plural(records, "bad record")} are good now; ${formatCount(still)} are still bad. ` +
          (retry === null
            ? `They are merged into ${old}; what maps without bad records had made is as it was\n`
            : `Their results stand beside those of ${old}, not in them\n${rest}`),
      );
    }
    return code;
  } finally {
    reporter.end();
    await result?.dispose();
    stop.release();
  }
}
