import { SheafError } from "../../base/errors.ts";
import type { RunEvent } from "../../lifecycle/events.ts";
import type { RunOptions, RunResult } from "../../lifecycle/options.ts";
import type { Invocation } from "../command.ts";
import type { Delivery } from "../deliver-results.ts";
import { deliverResults, disposeDelivery, prepareDelivery } from "../deliver-results.ts";
import { exitCodeOf, exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import type { runFlags } from "../flags/run-flags.ts";
import { resolveJob } from "../project-file.ts";
import type { ResolvedJob } from "../project-file.ts";
import { errorText } from "../report-error.ts";
import { stopOnSignal } from "../stop-on-signal.ts";
import { makeReporter } from "../ui/reporter.ts";
import type { Reporter } from "../ui/reporter.ts";
import { styleFor } from "../ui/style.ts";
import { cancelledText, summaryText } from "../ui/summary.ts";
import type { World } from "../world.ts";
import { writeTo } from "../world.ts";

type Flags = Invocation<typeof runFlags>["flags"];

/** Durations that mean "never" to the watchdog. */
const NEVER_MS = 2 ** 31 - 1;

export async function run({ flags, positionals, world }: Invocation<typeof runFlags>): Promise<ExitCode> {
  const [word, ...inputs] = positionals;
  const job = resolveJob(word!, world.cwd);
  checkFlags(flags);
  const { runJob } = await import("../../runner/run.ts");
  const style = styleFor(world.stderr, world.env, flags.color);
  const reporter = makeReporter({ quiet: flags.quiet === true, json: flags.json === true, style }, world);
  const stop = stopOnSignal(reporter, world);
  const delivery = await prepareDelivery(flags, world.cwd);
  if (inputs.includes("-") && world.stdinIsTerminal()) {
    reporter.say("reading what you type; Ctrl-D on a line of its own ends it");
  }
  let result: RunResult | undefined;
  try {
    let collections: readonly string[] = [""];
    const onEvent = (event: RunEvent): void => {
      if (event.kind === "planned") collections = Object.keys(event.partitions);
      reporter.onEvent(event);
    };
    result = await runJob(job.file, {
      ...runOptions(flags, job, inputs, delivery),
      signal: stop.signal,
      onEvent,
    });
    reporter.end();
    if (result.status === "SUCCEEDED") {
      await deliverResults(
        delivery,
        result,
        { collections, json: flags.json === true, signal: stop.signal },
        world,
      );
    }
    return await conclude(result, { flags, delivery, stoppedBy: stop.by(), reporter }, world);
  } finally {
    reporter.end();
    await result?.dispose();
    await disposeDelivery(delivery);
    stop.release();
  }
}

interface Conclusion {
  readonly flags: Flags;
  readonly delivery: Delivery;
  readonly stoppedBy: string | undefined;
  readonly reporter: Reporter;
}

/** Says how it went, and answers how to exit. */
async function conclude(result: RunResult, about: Conclusion, world: World): Promise<ExitCode> {
  const { flags, delivery } = about;
  const style = styleFor(world.stderr, world.env, flags.color);
  const silent = flags.quiet === true || flags.json === true;
  switch (result.status) {
    case "SUCCEEDED": {
      const look = { style, cwd: world.cwd, showOutput: delivery.kind === "directory" };
      if (!silent) await writeTo(world.stderr, summaryText(result, look));
      return exitCodes.ok;
    }
    case "CANCELLED":
      if (!silent)
        await writeTo(world.stderr, cancelledText(result, flags.output, about.stoppedBy ?? "request"));
      return exitCodes.cancelled;
    case "FAILED": {
      const error = result.error ?? new SheafError("INTERNAL", "the job failed without a cause");
      await writeTo(world.stderr, errorText(error, flags.debug === true, style));
      return exitCodeOf(error.code);
    }
  }
}

function checkFlags(flags: Flags): void {
  if (flags.inline === true && flags.isolate !== undefined) {
    throw new SheafError("USAGE", "--inline and --isolate exclude each other", {
      hint: "--inline runs everything on the main thread; there is nothing to isolate.",
    });
  }
  if (flags.overwrite === true && flags.output === undefined) {
    throw new SheafError("USAGE", "--overwrite without --output", { hint: "Give the directory: -o DIR." });
  }
}

function runOptions(
  flags: Flags,
  job: ResolvedJob,
  inputs: readonly string[],
  delivery: Delivery,
): RunOptions {
  const wished = {
    inputs,
    output: delivery.kind === "records" ? undefined : delivery.output,
    collect: delivery.kind === "stdout" ? false : delivery.print > 0,
    overwrite: flags.overwrite,
    workers: flags.workers,
    partitions: partitionOption(flags.partitions),
    splitSize: flags.splitSize,
    mappers: flags.mappers,
    memory: flags.memory,
    heap: flags.heap,
    sample: flags.sample,
    params: paramOption(flags.set),
    maxBad: flags.maxBad,
    isolate: flags.inline === true ? ("inline" as const) : flags.isolate,
    attempts: flags.attempts,
    noProgressMs: flags.noProgressTimeout === 0 ? NEVER_MS : flags.noProgressTimeout,
    name: flags.name ?? job.name,
    tempDirectory: flags.temp,
    partBytes: flags.partSize,
  };
  return definedOnly(wished);
}

function partitionOption(given: Flags["partitions"]): RunOptions["partitions"] {
  const everywhere = given.filter((one) => one.collection === undefined);
  if (everywhere.length > 0 && given.length > 1) {
    throw new SheafError("USAGE", "--partitions is given more than once", {
      hint: "Give one number for all collections, or COLLECTION=N for each.",
    });
  }
  if (everywhere[0] !== undefined) return everywhere[0].count;
  if (given.length === 0) return undefined;
  return Object.fromEntries(given.map((one) => [one.collection, one.count]));
}

function paramOption(given: Flags["set"]): Readonly<Record<string, string>> | undefined {
  const params: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const [name, value] of given) {
    if (name in params) {
      throw new SheafError("USAGE", `--set ${name} is given twice ("${params[name]}", then "${value}")`, {
        hint: "Give each parameter once.",
      });
    }
    params[name] = value;
  }
  return given.length === 0 ? undefined : { ...params };
}

/** The object without its undefined fields: where an option is not given, the runner's default holds. */
function definedOnly<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
