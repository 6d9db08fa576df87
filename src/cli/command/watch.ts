import { existsSync, mkdirSync, realpathSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { SheafError, isSheafError } from "../../base/errors.ts";
import { settings } from "../../base/limits.ts";
import { outputNameProblem } from "../../base/output-name.ts";
import { formatSize } from "../../base/size.ts";
import type { JobRunOptions } from "../../engine/options.ts";
import { runnerFitFor } from "../../pipeline/detect.ts";
import { type Runner, runners } from "../../runners/runners.ts";
import { lockFile } from "../../storage/file-lock.ts";
import { localPath } from "../../storage/store.ts";
import { type CliCommand, type ExitCode, type Invocation, exitCodes } from "../command.ts";
import { inCategory, secondsText, switchFlag, types, valueFlag } from "../flag.ts";
import { type Reporter, makeReporter } from "../ui/reporter.ts";
import { styleFor } from "../ui/style.ts";
import { concludeRun } from "../ui/summary.ts";
import { displayPath, formatDuration, plural } from "../ui/text.ts";
import { type Stop, type World, stopOnSignal, writeJson } from "../world.ts";
import { type AskedRun, askedRun } from "./run/asked.ts";
import { runFlags } from "./run/flags.ts";
import { type RunFlags, checkRunFlags, runOptions } from "./run/options.ts";
import { lookAt } from "./watch/arrivals.ts";
import { Ledger } from "./watch/ledger.ts";
import {
  type UpdateDoors,
  type WatchDoors,
  watchDirectory,
  type WatchedEnd,
  type WatchNote,
  updateOutput,
} from "./watch/watcher.ts";

const {
  overwrite: _overwrite,
  print: _print,
  collect: _collect,
  detach: _detach,
  after: _after,
  once: _once,
  force: _force,
  materialize: _materialize,
  explain: _explain,
  listen: _listen,
  intermediate: _intermediate,
  workerTimeout: _workerTimeout,
  output: _output,
  ...rest
} = runFlags;

export const watchFlags = {
  ...inCategory("Input", {
    interval: valueFlag("--interval TIME", types.duration, "Time between two looks at DIR", {
      default: secondsText(settings.watchIntervalMs),
      details:
        "A file is whole when two looks saw one size and time of change, or when it came by a rename of a name that " +
        "begins with . or _ of the same directory or one below DIR.",
    }),
    again: switchFlag("--again", "Take a file again when it changes after its run", {
      details: "Otherwise the change is told, and the file is not read again.",
    }),
    drain: switchFlag("--drain", "End when all files there are have been taken"),
  }),
  ...inCategory("Output", {
    output: {
      ...valueFlag(
        "-o, --output OUT",
        types.place,
        "Directory for the outputs of the runs; made if it is missing",
        {
          default: "that of the project",
          details: "What has been read is kept in OUT/.sheaf-watch.jsonl.",
        },
      ),
      category: "Output" as const,
    },
    into: valueFlag("--into TEMPLATE", types.string, "Name of each run's own directory below OUT", {
      default: "{time}",
      details:
        "{time} is when it began, in UTC (2026-11-29T07-03-12-123Z), {date} the day of that, {number} the number of the run " +
        "(000001). With a / in it there are directories in one another.",
    }),
  }),
  ...rest,
};

export const watchCommand: CliCommand<typeof watchFlags> = {
  name: "watch",
  summary: "Run a job on new files of a directory as they come",
  details: [
    "DIR is looked at again and again, with all below it. When files have come and are whole, the job runs on these, one " +
      "run at a time, each with an output directory of its own below OUT. Names that begin with . or _ are ignored.",
    "Which files are done with is kept on the disk: a watcher that was killed goes on where it was. Every file is in " +
      "one output, none is left out. A run that fails is told and tried again, after longer and longer waits.",
    "With --incremental OUT is one output, of all files that are whole: it is made anew when a file has come, changed or " +
      "gone, and only what is new is mapped. This is for runs on this machine.",
    "For a job with several inputs DIR is NAME=DIR, and INPUT are those of the others, which every run reads. Ctrl-C " +
      "ends a run that is under way, and the watcher. docs/watch.md says more.",
  ],
  arguments: [
    { name: "DIR", doc: "Directory that files come into", required: true, complete: "path" },
    { name: "JOB", doc: "Job file, or name of a job of the project", required: true, complete: "job" },
    {
      name: "INPUT",
      doc: "NAME=PATH of other inputs of the job",
      required: false,
      many: true,
      complete: "path",
    },
  ],
  flags: watchFlags,
  examples: [
    ["sheaf watch incoming/ visits.ts -o visits", "A directory of results for each batch of new files"],
    ["sheaf watch /mnt/in visits --on http://10.0.0.5:7077 -o /mnt/out", "On a cluster"],
    ["sheaf watch in/ visits.ts -o out --incremental", "One output, kept up to date"],
    ["sheaf watch in/ visits.ts -o out --into 'day={date}/{time}' --drain", "What is there now, from cron"],
  ],
  run,
};

async function run({ flags, positionals, world }: Invocation<typeof watchFlags>): Promise<ExitCode> {
  const [given, ...words] = positionals;
  const { interval = settings.watchIntervalMs.default, into, again, drain, ...said } = flags;
  if (interval < settings.watchIntervalMs.min) {
    throw new SheafError("USAGE", `--interval: ${interval} ms is too short`, {
      hint: `Give ${settings.watchIntervalMs.min}ms or more.`,
    });
  }
  const { directory, prefix } = watched(given!, world.cwd);
  if (prefix === "" && words.length > 1) {
    throw new SheafError("USAGE", `sheaf watch: ${words[1]} is one argument too many`, {
      hint: "Other inputs are for jobs that have several: give DIR as NAME=DIR, and them as NAME=PATH.",
    });
  }
  const asRun = { ...said, after: [], detach: undefined } as unknown as RunFlags;
  const asked = forManyRuns(await askedRun({ flags: asRun, positionals: words }, world));
  checkRunFlags({ ...asked.flags, overwrite: undefined }, asked.runner);
  const isOne = asked.flags.incremental === true;
  const out = outputOf(asked, world.cwd);
  if (isOne) checkOneOutput({ into, again, runner: asked.runner });
  else prepareOut(out);
  if (realPlace(out) === realpathSync(directory)) throw watchesItself(directory);
  const template = into ?? "{time}";
  checkTemplate(template);
  const style = styleFor(world.stderr, world.env, flags.color);
  const look = { quiet: flags.quiet === true, json: flags.json === true, style };
  const reporter = makeReporter(look, world);
  const stop = stopOnSignal(reporter, world, "stopping");
  const unlock = lockOf(out, isOne);
  let ledger: Ledger | undefined;
  // What a project says of the job's inputs are others than DIR, in one that has several.
  const others = asked.inputs.filter((text) => prefix !== "" && !text.startsWith(prefix));
  const runOn = (output: string, files: readonly string[]): Promise<WatchedEnd> => {
    const inputs = [...others, ...files.map((file) => `${prefix}${join(directory, file)}`)];
    return runBatch(asked, { output, inputs }, makeReporter(look, world), stop, world);
  };
  const doors: WatchDoors = {
    look: () => lookAt(directory, realPlace(out)),
    run: (name, files) => runOn(join(out, name), files),
    isThere: (name) => isThere(join(out, name), asked.runner !== "local"),
    pause: (ms) => sleep(ms, undefined, { signal: stop.signal }).catch(() => undefined),
    nameOf: (number) => freeName(out, template, number, world.clock.wallMs()),
    tell: (note) => tell(note, { out, reporter, json: look.json }, world),
  };
  try {
    const rules = { intervalMs: interval, again: again === true, drain: drain === true };
    const update: UpdateDoors = { ...doors, run: (files) => runOn(out, files) };
    ledger = isOne ? undefined : new Ledger(out, directory);
    const end =
      ledger === undefined
        ? await updateOutput(update, rules, stop.signal)
        : await watchDirectory(ledger, doors, rules, stop.signal);
    return end === "stopped" ? exitCodes.cancelled : exitCodes.ok;
  } finally {
    reporter.end();
    ledger?.close();
    unlock();
    stop.release();
  }
}

/** Without what a project says of one run alone. */
function forManyRuns(asked: AskedRun): AskedRun {
  const { settings: all } = asked;
  const { once: _o, force: _f, after: _a, materialize: _m, incremental: _i, explain: _e, ...settings } = all;
  return { ...asked, settings };
}

/** @throws SheafError INPUT_MISSING */
function watched(given: string, cwd: string): { readonly directory: string; readonly prefix: string } {
  const isDirectory = (path: string): boolean =>
    statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  const plain = localPath(given, "sheaf watch DIR", cwd);
  if (isDirectory(plain)) return { directory: plain, prefix: "" };
  const end = given.indexOf("=") + 1;
  const named = localPath(given.slice(end), "sheaf watch DIR", cwd);
  if (end > 1 && isDirectory(named)) return { directory: named, prefix: given.slice(0, end) };
  throw new SheafError("INPUT_MISSING", `${given} is no directory`, {
    hint: "Give the directory that files come into, and the job after it: sheaf watch DIR JOB -o OUT.",
  });
}

/** @throws SheafError USAGE */
function outputOf({ flags }: AskedRun, cwd: string): string {
  if (flags.output === undefined) {
    throw new SheafError("USAGE", "sheaf watch writes to a directory, and none is named", {
      hint: "Give the directory for the outputs of the runs: -o OUT.",
    });
  }
  return localPath(flags.output, "sheaf watch -o", cwd);
}

/** A directory of outputs, made if it is missing. @throws SheafError OUTPUT_EXISTS */
function prepareOut(out: string): void {
  if (existsSync(join(out, "_SUCCESS"))) {
    throw new SheafError("OUTPUT_EXISTS", `${out} is the output of a job`, {
      hint: "Give a directory that is to hold the outputs of many runs: -o OUT; or --incremental, to keep it up to date.",
    });
  }
  mkdirSync(out, { recursive: true });
}

/** @throws SheafError USAGE for what is said of several outputs */
function checkOneOutput({
  into,
  again,
  runner,
}: {
  readonly into: string | undefined;
  readonly again: boolean | undefined;
  readonly runner: AskedRun["runner"];
}): void {
  if (runner !== "local") {
    throw new SheafError("USAGE", "sheaf watch --incremental is for runs on this machine, not on a cluster", {
      hint: "Leave --on out; or leave --incremental out, for an output of each batch of files.",
    });
  }
  const flag = into !== undefined ? "--into" : again === true ? "--again" : null;
  if (flag === null) return;
  throw new SheafError("USAGE", `${flag} is not for --incremental`, {
    hint: "There is one output then, OUT itself, and a file that changes is always read again. Leave it out.",
  });
}

function watchesItself(directory: string): SheafError {
  return new SheafError("USAGE", `${directory} is watched and written to`, {
    hint: "Give another -o OUT; it may lie below the directory that is watched.",
  });
}

/** Where a directory really is that may not be there yet. */
function realPlace(path: string): string {
  return existsSync(path) ? realpathSync(path) : join(realPlace(dirname(path)), basename(path));
}

/** @throws SheafError STATE_LOCKED */
function lockOf(out: string, isOne: boolean): () => void {
  // What lies in one output goes when the next takes its place.
  const beside = join(dirname(out), `.${basename(out)}.sheaf-watch.lock`);
  if (isOne) mkdirSync(dirname(out), { recursive: true });
  try {
    return lockFile(isOne ? beside : join(out, ".sheaf-watch.lock"), `a watcher that writes to ${out}`);
  } catch (error) {
    if (!isSheafError(error) || error.code !== "STATE_LOCKED") throw error;
    const message = error.message.replace(/ is in use by/, " runs already:");
    throw new SheafError(error.code, message, {
      hint: "Stop that one, or give another -o OUT.",
      cause: error,
    });
  }
}

/** @throws SheafError USAGE */
function checkTemplate(into: string): void {
  const stray = /\{(?!(?:time|date|number)\})[^}]*\}?/.exec(into);
  const problem =
    stray === null
      ? outputNameProblem(nameFrom(into, 1, 0))
      : `there is nothing to put in place of ${stray[0]}`;
  if (problem === undefined) return;
  throw new SheafError("USAGE", `--into: "${into}" cannot name directories: ${problem}`, {
    hint: "Write for example {time}, run-{number} or day={date}/{time}.",
  });
}

