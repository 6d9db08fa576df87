import { MiB } from "../../base/size.ts";
import type { HostJob } from "../host-engine.ts";
import { hasDriverElsewhere, type SparkSettings } from "./spark-settings.ts";

/** What an application is started for, and cannot be changed in it. */
export interface ApplicationNeeds extends Pick<HostJob, "name" | "attempts" | "heapBytes" | "memoryBytes"> {
  /** Directory of this machine for what it puts on disks, where its tasks run here. */
  readonly scratch: string;
  /** "ADDRESS#node", ...: unpacked beside each executor. */
  readonly archives: readonly string[];
  /**
   * Directory that is removed when the application is over; null: nothing of it is on other machines.
   */
  readonly own: string | null;
}

/** A job as the settings of an application have it that runs no other. */
export interface OnlyJob extends Pick<HostJob, "jobId" | "mapTasks" | "reduces"> {
  /** What the task program's directory is to the tasks: absolute, or "." where archives are unpacked. */
  readonly home: string;
  /** Addresses: of the list of splits, and of the directory that the committer makes. */
  readonly splits: string;
  readonly output: string;
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
 * @param only the job; null: its client tells the application of jobs
 */
export function submitArguments(
  settings: SparkSettings,
  needs: ApplicationNeeds,
  jar: string,
  only: OnlyJob | null,
): string[] {
  const { place } = settings;
  const { own, archives } = needs;
  const conf: Record<string, string> = {
    ...without(recommended(settings, needs), settings.defaults),
    ...settings.conf,
    "spark.app.name": needs.name,
    ...(only === null ? { "spark.sheaf.client": "true" } : jobSettings(only)),
    ...(own !== null && hasDriverElsewhere(settings) && { "spark.sheaf.told": own }),
    // Else spark-submit ends when the application is accepted, as if it were done.
    ...(place.kind === "yarn" ? { "spark.yarn.submit.waitAppCompletion": "true" } : {}),
  };
  return [
    "--master",
    masterWithAttempts(settings.master, needs.attempts),
    ...(place.kind === "yarn" ? ["--deploy-mode", place.driver] : []),
    ...Object.entries(conf).flatMap(([name, value]) => ["--conf", `${name}=${value}`]),
    ...(archives.length > 0 ? ["--archives", archives.join(",")] : []),
    "--class",
    MAIN_CLASS,
    jar,
  ];
}

function jobSettings({ jobId, home, splits, output, mapTasks, reduces }: OnlyJob): Record<string, string> {
  return {
    "spark.sheaf.job": jobId,
    "spark.sheaf.home": home,
    "spark.sheaf.splits": splits,
    "spark.sheaf.output": output,
    "spark.sheaf.maps": String(mapTasks),
    "spark.sheaf.reduces": String(reduces),
  };
}

/** In one JVM Spark gives a task one attempt, unless the master's name says more. */
function masterWithAttempts(master: string, attempts: number): string {
  const threads = /^local(?:\[(\d+|\*)\])?$/.exec(master);
  return threads === null ? master : `local[${threads[1] ?? "1"},${attempts}]`;
}

function recommended(
  { place, conf, defaults }: SparkSettings,
  needs: ApplicationNeeds,
): Record<string, string> {
  const { own } = needs;
  const cores = Number(conf["spark.executor.cores"] ?? defaults["spark.executor.cores"] ?? "1");
  return {
    // Frames are arrays of bytes: of Java's own serialization each would be held for a while.
    "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
    // Their blocks are compressed already.
    "spark.shuffle.compress": "false",
    "spark.shuffle.spill.compress": "false",
    "spark.task.maxFailures": String(needs.attempts),
    ...(place.kind === "local"
      ? {
          "spark.ui.enabled": "false",
          "spark.local.dir": needs.scratch,
          "spark.driver.extraJavaOptions": lightJvm,
          "spark.executor.extraJavaOptions": lightJvm,
        }
      : {}),
    ...(place.kind === "yarn"
      ? {
          // Beside the executor's own memory there is that of a program for each task it runs at once.
          "spark.executor.memoryOverhead": `${cores * programMegabytes(needs)}m`,
          // A driver that has failed would be started again, and fail by what the first has left.
          "spark.yarn.maxAppAttempts": "1",
          // A driver that is killed leaves what it was started with.
          ...(own === null ? {} : { "spark.yarn.stagingDir": own }),
        }
      : {}),
  };
}

/** Node itself, the JavaScript heap, and what a task keeps outside of it. */
function programMegabytes({ heapBytes, memoryBytes }: ApplicationNeeds): number {
  return Math.ceil((ownBytes + (heapBytes ?? heapUsual) + memoryBytes) / MiB);
}

function without(
  settings: Readonly<Record<string, string>>,
  others: Readonly<Record<string, string>>,
): Record<string, string> {
  return Object.fromEntries(Object.entries(settings).filter(([name]) => !Object.hasOwn(others, name)));
}
