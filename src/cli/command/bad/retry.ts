import { SheafError } from "../../../base/errors.ts";
import { type ListedBadRecord, readBadRecords } from "../../../engine/bad-list.ts";
import type { RunEvent } from "../../../engine/events.ts";
import { findJob } from "../../../engine/job-history.ts";
import type { RunResult } from "../../../engine/run-result.ts";
import { type BadRetry, planMend, planRetry, runMend, runRetry } from "../../../runner/retry-bad.ts";
import type { ExitCode, Invocation } from "../../command.ts";
import { clusterUrl, credentialsOf, stateDirectoryOf, withCluster } from "../../connection.ts";
import { makeReporter } from "../../ui/reporter.ts";
import { styleFor } from "../../ui/style.ts";
import { concludeRun } from "../../ui/summary.ts";
import { formatCount, plural } from "../../ui/text.ts";
import { type World, stopOnSignal, writeTo } from "../../world.ts";
import { type badFlags, withBadOfCluster } from "../bad.ts";

type Flags = Invocation<typeof badFlags>["flags"];

/** What is done where. */
interface Retry {
  /** The job, or its output, as messages call it. */
  readonly old: string;
  readonly records: number;
  /** null: they are merged into the old output. */
  readonly beside: Pick<BadRetry, "withoutPlace" | "partly"> | null;
  run(more: {
    readonly signal: AbortSignal;
    readonly stateDirectory: string;
    readonly onEvent: (event: RunEvent) => void;
    readonly output?: string;
    readonly overwrite?: boolean;
  }): Promise<RunResult>;
}

/** `sheaf bad retry`. */
export async function retryBad(handle: string, flags: Flags, world: World): Promise<ExitCode> {
  const { output, overwrite, with: whole } = flags;
  if (output === undefined && (overwrite === true || whole.length > 0)) {
    throw new SheafError("USAGE", "--overwrite and --with are for results that are written beside", {
      hint: "Give -o DIR; without it bad records are merged into the old output.",
    });
  }
  const on = clusterUrl(flags, world);
  const retry = on === undefined ? await here(handle, flags, world) : await there(on, handle, flags, world);
  const style = styleFor(world.stderr, world.env, flags.color);
  const json = flags.json === true;
  const reporter = makeReporter({ quiet: false, json, style }, world);
  const stop = stopOnSignal(reporter, world);
  let result: RunResult | undefined;
  try {
    result = await retry.run({
      signal: stop.signal,
      stateDirectory: stateDirectoryOf(world),
      onEvent: (event) => reporter.onEvent(event),
      ...(output !== undefined && { output }),
      ...(overwrite !== undefined && { overwrite }),
    });
    reporter.end();
    const about = { flags: { ...flags, quiet: false }, showOutput: true, stoppedBy: stop.by() };
    const code = await concludeRun(result, about, world);
    if (result.status === "SUCCEEDED" && !json) await writeTo(world.stderr, toldOf(retry, result.badRecords));
    return code;
  } finally {
    reporter.end();
    await result?.dispose();
    stop.release();
  }
}

async function here(handle: string, { output, with: whole }: Flags, world: World): Promise<Retry> {
  const job = await findJob(stateDirectoryOf(world), handle);
  const old = job.record.output ?? job.record.jobId;
  if (output === undefined) {
    const mend = await planMend(job);
    return { old, records: mend.records, beside: null, run: (more) => runMend(mend, more) };
  }
  const retry = await planRetry(job, world.cwd, whole);
  return { old, records: retry.records, beside: retry, run: (more) => runRetry(retry, more) };
}

/** The same of a job of a cluster, which runs what is to be done. */
async function there(on: string, handle: string, flags: Flags, world: World): Promise<Retry> {
  const client = await import("../../../client/retry-bad.ts");
  const target = { on, ...(await credentialsOf(flags, world)) };
  return withCluster(flags, world, (api) =>
    withBadOfCluster(api, handle, async ({ job, files }) => {
      if (flags.output === undefined) {
        const mend = await client.planMendThere(api, job);
        const { records } = mend;
        return {
          old: mend.options.output!,
          records,
          beside: null,
          run: (more) => client.runMendThere(mend, { ...more, ...target }),
        };
      }
      const bad: ListedBadRecord[] = [];
      for (const path of files) for await (const one of readBadRecords(path)) bad.push(one);
      const retry = await client.planRetryThere(api, job, bad, flags.with);
      const { records } = retry;
      return {
        old: job,
        records,
        beside: retry,
        run: (more) => client.runRetryThere(retry, { ...more, ...target }),
      };
    }),
  );
}

function toldOf({ old, records, beside }: Retry, still: number): string {
  const good = formatCount(records - still);
  const counts = `${good} of ${plural(records, "bad record")} are good now; ${formatCount(still)} are still bad.`;
  if (beside === null)
    return `${counts} They are merged into ${old}; what maps without bad records had made is as it was\n`;
  const { withoutPlace, partly } = beside;
  const lines = [`${counts} Their results stand beside those of ${old}, not in them`];
  if (withoutPlace > 0)
    lines.push(`${plural(withoutPlace, "more record")} came out of a reduce, and were not retried`);
  if (partly.length > 0)
    lines.push(
      `A reduce has seen no other records of ${partly.join(", ")}: give --with NAME where it joins them`,
    );
  return `${lines.join("\n")}\n`;
}