function nameFrom(into: string, number: number, wallMs: number): string {
  const time = new Date(wallMs).toISOString();
  return into
    .replaceAll("{time}", time.replace(/[:.]/g, "-"))
    .replaceAll("{date}", time.slice(0, 10))
    .replaceAll("{number}", String(number).padStart(6, "0"));
}

function freeName(out: string, into: string, number: number, wallMs: number): string {
  const name = nameFrom(into, number, wallMs);
  for (let more = 1; ; more++) {
    const one = more === 1 ? name : `${name}-${more}`;
    if (!existsSync(join(out, one))) return one;
  }
}

/**
 * Whether an output is there, whole. Of a run that agents may still commit (`mayCome`) the place is taken, so
 * that they cannot: its files are then given to another run.
 */
function isThere(path: string, mayCome: boolean): boolean {
  const success = join(path, "_SUCCESS");
  if (existsSync(success) || !mayCome) return existsSync(success);
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, "_ABANDONED"), "Its files were given to a later run.\n");
  return existsSync(success);
}

async function runBatch(
  asked: AskedRun,
  { output: path, inputs }: { readonly output: string; readonly inputs: readonly string[] },
  reporter: Reporter,
  stop: Stop,
  world: World,
): Promise<WatchedEnd> {
  const entry = runners[asked.runner];
  const flags = { ...asked.flags, output: path, overwrite: undefined };
  const delivery = { kind: "directory", output: path, print: 0 } as const;
  const loaded = (await entry.load()) as Runner<JobRunOptions>;
  mkdirSync(resolve(path, ".."), { recursive: true });
  try {
    const options = await runOptions(asked.runner, { ...asked, flags, inputs, delivery }, world);
    const wanted: JobRunOptions = options;
    const runner = await runnerFitFor(asked.job.file, wanted, loaded, { passing: false });
    const onEvent = reporter.onEvent.bind(reporter);
    const result = await runner.run(asked.job.file, {
      ...options,
      signal: AbortSignal.any([stop.signal]),
      onEvent,
    });
    reporter.end();
    await concludeRun(result, { flags, showOutput: true, stoppedBy: stop.by() }, world);
    await result.dispose();
    if (result.status === "SUCCEEDED") return "done";
    if (stop.signal.aborted) return "stopped";
    return result.error?.code === "UNREACHABLE" || result.status === "CANCELLED" ? "lost" : "failed";
  } finally {
    reporter.end();
  }
}

function tell(
  note: WatchNote,
  to: { readonly out: string; readonly reporter: Reporter; readonly json: boolean },
  world: World,
): void {
  if (to.json) writeJson(world, { ...note, kind: `watch-${note.kind}` }).catch(() => false);
  else to.reporter.say(noteLine(note, displayPath(to.out, world.cwd)));
}

function noteLine(note: WatchNote, out: string): string {
  switch (note.kind) {
    case "watching":
      return `watching; ${plural(note.filesDone, "file")} done before (Ctrl-C ends it)`;
    case "recovered": {
      const what = note.done ? "its output is there" : "nothing of it was written: its files are taken again";
      return `the last watcher left run ${note.run} of ${plural(note.files, "file")}; ${what}`;
    }
    case "taking":
      return `${plural(note.files, "new file")}, ${formatSize(note.bytes)}, to ${join(out, note.run)}`;
    case "updating": {
      const { files, added, changed, removed } = note;
      return `${added} new, ${changed} changed, ${removed} removed: ${plural(files, "file")} to ${out}`;
    }
    case "again":
      return `${note.why}; trying again in ${formatDuration(note.afterMs)}`;
    case "changed":
      return `warning: ${note.path} changed after its run, and is not read again (--again would)`;
  }
}
