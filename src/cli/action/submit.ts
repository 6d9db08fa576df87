import type { Invocation } from "../command.ts";
import { SheafError } from "../../base/errors.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import type { submitFlags } from "../flags/submit-flags.ts";
import { resolveJob } from "../project-file.ts";
import type { ResolvedJob } from "../project-file.ts";
import { checkRunFlags, runnerOf, runOptions } from "../run-options.ts";
import type { RunFlags } from "../run-options.ts";
import { runners } from "../../runners/runners.ts";
import type { Runner, RunnerName } from "../../runners/runners.ts";
import type { JobRunOptions } from "../../engine/options.ts";
import { clusterUrl } from "../cluster-connection.ts";
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
  const runner = runnerOf(asRun, world);
  if (runner === "local") {
    throw new SheafError("USAGE", "sheaf submit needs a cluster, and none is named", {
      hint: "Give --on URL of its coordinator, or set $SHEAF_ON. To run the job here: sheaf run.",
    });
  }
  checkRunFlags(asRun, runner);
  return submit({ flags: asRun, job, inputs, runner }, world);
}

/** Also `sheaf run --detach`: prints the job's id and leaves it alone. */
export async function submit(
  about: {
    readonly flags: RunFlags;
    readonly job: ResolvedJob;
    readonly inputs: readonly string[];
    readonly runner: RunnerName;
  },
  world: World,
): Promise<ExitCode> {
  const { flags, job, inputs, runner: name } = about;
  const style = styleFor(world.stderr, world.env, flags.color);
  const reporter = makeReporter({ quiet: true, json: flags.json === true, style }, world);
  const stop = stopOnSignal(reporter, world);
  try {
    const runner = (await runners[name].load()) as Runner<JobRunOptions>;
    if (runner.submit === undefined) {
      throw new SheafError("USAGE", `--detach is not for ${runners[name].title}`, {
        hint: "Leave it out, and wait for the job's end.",
      });
    }
    const options = runOptions(name, { flags, job, inputs, delivery: null }, world);
    const submitted = await runner.submit(job.file, { ...options, signal: stop.signal });
    if (flags.json === true) {
      await writeTo(
        world.stdout,
        `${JSON.stringify({ kind: "submitted", ...submitted, on: clusterUrl(flags, world) })}\n`,
      );
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
