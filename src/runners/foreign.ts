import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { pino } from "pino";
import { systemClock } from "../base/clock.ts";
import { SheafError } from "../base/errors.ts";
import { settings } from "../base/limits.ts";
import { packageVersion } from "../base/package-places.ts";
import { SharedDirectoryDriver } from "../driver/shared-directory-driver.ts";
import type { SharedDirectoryResult } from "../driver/shared-directory-driver.ts";
import { failureOutsideTasks } from "../engine/error-report.ts";
import { EventLog } from "../engine/event-log.ts";
import { makeJobId } from "../engine/job-directory.ts";
import type { JobRunOptions } from "../engine/options.ts";
import { sumStats } from "../engine/progress.ts";
import { finishedEvent, resultOf } from "../engine/result.ts";
import type { RunResult } from "../engine/run-result.ts";
import type { Job } from "../job/job-plan.ts";
import { taskRoutes } from "../rest/route/task-routes.ts";
import { startServer } from "../rest/server.ts";
import { hostList } from "../security/host-list.ts";
import { checkListen } from "../security/listen.ts";
import { safeLogStream } from "../security/log-line.ts";
import { ownNames } from "../security/own-names.ts";
import { ensureTokenFile } from "../security/token-file.ts";
import { digestToken } from "../security/token.ts";
import { checkOutput, createTempOutput, discardTempOutput } from "../storage/atomic-output.ts";
import { listInput } from "../storage/list-input.ts";
import { localPath } from "../storage/store.ts";
import { makeTempDirectory } from "../storage/temp-directory.ts";
import type { ListenPlace } from "./workers.ts";

/** A run whose tasks are done by programs of any language (docs/protocol.md). */
export interface ForeignRunOptions extends Pick<
  JobRunOptions,
  "overwrite" | "mappers" | "partitions" | "attempts" | "name" | "signal" | "onEvent"
> {
  readonly inputs: readonly string[];
  readonly output?: string;
  readonly listen: ListenPlace;
  /** Directory that all workers see, for what maps write and reduces read. */
  readonly intermediate: string;
  /** A worker that is not heard of for so long is lost. */
  readonly workerTimeoutMs?: number;
}

/**
 * Has one job done by workers that know by its name what to do.
 * @throws SheafError USAGE, INPUT_MISSING, OUTPUT_EXISTS and what else keeps it from starting
 */
export async function runForeignWorkers(
  job: Job | string | URL,
  options: ForeignRunOptions,
): Promise<RunResult> {
  const { output, overwrite = false } = options;
  if (output === undefined) {
    throw new SheafError("USAGE", "output is missing: workers in other languages write files", {
      hint: "Give the directory.",
    });
  }
  if (typeof job === "object" && !(job instanceof URL)) {
    throw new SheafError("USAGE", "run(): workers in other languages cannot be given a job object", {
      hint: "Give the name by which they know the job.",
    });
  }
  const partitions = partitionsOf(options.partitions);
  const name = options.name ?? basename(String(job)).replace(/\.\w+$/, "");
  const events = new EventLog(systemClock, options.onEvent);
  const id = makeJobId(name, systemClock.wallMs(), Math.random);
  // They are read by programs that know paths alone.
  for (const input of options.inputs) localPath(input, "inputs", process.cwd());
  const files = await listInput(options.inputs);
  const paths = files.map(({ path }) => path);
  const out = localPath(output, "output", process.cwd());
  await checkOutput(out, { overwrite, keep: paths });
  // What a killed driver leaves is removed by the next run.
  const secrets = await makeTempDirectory(tmpdir());
  const staging = await createTempOutput(out);
  const between = await makeTempDirectory(localPath(options.intermediate, "intermediate", process.cwd()));
  try {
    const maps = spread(paths, options.mappers ?? paths.length);
    const bytesIn = files.reduce((sum, { bytes }) => sum + bytes, 0);
    const about = { name, file: null, code: null, directory: null, output: out } as const;
    events.emit({ kind: "job-started", jobId: id, ...about, isolation: "process" });
    const mapTasks = maps.length;
    const planned = { files: files.length, bytes: bytesIn, mapTasks, reduceTasks: partitions };
    events.emit({ kind: "planned", ...planned, partitions: { "": partitions }, workersMax: mapTasks });
    const driver = new SharedDirectoryDriver({
      job: id,
      name,
      maps,
      partitions,
      intermediate: between,
      staging,
      output: out,
      overwrite,
      attempts: options.attempts ?? settings.attempts.default,
      leaseMs: options.workerTimeoutMs ?? settings.workerTimeoutMs.default,
      clock: systemClock,
      tell: (text) => events.emit({ kind: "log", task: "", attempt: 0, stream: "stderr", text }),
    });
    const ended = await listen(driver, options, join(secrets, "agent.token"));
    const result = resultOfJob(ended, { id, name, output: out, mapTasks, partitions, bytesIn }, events);
    events.emit(finishedEvent(result));
    return result;
  } finally {
    await discardTempOutput(staging);
    for (const directory of [secrets, between]) rmSync(directory, { recursive: true, force: true });
  }
}

