import { randomInt } from "node:crypto";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { SheafError } from "../../base/errors.ts";
import type { VerifiedPlace } from "../../runners/verify.ts";
import { localPath } from "../../storage/store.ts";
import { type CliCommand, type ExitCode, type Invocation, exitCodeOf, exitCodes } from "../command.ts";
import { connectedAs } from "../connection.ts";
import { types, valueFlag } from "../flag.ts";
import { jsonFlag } from "../flags.ts";
import { makeReporter } from "../ui/reporter.ts";
import { styleFor } from "../ui/style.ts";
import { errorText } from "../ui/summary.ts";
import { stopOnSignal, writeJson, writeTo } from "../world.ts";
import { jobAndSettings, withoutRivals } from "./run/asked.ts";
import { runFlags } from "./run/flags.ts";
import { type RunFlags, runFlagsOf, runOptions } from "./run/options.ts";

const { profile, tokenFile, tlsCa, tlsCert, tlsKey, quiet } = runFlags;
const { sample, maxBad, maxAux, splitSize, mappers, set, external, partitions, partSize } = runFlags;
const { heap, temp, attempts, noProgressTimeout, chaos } = runFlags;
const { master, deployMode, conf, nodeBin, engineTemp, jar } = runFlags;

export const verifyFlags = {
  on: {
    ...valueFlag(
      "--on PLACES",
      types.string,
      "Where the job is run: inline, local, hadoop, spark, http://HOST:PORT",
      {
        default: "inline,local, and $SHEAF_ON where it names a cluster",
        details:
          "With commas between them. The first is what the others are compared with; one alone is used twice.",
      },
    ),
    category: "Execution" as const,
  },
  splitSize,
  mappers,
  sample,
  maxBad,
  maxAux,
  partSize,
  set,
  external,
  partitions,
  heap,
  temp,
  attempts,
  noProgressTimeout,
  chaos,
  profile,
  tokenFile,
  tlsCa,
  tlsCert,
  tlsKey,
  master,
  deployMode,
  conf,
  nodeBin,
  engineTemp,
  jar,
  quiet,
  json: jsonFlag,
};

export const verifyCommand: CliCommand<typeof verifyFlags> = {
  name: "verify",
  summary: "Run a job at several places, and hold the results against each other",
  details: [
    "A job whose results depend on how its work was cut and who did it gives other results on another machine, or " +
      "after a failure. verify runs it at each place of --on, every time with other splits, workers and memory, and " +
      "compares how it ended, the bytes of all output files, counters and numbers of records with those of the first " +
      "run. Of collections without reduce, whose files are cut where map tasks are, it compares the results one by one.",
    "It shows the first result that differs: its file, its key, and both values. The exit code is 0 when all runs " +
      "agree, and 1 when they do not or one of them fails.",
    "With --chaos all runs but the first have faults injected: their results must be the same all the same.",
    "The outputs go to a temporary directory and are removed; no history is kept. JOB and INPUT are as for sheaf run, " +
      "but for standard input and pipes, which can be read only once. docs/verify.md says what is compared.",
  ],
  arguments: [
    { name: "JOB", doc: "Job file, or name of a job of the project", required: true, complete: "job" },
    {
      name: "INPUT",
      doc: "Files, directories and globs; NAME=PATH where the job has several inputs",
      required: false,
      many: true,
      complete: "path",
    },
  ],
  flags: verifyFlags,
  examples: [
    ["sheaf verify visits.ts logs/", "On the main thread and on this machine's cores"],
    [
      "sheaf verify visits.ts logs/ --on local,http://10.0.0.5:7077 --sample 1%",
      "Here and on a cluster, on a hundredth of the records",
    ],
  ],
  run,
};

/** Those that a project says and that hold for every run. */
const settingsTaken: ReadonlySet<string> = new Set(
  (
    "splitSize mappers sample growing maxBad maxAux maxFailedTasks partBytes params partitions heap tempDirectory " +
    "attempts noProgressMs"
  ).split(" "),
);

