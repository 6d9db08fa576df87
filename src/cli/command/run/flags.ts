import { SheafError } from "../../../base/errors.ts";
import { settings } from "../../../base/limits.ts";
import { formatSize } from "../../../base/size.ts";
import {
  type FlagType,
  inCategory,
  repeatedFlag,
  secondsText,
  switchFlag,
  types,
  valueFlag,
} from "../../flag.ts";
import { connectFlags, displayFlags } from "../../flags.ts";
import { hostedFlags } from "./hosted-flags.ts";

/** "5000", "0.0.0.0:5000", "[::1]:5000". */
const listenType: FlagType<{ readonly host: string | undefined; readonly port: number }> = {
  kind: "string",
  parse(text, what) {
    const match = /^(?:(.+):)?(\d{1,5})$/.exec(text);
    const port = Number(match?.[2]);
    if (match !== null && port <= settings.port.max)
      return { host: match[1]?.replace(/^\[(.*)\]$/, "$1"), port };
    throw new SheafError("USAGE", `${what}: "${text}" is neither a port nor HOST:PORT`, {
      hint: "Give 5000, or 0.0.0.0:5000 for workers on other machines; 0 takes any free port.",
    });
  },
};

/** "kill=5%,slow=2%,seed=7". */
const chaosType: FlagType<{ readonly kill?: number; readonly slow?: number; readonly seed?: number }> = {
  kind: "string",
  parse(text, what) {
    const found = new Map<string, number>();
    for (const part of text.split(",")) {
      const [, name, value] = /^\s*(kill|slow|seed)=(.*)$/.exec(part) ?? [];
      if (name === undefined || found.has(name)) {
        throw new SheafError("USAGE", `${what}: "${part}" is not kill=P, slow=P or seed=N, each once`, {
          hint: 'Write "kill=5%,slow=2%".',
        });
      }
      const type = name === "seed" ? types.integer({ min: 0 }) : types.fraction;
      found.set(name, type.parse(value!.trim(), `${what} ${name}`));
    }
    return Object.fromEntries(found);
  },
};

/** "1200,1300": records by task. */
const madeType: FlagType<readonly number[]> = {
  kind: "string",
  parse(text, what) {
    const made = text.split(",").map((one) => (/^\d+$/.test(one.trim()) ? Number(one) : Number.NaN));
    if (made.every((one) => Number.isSafeInteger(one))) return made;
    throw new SheafError("USAGE", `${what}: "${text}" is no list of numbers of records`, {
      hint: "Give what made.tasks of an earlier run says, in job.json of its directory: --made 1200,1300.",
    });
  },
};

/** How a run has its tasks done by workers that come and ask for them. */
const driverFlags = inCategory("Cluster", {
  listen: valueFlag(
    "--listen PORT",
    listenType,
    "Have the job done by workers that ask here for tasks; [HOST:]PORT",
    { details: "Start them with sheaf worker --driver URL. The run ends when all of them have been told." },
  ),
  intermediate: valueFlag(
    "--intermediate DIR",
    types.path,
    "With --listen: workers in other languages, with plain key TAB value files in DIR",
    {
      details:
        "JOB is then only a name. Workers see the input, DIR and the output; docs/protocol.md says what they do.",
    },
  ),
  workerTimeout: valueFlag(
    "--worker-timeout TIME",
    types.duration,
    "With --intermediate: a worker that is not heard of for so long is lost",
    { default: secondsText(settings.workerTimeoutMs) },
  ),
});

const inputFlags = inCategory("Input", {
  splitSize: valueFlag("--split-size SIZE", types.size({ min: 1 }), "Bytes of input per map task", {
    default: "from the input's size and the workers",
    details: "The results do not depend on it. Files smaller than this share a task.",
  }),
  mappers: valueFlag(
    "--mappers N",
    types.integer(settings.mappers),
    "Map tasks wanted, instead of --split-size",
    { details: "About so many are made: files that cannot be cut, and small ones, do not come out even." },
  ),
  made: valueFlag("--made N,N,...", madeType, "Records that each task of a generated source makes", {
    default: "as the source says",
    details: "What made.tasks of an earlier result says: the same records are made again.",
  }),
  growing: switchFlag("--growing", "Read files that are appended to up to their present end", {
    details:
      "To the end of each file's last record that is whole when the job begins. A file that shrinks or is replaced " +
      "fails the job all the same. For lines, csv and records of one length; others may not change.",
  }),
  sample: valueFlag("--sample P", types.fraction, "Keep only this share of the records: 0.01 or 1%", {
    default: "all records",
    details:
      "Which records are kept depends on the job's seed, where a file lies below the input given, and the record's " +
      "offset: not on splits, workers, the machine, the current directory or how a path is spelled.",
  }),
  estimate: switchFlag("--estimate", "With --sample: scale the results to all records, with 95 % intervals", {
    details:
      "Counts, sums and means get the columns NAME, NAME_low and NAME_high (estimate, low, high where a result is one " +
      "number); what cannot be scaled is what the sample gave, and the summary says so. Keys of which the sample " +
      "has no record are missing.",
  }),
  maxAux: valueFlag(
    "--max-aux SIZE",
    types.size(settings.auxBytes),
    "How large the job's side data (aux) may be in all",
    {
      default: formatSize(settings.auxBytes.default),
      details: "Its files, and what is in them when they are decompressed. Every worker holds all of it.",
    },
  ),
  maxBad: valueFlag(
    "--max-bad B",
    types.badBudget,
    "Bad records to set aside before the job fails: 100 or 0.01%",
    {
      default: "0: the first bad record fails the job",
      details:
        "A record is bad when it cannot be decoded or the job's code throws on it. Those set aside are kept in DIR/_bad " +
        "with their error, file and offset. A share is judged when all of the input has been read.",
    },
  ),
});