async function listen(
  driver: SharedDirectoryDriver,
  { listen: place, signal }: ForeignRunOptions,
  tokenFile: string,
): Promise<SharedDirectoryResult> {
  const { tell } = place;
  const token = ensureTokenFile(tokenFile, "agent");
  const { host, warnings } = checkListen({ host: place.host, hasToken: true, insecure: false, tls: false });
  const server = await startServer({
    routes: (app) => taskRoutes(app, driver),
    policy: {
      tokens: [{ role: "agent", digest: digestToken(token) }],
      open: false,
      hosts: hostList({ bound: host, own: ownNames() }),
      jobKey: () => null,
      clock: systemClock,
    },
    host,
    port: place.port,
    tls: null,
    version: packageVersion(),
    log: pino({ level: "warn", base: null }, safeLogStream({ write: (line) => tell(line.trimEnd()) })),
  });
  try {
    for (const warning of warnings) tell(`warning: ${warning}`);
    tell(`workers ask ${server.url} for tasks; their token is in ${tokenFile}`);
    return await driver.run(signal);
  } finally {
    await server.close();
  }
}

function resultOfJob(
  { status, cause, parts, counters }: SharedDirectoryResult,
  job: {
    readonly id: string;
    readonly name: string;
    readonly output: string;
    readonly mapTasks: number;
    readonly partitions: number;
    readonly bytesIn: number;
  },
  { elapsedMs }: EventLog,
): RunResult {
  const { id: jobId, name, output, mapTasks, partitions: reduceTasks, bytesIn } = job;
  const recordsOut = parts.reduce((sum, part) => sum + part.records, 0);
  const bytesOut = parts.reduce((sum, part) => sum + part.bytes, 0);
  const stats = { ...sumStats([], [], elapsedMs), bytesIn, recordsOut, bytesOut };
  const known = { status, jobId, name, output, parts, counters, stats, mapTasks, reduceTasks };
  if (status === "SUCCEEDED") return resultOf(known);
  const why =
    status === "CANCELLED"
      ? new SheafError("CANCELLED", "the job was cancelled; nothing was written")
      : new SheafError("USER_CODE", cause ?? "the job failed", {
          hint: "The worker that reported it has printed more, where it runs.",
        });
  return resultOf({ ...known, error: failureOutsideTasks(why) });
}

function partitionsOf(given: JobRunOptions["partitions"]): number {
  if (given === undefined) return 1;
  if (typeof given === "number") return given;
  throw new SheafError("USAGE", "--partitions: workers in other languages have one collection", {
    hint: "Give one number: --partitions 2.",
  });
}

/** The files in order, spread over so many tasks; no task without a file. */
function spread(files: readonly string[], tasks: number): string[][] {
  const count = Math.max(1, Math.min(tasks, files.length));
  return Array.from({ length: count }, (_, task) =>
    files.slice(Math.floor((task * files.length) / count), Math.floor(((task + 1) * files.length) / count)),
  );
}