async function run({ flags, positionals, world }: Invocation<typeof verifyFlags>): Promise<ExitCode> {
  const [{ placesOf, verifyJob }, { verifyPage, runLine }, { makeTempDirectory }] = await Promise.all([
    import("../../runners/verify.ts"),
    import("./verify/page.ts"),
    import("../../storage/temp-directory.ts"),
  ]);
  const [word, ...given] = positionals;
  const places = placesOf(placeNames(flags.on, world.env["SHEAF_ON"]));
  const { job, layers, settings: all } = await jobAndSettings(word!, flags.profile, world);
  const inputs = given.length > 0 ? given : ((all.inputs ?? []) as readonly string[]);
  // What is varied, and what is about one run only, the project does not decide.
  const settings = Object.fromEntries(
    Object.entries(withoutRivals(all, flags)).filter(([name]) => settingsTaken.has(name)),
  );
  const style = styleFor(world.stderr, world.env, flags.color);
  const isSilent = flags.quiet === true || flags.json === true;
  const tell = async (text: string): Promise<void> => {
    if (!isSilent) await writeTo(world.stderr, `${text}\n`);
  };
  const reporter = makeReporter({ quiet: isSilent, json: false, style }, world);
  const stop = stopOnSignal(reporter, world);
  const directory = await makeTempDirectory(localPath(flags.temp ?? tmpdir(), "--temp", world.cwd));
  const { on: _on, json: _json, ...said } = flags;
  // One for all runs, so that one line says how to have it again.
  const chaos = flags.chaos === undefined ? undefined : { seed: randomInt(2 ** 31), ...flags.chaos };
  const optionsOf = ({ on, runner }: VerifiedPlace, index: number): Promise<object> => {
    const delivery = { kind: "directory", output: directory, print: 0 } as const;
    if (runner === "hosted" && chaos !== undefined) {
      throw new SheafError("USAGE", `--chaos has no say over ${on}`, {
        hint: `Leave ${on} out of --on. Its own faults are what its administrators make.`,
      });
    }
    // A directory of this command's own is not for agents to write to.
    const connected = connectedAs({ ...said, on }, layers, world);
    const shared = runner === "local" ? undefined : false;
    // The first run says what is right: it has no faults.
    const faults = index === 0 ? undefined : chaos;
    const flagsThere = runFlagsOf({ ...connected, ...ofEngine(flags, on), shared, chaos: faults });
    return runOptions(runner, { flags: flagsThere, job, inputs, settings, delivery }, world);
  };
  try {
    const runs = await verifyJob({
      file: job.file,
      inputs,
      external: [...job.external, ...flags.external],
      places,
      directory,
      signal: stop.signal,
      fixedSplits: [flags.splitSize, flags.mappers, all.splitSize, all.mappers].some(
        (one) => one !== undefined,
      ),
      optionsOf,
      warned: (message) => reporter.say(`  ${style.yellow("warning:")} ${message}`),
      began: ({ name }, index) => reporter.say(`run ${index + 1} of ${places.length}: ${name}`),
      ended: (verified) => reporter.say(`  ${runLine(verified, style)}`),
    });
    reporter.end();
    if (stop.signal.aborted) return exitCodes.cancelled;
    const isSame = runs.length === places.length && runs.every(({ differences }) => differences.length === 0);
    const failed = runs.find(({ result }) => result.status !== "SUCCEEDED");
    if (flags.json === true) {
      const { jsonOf } = await import("./verify/page.ts");
      await writeJson(world, {
        kind: "verified",
        same: isSame && failed === undefined,
        runs: runs.map(jsonOf),
      });
    }
    if (isSame && failed === undefined) {
      await tell(verifyPage(runs, style));
      return exitCodes.ok;
    }
    if (!isSame && runs.length > 1) await writeTo(world.stderr, `${verifyPage(runs, style)}\n`);
    if (failed?.result.error != null) {
      await writeTo(world.stderr, errorText(failed.result.error, flags.debug === true, style));
      return exitCodeOf(failed.result.error.code);
    }
    return exitCodes.failed;
  } finally {
    reporter.end();
    await rm(directory, { recursive: true, force: true, maxRetries: 3 });
    stop.release();
  }
}

/** Flags that are for one engine are not for the other, which may be one of the places, too. */
function ofEngine({ conf: all }: Pick<RunFlags, "conf">, place: string): Partial<RunFlags> {
  const conf = all.filter(([name]) => name.startsWith("spark.") === (place === "spark"));
  return place === "spark" ? { conf, jar: undefined } : { conf, master: undefined, deployMode: undefined };
}

function placeNames(given: string | undefined, clusterOfEnvironment: string | undefined): string[] {
  if (given !== undefined) return given.split(",").map((name) => name.trim());
  const isUrl = clusterOfEnvironment !== undefined && /^https?:/.test(clusterOfEnvironment);
  return ["inline", "local", ...(isUrl ? [clusterOfEnvironment] : [])];
}
