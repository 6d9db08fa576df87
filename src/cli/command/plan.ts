import { totalmem } from "node:os";
import { SheafError } from "../../base/errors.ts";
import { adviceOf } from "../../engine/advice.ts";
import type { Forecast } from "../../engine/forecast.ts";
import { mayBePipeline } from "../../engine/job-bundle.ts";
import type { LocalRunOptions, RunOptions } from "../../engine/options.ts";
import { resolveOptions } from "../../engine/resolve-options.ts";
import { noPipeline } from "../../pipeline/detect.ts";
import type { FirstSteps } from "../../pipeline/first-steps.ts";
import { tryJob } from "../../runner/try-job.ts";
import { runners } from "../../runners/runners.ts";
import { type CliCommand, type ExitCode, exitCodes, type Invocation } from "../command.ts";
import { withCluster } from "../connection.ts";
import { forecastText } from "../ui/forecast.ts";
import { makeReporter } from "../ui/reporter.ts";
import { styleFor } from "../ui/style.ts";
import { stopOnSignal, type World, writeJson, writeTo } from "../world.ts";
import { type AskedRun, askedRun } from "./run/asked.ts";
import { runFlags } from "./run/flags.ts";
import { checkRunFlags, runOptions } from "./run/options.ts";

export const planCommand: CliCommand<typeof runFlags> = {
  name: "plan",
  summary: "Predict what a run would take, by running parts of it",
  details: [
    "Give it what sheaf run would be given: the job's own map and reduce run on parts of the real input, for a few " +
      "seconds however large that is. What they take is carried forward to all of it: time, bytes of the shuffle, " +
      "groups, output, bad records, memory, hot keys; and which flags would do the job good, and why. Nothing is " +
      "written that stays.",
    "Of a pipeline each job that reads no other step is tried so. --only STEP chooses one; what the others read is not " +
      "there before it is made.",
    "With --on URL it tries the job here, and plans for as many workers as that cluster has; the input must be here, " +
      "too. A run there, from the same directory, shows what was predicted beside what came of it.",
    "Numbers are ranges: what grows with every record is known well, the number of different keys only so far. A run " +
      "of the same job over the same files shows what was predicted beside what came of it. docs/planning.md says how " +
      "it is done, and what it cannot see.",
  ],
  arguments: [
    { name: "JOB", doc: "Job file, or name of a job of the project", required: true, complete: "job" },
    {
      name: "INPUT",
      doc: "As sheaf run takes it, but not standard input",
      required: false,
      many: true,
      complete: "path",
    },
  ],
  flags: runFlags,
  examples: [
    ["sheaf plan wordcount.ts books/*.txt", "How long would it take?"],
    ["sheaf plan visits logs/ --workers 16 --json", "The same as JSON, for 16 workers"],
    ["sheaf plan visits /mnt/logs --on http://10.0.0.5:7077", "For the agents of a cluster"],
  ],
  run,
};

type Planned = Forecast & { readonly job: string; readonly advice: ReturnType<typeof adviceOf> };

/** Files that are sure to be a job's cost nothing. */
async function firstStepsOf(file: string, options: RunOptions, cwd: string): Promise<FirstSteps | null> {
  if (!mayBePipeline(file)) return null;
  const { firstSteps } = await import("../../pipeline/first-steps.ts");
  return firstSteps(file, options, cwd);
}

/**
 * The tasks that the cluster would run at one time for it. The job itself is tried here.
 * @throws SheafError USAGE for input that is not here; NO_AGENTS; as withCluster
 */
async function coresThere({ flags, inputs }: AskedRun, world: World): Promise<number> {
  const far = inputs.find((text) => /^(?:\w+=)?agent:/.test(text));
  if (far !== undefined) {
    throw new SheafError("USAGE", `${far} lies on the agents, and sheaf plan tries parts of it here`, {
      hint: "Run it on a machine that has these files: sheaf plan --on local --workers N, N the cores of the cluster.",
    });
  }
  const { slots } = await withCluster(flags, world, (api) => api.cluster({ retryMs: 0 }));
  if (slots > 0) return Math.min(flags.cores ?? slots, slots);
  throw new SheafError("NO_AGENTS", "the cluster has no agents now that could run anything", {
    hint: "sheaf nodes shows them. Or plan with --on local --workers N, N the cores that it will have.",
  });
}

async function run(invocation: Invocation<typeof runFlags>): Promise<ExitCode> {
  const { world } = invocation;
  const asked = await askedRun(invocation, world);
  const { flags, job, runner } = asked;
  if (runner !== "local" && runner !== "cluster") {
    throw new SheafError("USAGE", `sheaf plan cannot say anything of ${runners[runner].title}`, {
      hint: "Leave --listen and --intermediate out, and give --workers N for as many as will join.",
    });
  }
  checkRunFlags(flags, runner);
  const elsewhere = runner === "cluster";
  const style = styleFor(world.stderr, world.env, flags.color);
  const reporter = makeReporter({ quiet: true, json: false, style }, world);
  const stop = stopOnSignal(reporter, world);
  try {
    const here = await runOptions("local", { ...asked, delivery: null }, world);
    const options = elsewhere ? { ...here, workers: await coresThere(asked, world) } : here;
    const { memoryBytes, badBudget } = resolveOptions(options, "thread");
    const given = { memoryBytes, keepsBad: badBudget !== null, machineBytes: totalmem() };
    const tried = async (own: LocalRunOptions): Promise<Planned> => {
      const { name, forecast } = await tryJob(
        job.file,
        { ...own, signal: stop.signal },
        undefined,
        elsewhere,
      );
      return { job: name, ...forecast, advice: adviceOf(forecast, given) };
    };
    const told = (name: string, { job: _job, advice, ...forecast }: Planned): string =>
      forecastText(name, forecast, advice, style);
    const pipeline = await firstStepsOf(job.file, options, world.cwd);
    if (pipeline === null) {
      if (options.steps !== undefined) throw noPipeline(job.file);
      const found = await tried(options);
      if (flags.json === true) await writeJson(world, found);
      else await writeTo(world.stdout, told(found.job, found));
      return exitCodes.ok;
    }
    try {
      const steps: Planned[] = [];
      for (const { name, options: own } of pipeline.steps) {
        const found = { ...(await tried(own)), job: name };
        steps.push(found);
        if (flags.json !== true) await writeTo(world.stdout, `${told(name, found)}\n`);
      }
      const { left } = pipeline;
      if (flags.json === true) await writeJson(world, { pipeline: job.file, steps, left });
      else if (left.length > 0)
        await writeTo(
          world.stdout,
          `Not planned for, since they read what is not there yet: ${left.join(", ")}\n`,
        );
    } finally {
      await pipeline.dispose();
    }
    return exitCodes.ok;
  } finally {
    reporter.end();
    stop.release();
  }
}