const outputFlags = inCategory("Output", {
  materialize: valueFlag(
    "--materialize DIR",
    types.path,
    "Keep the records that map is given in DIR, too, for later jobs: JSON lines, which jsonl() reads",
    {
      details:
        "Generated ones as well as those read. DIR appears complete, by one rename, just before the output does; " +
        "--overwrite replaces it, too. A job whose tasks fail leaves it as it was.",
    },
  ),
  output: valueFlag("-o, --output DIR", types.place, "Directory for the results; must not exist", {
    default: "standard output",
    details: "It appears when the job has succeeded, complete, or not at all.",
  }),
  overwrite: switchFlag("--overwrite", "Replace DIR if it exists and a job has written it", {
    details:
      "The old contents stay in place until the new ones are complete. Anything but the output of a job, as it was " +
      "written, or an empty directory is refused, and so is a symbolic link.",
  }),
  incremental: switchFlag("--incremental", "Map only what has changed since the run that made DIR", {
    details:
      "Inputs are told apart by their content. What the job's maps made of the others is kept in DIR/_state and taken " +
      "over; the results are those of a full run. DIR is replaced as with --overwrite. With other code, parameters or " +
      "side data all is mapped, which is said before.",
  }),
  partSize: valueFlag("--part-size SIZE", types.size({ min: 1 }), "Begin another output file at this size", {
    default: formatSize(settings.partBytes.default),
  }),
  print: valueFlag(
    "--print N",
    types.integer({ min: 1 }),
    "Print the first N results of each collection on standard output",
    { details: "As the job's writer writes them, unpacked; control characters are escaped." },
  ),
  collect: switchFlag("--collect", "Print all results on standard output", {
    details: "As --print does, but all of them.",
  }),
});

const jobFlags = inCategory("Job", {
  set: repeatedFlag("--set NAME=VALUE", types.assignment, "Set a parameter of the job; may be repeated", {
    details:
      "The value is read as the type of the parameter's default; as JSON where that is an array, an object or " +
      "null.",
  }),
  external: repeatedFlag(
    "--external PACKAGE",
    types.string,
    "Leave a package outside the job's bundle; may be repeated",
    {
      default: 'those of "external" in sheaf.json',
      details:
        "For packages that cannot be bundled. Every machine loads its own, as seen from the job file. @scope/* means " +
        "all of a scope; native add-ons always stay outside.",
    },
  ),
  name: valueFlag("--name NAME", types.string, "Name of this run in sheaf jobs, and for @?NAME", {
    default: "the job's name",
  }),
  group: valueFlag("--group NAME", types.string, "Label to find the job by"),
  project: valueFlag("--project NAME", types.string, "Another label"),
  after: repeatedFlag("--after HANDLE", types.string, "Begin when that job has succeeded; may be repeated", {
    details:
      "A job's id, the beginning of one, @ or @?NAME, of where this one is to run. If it fails, is cancelled or is " +
      "not there, this one fails, too.",
  }),
  once: switchFlag(
    "--once",
    "Run nothing when the same has succeeded before and its output is still there, whole",
    {
      details:
        "The same code, side data, parameters, settings that change the output, versions of sheaf and Node, and input " +
        "files: by path, size, inode and times of change, which are other ones after any write. What the job reads " +
        "by itself (files, the network) is not seen. With the output of an earlier run in DIR, --overwrite says that a " +
        "run which is not the same may replace it.",
    },
  ),
  force: switchFlag("--force", "Run all the same, where --once would not"),
  keep: valueFlag("--keep TIME", types.duration, "Keep this job for so long from its end on: 12h, 7d, 4w", {
    default: "among the last 100; on a cluster as its --retention says",
    details:
      "With its history and logs, and the results that a coordinator has of it. Output directories stay.",
  }),
  keepBundle: switchFlag("--keep-bundle", "Keep the job's bundle when the job is no longer kept"),
});

const stepFlags = inCategory("Job", {
  only: valueFlag("--only STEP", types.string, "Of a pipeline run this step", {
    details:
      "What it reads is as the latest run of this file has left it; what is not there any more is run first.",
  }),
  from: valueFlag("--from STEP", types.string, "Of a pipeline run this step and all that need it", {
    details: "Of the other steps what the latest run of this file has left is used.",
  }),
  until: valueFlag("--until STEP", types.string, "Of a pipeline run this step and what it needs", {
    details: "Its results are then the output.",
  }),
});

