import { MiB } from "../../base/size.ts";
import type { HostJob } from "../host-engine.ts";
import { hasDriverElsewhere, type SparkSettings } from "./spark-settings.ts";

/** Where the pieces of a job are for the engine, all as addresses. */
export interface StagedJob {
  /** What the task program's directory is to the tasks: absolute, or "." where archives are unpacked. */
  readonly home: string;
  readonly splits: string;
  /** Directory that the committer makes. */
  readonly output: string;
  /** "ADDRESS#node", ...: unpacked beside each executor. */
  readonly archives: readonly string[];
  /**
   * Directory that is removed when the job is over, in which a driver that nobody hears says how far it is,
   * and what went wrong; null: nothing of the job is on other machines.
   */
  readonly own: string | null;
}

const ownBytes = 128 * MiB;
/** Of a heap without a limit of its own: what most jobs stay below. */
const heapUsual = 512 * MiB;

/** JVMs that only pass blocks on leave the processors to the task programs beside them. */
const lightJvm = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1";

export const MAIN_CLASS = "dev.sheaf.hosted.SparkMain";

/**
 * The words after spark-submit. What sheaf only recommends gives way to the user's settings and to those of
 * the installation.
 * @param jar of sheaf, on this machine
 * @param hasClient whether the application is to end with this process
 */
export function submitArguments(
  settings: SparkSettings,
  job: HostJob,
  staged: StagedJob,
  { jar, hasClient }: { readonly jar: string; readonly hasClient: boolean },
): string[] {
  const { place } = settings;
  const conf: Record<string, string> = {
    ...without(recommended(settings, job, staged), settings.defaults),
    ...settings.conf,
    "spark.app.name": job.name,
    "spark.sheaf.home": staged.home,
    "spark.sheaf.splits": staged.splits,
    "spark.sheaf.output": staged.output,
    "spark.sheaf.maps": String(job.mapTasks),
    "spark.sheaf.reduces": String(job.reduces),
    ...(staged.own !== null && hasDriverElsewhere(settings) && { "spark.sheaf.told": staged.own }),
    ...(hasClient ? { "spark.sheaf.client": "true" } : {}),
    // Else spark-submit ends when the application is accepted, as if it were done.
    ...(place.kind === "yarn" ? { "spark.yarn.submit.waitAppCompletion": "true" } : {}),
  };
  return [
    "--master",
    masterWithAttempts(settings.master, job.attempts),
    ...(place.kind === "yarn" ? ["--deploy-mode", place.driver] : []),
    ...Object.entries(conf).flatMap(([name, value]) => ["--conf", `${name}=${value}`]),
    ...(staged.archives.length > 0 ? ["--archives", staged.archives.join(",")] : []),
    "--class",
    MAIN_CLASS,
    jar,
  ];
}

/** In one JVM Spark gives a task one attempt, unless the master's name says more. */
function masterWithAttempts(master: string, attempts: number): string {
  const threads = /^local(?:\[(\d+|\*)\])?$/.exec(master);
  return threads === null ? master : `local[${threads[1] ?? "1"},${attempts}]`;
}

function recommended(
  { place, conf, defaults }: SparkSettings,
  job: HostJob,
  { own }: StagedJob,
): Record<string, string> {
  const cores = Number(conf["spark.executor.cores"] ?? defaults["spark.executor.cores"] ?? "1");
  return {
    // Frames are arrays of bytes: of Java's own serialization each would be held for a while.
    "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
    // Their blocks are compressed already.
    "spark.shuffle.compress": "false",
    "spark.shuffle.spill.compress": "false",
    "spark.task.maxFailures": String(job.attempts),
    ...(place.kind === "local"
      ? {
          "spark.ui.enabled": "false",
          "spark.local.dir": job.scratch,
          "spark.driver.extraJavaOptions": lightJvm,
          "spark.executor.extraJavaOptions": lightJvm,
        }
      : {}),
    ...(place.kind === "yarn"
      ? {
          // Beside the executor's own memory there is that of a program for each task it runs at once.
          "spark.executor.memoryOverhead": `${cores * programMegabytes(job)}m`,
          // A driver that has failed would be started again, and fail by what the first has left.
          "spark.yarn.maxAppAttempts": "1",
          // A driver that is killed leaves what it was started with.
          ...(own === null ? {} : { "spark.yarn.stagingDir": own }),
        }
      : {}),
  };
}

/** Node itself, the JavaScript heap, and what a task keeps outside of it. */
function programMegabytes({ heapBytes, memoryBytes }: HostJob): number {
  return Math.ceil((ownBytes + (heapBytes ?? heapUsual) + memoryBytes) / MiB);
}

function without(
  settings: Readonly<Record<string, string>>,
  others: Readonly<Record<string, string>>,
): Record<string, string> {
  return Object.fromEntries(Object.entries(settings).filter(([name]) => !Object.hasOwn(others, name)));
}
