import { SheafError } from "../../base/errors.ts";
import type { JobRunOptions } from "../../engine/options.ts";
import { runnerFitFor } from "../../pipeline/detect.ts";
import { type Runner, runners } from "../../runners/runners.ts";
import { type CliCommand, type ExitCode, type Invocation, exitCodes } from "../command.ts";
import { clusterUrl } from "../connection.ts";
import { makeReporter } from "../ui/reporter.ts";
import { styleFor } from "../ui/style.ts";
import { type World, stopOnSignal, writeJson, writeTo } from "../world.ts";
import { type AskedRun, askedRun } from "./run/asked.ts";
import { runFlags } from "./run/flags.ts";
import { type RunFlags, checkRunFlags, runOptions } from "./run/options.ts";

const {
  print: _print,
  collect: _collect,
  workers: _workers,
  temp: _temp,
  isolate: _isolate,
  inline: _inline,
  detach: _detach,
  only: _only,
  from: _from,
  until: _until,
  ...rest
} = runFlags;

/** Those of `sheaf run` that say something about a job nobody waits for. */
export const submitFlags = rest;

export const submitCommand: CliCommand<typeof submitFlags> = {
  name: "submit",
  summary: "Submit a job to a cluster and return",
  details: [
    "The same as sheaf run --on URL --detach: the job's id is printed, and the job goes on without this command. " +
      "sheaf attach follows it, sheaf kill stops it.",
    "Without -o its results stay with the coordinator until it forgets the job; sheaf results fetches or prints them. " +
      "-o DIR needs a directory that all agents see (--shared).",
  ],
  arguments: [
    { name: "JOB", doc: "Job file, or name of a job of the project", required: true, complete: "job" },
    {
      name: "INPUT",
      doc:
        "Files, directories and globs as the agents see them, or agent:/PATH for files of each agent's own; NAME=PATH " +
        "where the job has several inputs",
      required: false,
      many: true,
      complete: "path",
    },
  ],
  flags: submitFlags,
  examples: [
    [
      "sheaf submit wordcount.ts /mnt/shared/books --on http://10.0.0.5:7077 --cores 8",
      "Count words with eight cores",
    ],
    ["sheaf results @ -o out", "Fetch the results of the latest job when it is done"],
  ],
  run,
};

async function run({ flags, positionals, world }: Invocation<typeof submitFlags>): Promise<ExitCode> {
  const asRun = detached(flags);
  const asked = await askedRun({ flags: asRun, positionals }, world);
  if (asked.runner === "local") {
    throw new SheafError("USAGE", "sheaf submit needs a cluster, and none is named", {
      hint: "Give --on URL of its coordinator, or set $SHEAF_ON. To run the job here: sheaf run.",
    });
  }
  checkRunFlags(asked.flags, asked.runner);
  return submit(asked, world);
}

/** As `sheaf run --detach` takes them. */
export function detached(flags: Invocation<typeof submitFlags>["flags"]): RunFlags {
  return {
    ...flags,
    detach: true,
    print: undefined,
    collect: undefined,
    workers: undefined,
    temp: undefined,
    isolate: undefined,
    inline: undefined,
    only: undefined,
    from: undefined,
    until: undefined,
  };
}

/** Also `sheaf run --detach`: prints the job's id and leaves it alone. */
export async function submit(asked: AskedRun, world: World): Promise<ExitCode> {
  const { flags, job, runner: name } = asked;
  const style = styleFor(world.stderr, world.env, flags.color);
  const reporter = makeReporter({ quiet: true, json: flags.json === true, style }, world);
  const stop = stopOnSignal(reporter, world);
  try {
    const loaded = (await runners[name].load()) as Runner<JobRunOptions>;
    const runner = await runnerFitFor(job.file, {}, loaded);
    if (runner.submit === undefined) {
      throw new SheafError("USAGE", `--detach is not for ${runners[name].title}`, {
        hint: "Leave it out, and wait for the job's end.",
      });
    }
    const options = await runOptions(name, { ...asked, delivery: null }, world);
    const submitted = await runner.submit(job.file, { ...options, signal: stop.signal });
    if (flags.json === true) {
      await writeJson(world, { kind: "submitted", ...submitted, on: clusterUrl(flags, world) });
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