const executionFlags = inCategory("Execution", {
  explain: switchFlag("--explain", "Say of each task why it runs or not", {
    details: "With --incremental, what is taken over from the run before, and why the rest is not.",
  }),
  workers: valueFlag(
    "-w, --workers N",
    types.integer(settings.workers),
    "Workers at most; none is started that has nothing to do",
    { default: "one per core", details: "The results do not depend on it." },
  ),
  partitions: repeatedFlag(
    "-p, --partitions [COLLECTION=]N",
    types.partitions,
    "Reduce tasks, and so output files",
    {
      default: "the job's, or from the input's size",
      details: "Of every collection that has a reduce or an order, or of the one named; may be repeated.",
    },
  ),
  memory: valueFlag(
    "-m, --memory SIZE",
    types.size(settings.memoryBytes),
    "Memory each worker may use for data",
    {
      default: formatSize(settings.memoryBytes.default),
      details: `At least ${formatSize(settings.memoryBytes.min)}. What does not fit is sorted on disk; the results do not depend on it.`,
    },
  ),
  heap: valueFlag(
    "--heap SIZE",
    types.size(settings.heapBytes),
    "JavaScript heap of each worker, for the job's own objects",
    { default: "Node's own limit, or a share of the machine's memory" },
  ),
  temp: valueFlag("--temp DIR", types.path, "Directory for intermediate files", {
    default: "beside the output, or the system's",
  }),
  isolate: valueFlag(
    "--isolate HOW",
    types.choice(["thread", "process"]),
    "Run workers as threads, or as processes",
    {
      default: "thread",
      details:
        "Processes cost more to start and survive code that takes its process down (native add-ons, abort).",
    },
  ),
  inline: switchFlag("--inline", "Run every task on the main thread, one after the other", {
    details:
      "For breakpoints and for code that must not run in a worker. Ctrl-C is heard between records only; an endless " +
      "loop is ended with Ctrl-\\ (SIGQUIT).",
  }),
  attempts: valueFlag(
    "--attempts N",
    types.integer(settings.attempts),
    "Attempts a task has before the job fails",
    { default: String(settings.attempts.default) },
  ),
  chaos: valueFlag(
    "--chaos FAULTS",
    chaosType,
    "Inject faults, to see that the results stay the same: kill=5%,slow=2%",
    {
      default: "none",
      details:
        "So many of the attempts have their worker ended in their middle, or begin up to half a second late. Only the " +
        "first two attempts of a task are hit, and none of these counts for --attempts. Which are follows from " +
        "seed=N; without it the seed is a new one, and is told.",
    },
  ),
  noProgressTimeout: valueFlag(
    "--no-progress-timeout TIME",
    types.duration,
    "End a task that finishes no record for this long",
    {
      default: secondsText(settings.noProgressMs),
      details: "0 means never. Code that works long on one record calls ctx.progress().",
    },
  ),
});

/** How a job is run on a cluster. */
const clusterFlags = inCategory("Cluster", {
  cores: valueFlag(
    "--cores N",
    types.integer(settings.cores),
    "Cores wanted; idle machines give theirs first",
    { default: "as many as there are tasks for" },
  ),
  priority: valueFlag(
    "--priority N",
    types.integer(settings.priority),
    "From -10 to 10: jobs with a higher one get more cores, within seconds",
    { default: String(settings.priority.default) },
  ),
  shared: switchFlag("--shared", "DIR of -o is on a file system that all agents see: they write there", {
    details:
      "Otherwise results come back through the coordinator and are written by this command. A coordinator on this " +
      "machine that may write to DIR is taken to share it; --no-shared says it does not.",
  }),
  speculation: switchFlag(
    "--speculation",
    "A task far slower than the others gets a second attempt on another agent; on unless --no-speculation",
  ),
  queueTimeout: valueFlag(
    "--queue-timeout TIME",
    types.duration,
    "Fail when no agent has come for this long",
    {
      default: "waits",
    },
  ),
  detach: switchFlag("-d, --detach", "Submit and return; the job goes on without its client", {
    details:
      "It prints the job's id. sheaf attach follows the job, sheaf results fetches what was not shared.",
  }),
});

const liveFlags = inCategory("Display", {
  live: switchFlag("--live", "Show what the job's aggregators have made of the records so far", {
    details:
      "Below the progress on a terminal; with --json as events of kind partial; else a few lines every ten seconds. " +
      "The keys with most values. What is shown is of finished tasks and of what running ones have told, and is never " +
      "more than the result.",
  }),
});

export const runFlags = {
  ...inputFlags,
  ...outputFlags,
  ...jobFlags,
  ...stepFlags,
  ...executionFlags,
  ...connectFlags,
  ...clusterFlags,
  ...driverFlags,
  ...hostedFlags,
  ...liveFlags,
  ...displayFlags,
};

/** Results of a job that has run elsewhere. */
export const fetchFlags = {
  output: runFlags.output,
  overwrite: runFlags.overwrite,
  print: runFlags.print,
  collect: runFlags.collect,
};
