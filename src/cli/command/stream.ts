import { rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SheafError } from "../../base/errors.ts";
import { settings } from "../../base/limits.ts";
import { makeTempDirectory } from "../../storage/temp-directory.ts";
import type { StreamPlan } from "../../stream/stream-job.ts";
import type { CliCommand, ExitCode, Invocation } from "../command.ts";
import { inCategory, repeatedFlag, switchFlag, types, valueFlag } from "../flag.ts";
import { writeTo } from "../world.ts";
import { runCommand } from "./run.ts";
import { runFlags } from "./run/flags.ts";
import { askedStream } from "./stream/plan.ts";
import { streamWords } from "./stream/words.ts";

const {
  only: _only,
  from: _from,
  until: _until,
  listen: _listen,
  intermediate: _intermediate,
  workerTimeout: _workerTimeout,
  partitions: _partitions,
  set: _set,
  external: _external,
  materialize: _materialize,
  made: _made,
  live: _live,
  estimate: _estimate,
  ...ofRun
} = runFlags;

const programs = inCategory("Job", {
  mapper: valueFlag("--mapper CMD", types.string, "Program that is given lines and writes KEY TAB VALUE", {
    default: "cat: the lines as they are",
    details:
      "Words of a command are parted at blanks and kept together by quotes; there is no shell (sh -c '...' is one). " +
      "A program given with its path (./map.py), and words behind it that are files of this directory, " +
      "travel with the job, as with -file.",
  }),
  combiner: valueFlag(
    "--combiner CMD",
    types.string,
    "Program that brings together what a map task has written",
  ),
  reducer: valueFlag("--reducer CMD", types.string, "Program that is given KEY TAB VALUE, sorted by key", {
    default: "the sorted lines",
    details:
      "NONE: the mapper's lines are the output, unsorted. aggregate: keys say how their values come together, " +
      "LongValueSum:word and seven others.",
  }),
  numReduceTasks: valueFlag(
    "--num-reduce-tasks N",
    types.integer({ min: 0, max: settings.partitions.max }),
    "Reduce tasks, and so output files; 0 as -reducer NONE",
    { default: "1, as with Hadoop" },
  ),
  file: repeatedFlag(
    "--file FILE",
    types.path,
    "File that programs find in their directory; may be repeated",
  ),
  files: repeatedFlag("--files FILE,...", types.path, "The same, several; FILE#NAME is found as NAME"),
  jobconf: repeatedFlag(
    "--jobconf NAME=VALUE",
    types.assignment,
    "Property of Hadoop, as -D; may be repeated",
    {
      details:
        "docs/streaming.md has those that are followed. Programs find each in their environment, with _ for dots.",
    },
  ),
  cmdenv: repeatedFlag("--cmdenv NAME=VALUE", types.assignment, "Variable of the programs' environment"),
  partitioner: valueFlag(
    "--partitioner CLASS",
    types.string,
    "KeyFieldBasedPartitioner, or TotalOrderPartitioner",
    {
      default: "HashPartitioner: by the whole key",
      details:
        "KeyFieldBasedPartitioner has the fields of -D mapreduce.partition.keypartitioner.options=-k1,2. With " +
        "TotalOrderPartitioner the keys of each part come before those of the next.",
    },
  ),
});

const formats = {
  ...inCategory("Input", {
    input: repeatedFlag("--input PATH", types.place, "File, directory, glob, or - ; may be repeated"),
    inputformat: valueFlag(
      "--inputformat CLASS",
      types.string,
      "CombineTextInputFormat: one mapper for several files",
      {
        default: "TextInputFormat",
      },
    ),
    io: valueFlag("--io FORMAT", types.string, "How programs read and write: text, rawbytes or typedbytes", {
      default: "text",
      details:
        "rawbytes and typedbytes as Hadoop has them: keys and values behind their lengths, or with types.",
    }),
  }),
  ...inCategory("Output", {
    outputformat: valueFlag("--outputformat CLASS", types.string, "NullOutputFormat writes nothing", {
      default: "TextOutputFormat",
    }),
    lazyOutput: switchFlag("--lazy-output", "Changes nothing: each part is a file, an empty one too"),
  }),
};

const streamFlags = {
  ...formats,
  ...programs,
  ...ofRun,
  verbose: switchFlag("--verbose", "Say what job is made of the command line"),
};

export const streamCommand: CliCommand<typeof streamFlags> = {
  name: "stream",
  summary: "Run programs of any language as a job, as Hadoop Streaming does",
  details: [
    "Takes the flags of Hadoop Streaming as they are written there (-mapper, -reducer, -file, -D ...) and with two " +
      "dashes (--mapper), and those of sheaf run. INPUT is as --input.",
    "What programs read and write, their environment, counters, files, and which properties are followed: " +
      "docs/streaming.md.",
  ],
  arguments: [
    { name: "INPUT", doc: "Files, directories, globs, or -", required: false, many: true, complete: "path" },
  ],
  flags: streamFlags,
  words: streamWords,
  examples: [
    [
      "sheaf stream -input books -output out -mapper 'python3 map.py' -reducer 'python3 reduce.py' -numReduceTasks 4",
      "Count words with two Python programs, which travel with the job",
    ],
    [
      "sheaf stream -input logs -output out -mapper 'cut -f1' -reducer 'uniq -c'",
      "With the system's own programs",
    ],
    [
      "sheaf stream -D mapreduce.job.reduces=0 -mapper 'grep -v ^#' -input in -output out -D " +
        "stream.non.zero.exit.is.failure=false",
      "A filter: no reduce, and no lines are no failure",
    ],
  ],
  run,
};

async function run(invocation: Invocation<typeof streamFlags>): Promise<ExitCode> {
  const { flags, positionals, world } = invocation;
  const { plan, inputs, flags: more, notes } = askedStream(flags, positionals, world.cwd);
  if (inputs.length === 0) {
    throw new SheafError("USAGE", "sheaf stream: there is no input", {
      hint: "Give -input PATH, or - for a pipe.",
    });
  }
  if (flags.quiet !== true) for (const note of notes) await writeTo(world.stderr, `sheaf stream: ${note}\n`);
  if (flags.verbose === true) await writeTo(world.stderr, `${JSON.stringify(plan, null, 2)}\n`);
  const directory = await makeTempDirectory(tmpdir());
  try {
    const file = join(directory, "stream.mjs");
    await writeFile(file, jobFile(plan), { mode: 0o600 });
    return await runCommand.run({
      ...invocation,
      flags: flagsOfRun(flags, more),
      positionals: [file, ...inputs],
    });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

type RunFlags = Invocation<typeof runFlags>["flags"];

/** What was given wins over what a property says. */
function flagsOfRun(flags: Invocation<typeof streamFlags>["flags"], more: Partial<RunFlags>): RunFlags {
  const none = Object.fromEntries(Object.entries(runFlags).map(([name, flag]) => [name, flag.bind([])]));
  const given = Object.entries(flags).filter(([name, value]) => name in runFlags && value !== undefined);
  const own = Object.fromEntries(given) as Partial<RunFlags>;
  const isCut = own.mappers !== undefined || own.splitSize !== undefined;
  const { mappers: _mappers, splitSize: _splitSize, ...uncut } = more;
  const { color, debug, help } = flags;
  return { ...(none as unknown as RunFlags), ...(isCut ? uncut : more), ...own, color, debug, help };
}

function jobFile(plan: StreamPlan): string {
  return `import { streamJob } from "sheaf";\n\nexport default streamJob(${JSON.stringify(plan, null, 2)});\n`;
}
