import type { RunEvent } from "../../engine/events.ts";
import { possiblePaths } from "../../engine/inputs.ts";
import type { JobRunOptions } from "../../engine/options.ts";
import type { RunResult } from "../../engine/run-result.ts";
import { runnerFitFor } from "../../pipeline/detect.ts";
import { type Runner, runners } from "../../runners/runners.ts";
import type { CliCommand, ExitCode, Invocation } from "../command.ts";
import { deliverResults, disposeDelivery, prepareDelivery } from "../deliver.ts";
import { makeReporter } from "../ui/reporter.ts";
import { styleFor } from "../ui/style.ts";
import { concludeRun } from "../ui/summary.ts";
import { stopOnSignal } from "../world.ts";
import { askedRun } from "./run/asked.ts";
import { runFlags } from "./run/flags.ts";
import { checkRunFlags, runOptions } from "./run/options.ts";

export const runCommand: CliCommand<typeof runFlags> = {
  name: "run",
  summary: "Run a job",
  details: [
    "JOB is a TypeScript or JavaScript file whose default export is a job, or the name of a job listed in " +
      "sheaf.config.ts or sheaf.json of this directory or one above it. What these say of inputs, output and other " +
      "settings holds where the command says nothing (docs/project.md).",
    "INPUT is any number of files, directories and globs; - is standard input. A job that generates its records " +
      "takes none. Of a directory all files below it are read but those whose names begin with . or _. Globs are read " +
      "as in bash without extglob, and ** is any depth; what exists under a name as it is given is taken by that name.",
    "For a job with several inputs each INPUT is NAME=PATH: customers=data/c.csv 'orders=data/*.jsonl'.",
    "With -o the results are written to DIR/part-00000.tsv, part-00001.tsv ... (the extension is the format's; jobs " +
      "with collections write DIR/COLLECTION/part-...), and DIR/_SUCCESS when all of them are complete. Without -o they " +
      "go to standard output. Everything said to people goes to standard error.",
    "Ctrl-C stops the job, removes what it wrote and leaves the output as it was. A second Ctrl-C kills it at once.",
  ],
  arguments: [
    { name: "JOB", doc: "Job file, or name of a job of the project", required: true, complete: "job" },
    {
      name: "INPUT",
      doc: "Files, directories, globs, or - for standard input; NAME=PATH where the job has several inputs",
      required: false,
      many: true,
      complete: "path",
    },
  ],
  flags: runFlags,
  examples: [
    ["sheaf run wordcount.ts books/*.txt -o out", "Count words, results in out/"],
    ["cat log | sheaf run errors.ts - | sort -k2nr | head", "From and to a pipe"],
    [
      "sheaf run join.ts customers=c.csv 'orders=orders/*.jsonl' -o out",
      "A job with several inputs: each path with the name of its input",
    ],
    ["sheaf run visits logs/ -o out --set year=2024 --overwrite", "A registered job with a parameter"],
    ["sheaf run job.ts data.csv --sample 1% --print 10 -o /tmp/try", "Try it on a hundredth of the records"],
    ["node --inspect-brk $(which sheaf) run job.ts small.txt --inline", "Step through map and reduce"],
  ],
  run,
};

async function run(invocation: Invocation<typeof runFlags>): Promise<ExitCode> {
  const { world } = invocation;
  const asked = await askedRun(invocation, world);
  const { flags, job, inputs, runner: name } = asked;
  const entry = runners[name];
  checkRunFlags(flags, name);
  if (flags.detach === true) {
    const { submit } = await import("./submit.ts");
    return submit(asked, world);
  }
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
      if (event.kind === "planned" && event.step === undefined) collections = Object.keys(event.partitions);
      if (event.kind === "steps-planned") collections = event.collections;
      reporter.onEvent(event);
    };
    const options = await runOptions(name, { ...asked, delivery }, world);
    // Which type its options are of, runOptions has seen to.
    const loaded = (await entry.load()) as Runner<JobRunOptions>;
    const passing = delivery.kind === "stdout";
    const wanted: JobRunOptions = options;
    const runner = entry.job === "file" ? await runnerFitFor(job.file, wanted, loaded, { passing }) : loaded;
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
