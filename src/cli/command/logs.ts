import { once } from "node:events";
import { closeSync, openSync, readSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { StringDecoder } from "node:string_decoder";
import { setTimeout as pause } from "node:timers/promises";
import { findJob } from "../../engine/job-history.ts";
import { errnoOf } from "../../storage/fs-error.ts";
import { type CliCommand, type ExitCode, type Invocation, exitCodes } from "../command.ts";
import { clusterJob, clusterUrl, stateDirectoryOf, taskHandle, withCluster } from "../connection.ts";
import { inCategory, switchFlag, types, valueFlag } from "../flag.ts";
import { connectFlags, jsonFlag } from "../flags.ts";
import { type World, dataWriter } from "../world.ts";

export const logsFlags = inCategory("Display", {
  follow: switchFlag("-f, --follow", "Go on until the job has ended"),
  task: valueFlag("-t, --task TASK", types.string, "Only one task: map-17, reduce-3"),
  ...connectFlags,
  json: jsonFlag,
});

export const logsCommand: CliCommand<typeof logsFlags> = {
  name: "logs",
  summary: "Show what the tasks of a job have printed",
  details: [
    "On a cluster a line is [map-00017.1 stdout] and what was printed: task, attempt, and log (ctx.log), stdout or " +
      "stderr. Of a job on this machine it is [map-00017] and what was printed, task after task.",
  ],
  arguments: [
    { name: "HANDLE", doc: "Job, or job:task; default @, the latest", required: false, complete: "handle" },
  ],
  flags: logsFlags,
  examples: [
    ["sheaf logs -f", "As the latest job prints"],
    ["sheaf logs @?wordcount:map-17", "One task"],
  ],
  run,
};

async function run({ flags, positionals, world }: Invocation<typeof logsFlags>): Promise<ExitCode> {
  const handle = taskHandle(positionals[0] ?? "@", flags.task);
  if (clusterUrl(flags, world) === undefined) return local(handle, flags, world);
  return withCluster(flags, world, async (api) => {
    const { job, task } = await clusterJob(api, handle, world);
    const wanted = { ...(task === null ? {} : { task }), ...(flags.follow === true ? { follow: true } : {}) };
    const download = await api.logs(job, wanted);
    const write = dataWriter(world.stdout);
    const lines = createInterface({ input: download.body, crlfDelay: Number.POSITIVE_INFINITY });
    // It tells of the body's errors, too, and of its end when the reader of this command has gone.
    lines.on("error", () => undefined);
    const failed = once(download.body, "error").then(([error]: unknown[]) => {
      throw download.bodyError(error);
    });
    failed.catch(() => undefined);
    try {
      for await (const line of lines) {
        const text = flags.json === true ? JSON.stringify(logLine(line)) : line;
        if (!(await write(`${text}\n`))) break;
      }
      if (download.body.errored !== null) await failed;
    } finally {
      download.body.destroy();
    }
    return exitCodes.ok;
  });
}

/** Of a job that ran, or runs, on this machine: its files do not say the attempt, nor log from stdout. */
async function local(
  handle: string,
  flags: Pick<Invocation<typeof logsFlags>["flags"], "follow" | "json">,
  world: World,
): Promise<ExitCode> {
  const state = stateDirectoryOf(world);
  const { directory, record, task } = await findJob(state, handle);
  const isRunning = async (): Promise<boolean> =>
    flags.follow === true && (await findJob(state, record.jobId)).record.status === "RUNNING";
  const write = dataWriter(world.stdout);
  for await (const line of localLogs(directory, task, isRunning)) {
    const text =
      flags.json === true
        ? JSON.stringify({ task: line.task, attempt: null, stream: null, text: line.text })
        : `[${line.task}] ${line.text}`;
    if (!(await write(`${text}\n`))) break;
  }
  return exitCodes.ok;
}

/** "[map-00003.1 stdout] text" as an object. */
function logLine(line: string): Readonly<Record<string, unknown>> {
  const match = /^\[((?:sample|map|reduce)-\d+)\.(\d+) (log|stdout|stderr)\] (.*)$/.exec(line);
  if (match === null) return { task: null, attempt: null, stream: null, text: line };
  const [, task, attempt, stream, text] = match;
  return { task, attempt: Number(attempt), stream, text };
}

const lookMs = 200;
const readBytes = 64 * 1024;

/** One line of a task's log; "load" is the job file's own, while it is loaded. */
export interface LogLine {
  readonly task: string;
  readonly text: string;
}

/**
 * What the tasks of a job of this machine have printed, from its job directory: task after task, each in the
 * order in which it printed.
 * @param isRunning asked before each look at the files: while it says so, what is added is given, too
 */
async function* localLogs(
  directory: string,
  task: string | null,
  isRunning: () => Promise<boolean>,
): AsyncGenerator<LogLine, void, undefined> {
  const tails = new Map<string, Tail>();
  for (;;) {
    // Asked first: what it has written until it ended is read once more.
    const goesOn = await isRunning();
    for (const name of logsIn(directory)) {
      if (task !== null && name !== task) continue;
      if (!tails.has(name)) tails.set(name, new Tail(join(directory, "logs", `${name}.log`)));
      for (const text of tails.get(name)!.lines(!goesOn)) yield { task: name, text };
    }
    if (!goesOn) return;
    await pause(lookMs);
  }
}

function logsIn(directory: string): string[] {
  try {
    const files = readdirSync(join(directory, "logs")).filter((file) => file.endsWith(".log"));
    const names = files.map((file) => file.slice(0, -".log".length)).sort();
    return [...names.filter((name) => name === "load"), ...names.filter((name) => name !== "load")];
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

/** Whole lines of a file that grows. */
class Tail {
  readonly #path: string;
  readonly #decoder = new StringDecoder("utf8");
  #offset = 0;
  #begun = "";

  constructor(path: string) {
    this.#path = path;
  }

  *lines(isLast: boolean): Generator<string, void, undefined> {
    const buffer = Buffer.allocUnsafe(readBytes);
    const fd = openSync(this.#path, "r");
    try {
      for (;;) {
        const count = readSync(fd, buffer, 0, readBytes, this.#offset);
        if (count === 0) break;
        this.#offset += count;
        const lines = (this.#begun + this.#decoder.write(buffer.subarray(0, count))).split("\n");
        this.#begun = lines.pop()!;
        yield* lines;
      }
    } finally {
      closeSync(fd);
    }
    if (isLast && this.#begun !== "") yield this.#begun;
  }
}
