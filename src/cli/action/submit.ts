import type { Delivery } from "../deliver-results.ts";
import type { Invocation } from "../command.ts";
import { clusterUrl } from "../cluster-connection.ts";
import { SheafError } from "../../base/errors.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import type { submitFlags } from "../flags/submit-flags.ts";
import { resolveJob } from "../project-file.ts";
import type { ResolvedJob } from "../project-file.ts";
import { clusterOptions } from "../cluster-options.ts";
import { checkRunFlags, runOptions } from "../run-options.ts";
import type { RunFlags } from "../run-options.ts";
import { makeReporter } from "../ui/reporter.ts";
import { styleFor } from "../ui/style.ts";
import { stopOnSignal } from "../stop-on-signal.ts";
import type { World } from "../world.ts";
import { writeTo } from "../world.ts";

export async function run({ flags, positionals, world }: Invocation<typeof submitFlags>): Promise<ExitCode> {
  const [word, ...inputs] = positionals;
  const job = resolveJob(word!, world.cwd);
  const asRun: RunFlags = {
    ...flags,
    detach: true,
    print: undefined,
    collect: undefined,
    workers: undefined,
    temp: undefined,
    isolate: undefined,
    inline: undefined,
  };
  const on = clusterUrl(flags, world);
  if (on === undefined) {
    throw new SheafError("USAGE", "sheaf submit needs a cluster, and none is named", {
      hint: "Give --on URL of its coordinator, or set $SHEAF_ON. To run the job here: sheaf run.",
    });
  }
  checkRunFlags(asRun, true);
  return submit({ flags: asRun, job, inputs, on }, world);
}

/** Also `sheaf run --detach`: prints the job's id and leaves it alone. */
export async function submit(
  about: {
    readonly flags: RunFlags;
    readonly job: ResolvedJob;
    readonly inputs: readonly string[];
    readonly on: string;
  },
  world: World,
): Promise<ExitCode> {
  const { flags, job, inputs, on } = about;
  const style = styleFor(world.stderr, world.env, flags.color);
  const reporter = makeReporter({ quiet: true, json: flags.json === true, style }, world);
  const stop = stopOnSignal(reporter, world);
  const { submitToCluster } = await import("../../client/cluster-run.ts");
  const delivery: Delivery =
    flags.output === undefined
      ? { kind: "records", print: Number.POSITIVE_INFINITY }
      : { kind: "directory", output: flags.output, print: 0 };
  try {
    const submitted = await submitToCluster(job.file, {
      ...runOptions(flags, job, inputs, delivery),
      ...clusterOptions(flags, null, on, world),
      signal: stop.signal,
    });
    if (flags.json === true) {
      await writeTo(world.stdout, `${JSON.stringify({ kind: "submitted", ...submitted, on })}\n`);
      return exitCodes.ok;
    }
    await writeTo(world.stdout, `${submitted.job}\n`);
    if (flags.quiet !== true) {
      const results = flags.output === undefined ? `; its results: sheaf results ${submitted.job}` : "";
      await writeTo(world.stderr, `submitted; follow it: sheaf attach ${submitted.job}${results}\n`);
    }
    return exitCodes.ok;
  } finally {
    reporter.end();
    stop.release();
  }
}
