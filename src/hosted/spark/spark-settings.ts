import { SheafError } from "../../base/errors.ts";
import type { HostedRunOptions } from "../../engine/options.ts";
import { findSpark, sparkDefaults, type SparkInstall } from "./find-spark.ts";

/** What a user says of the Spark to run on; each as spark-submit has it. */
export type SparkOptions = Pick<HostedRunOptions, "master" | "deployMode" | "conf">;

type Environment = Readonly<Record<string, string | undefined>>;

/** Where an application's tasks run. */
export type TaskPlace =
  /** In the JVM of the driver, or in executors that it starts beside itself. */
  | { readonly kind: "local" }
  | {
      readonly kind: "standalone";
      /** Its machines see the files of this one: they are one, or share a file system. */
      readonly sharesFiles: boolean;
    }
  | { readonly kind: "yarn"; readonly driver: "client" | "cluster" };

export interface SparkSettings {
  readonly install: SparkInstall;
  readonly master: string;
  readonly place: TaskPlace;
  /** Of the user, without those that are sheaf's own. */
  readonly conf: Readonly<Record<string, string>>;
  /** What spark-defaults.conf says, which the user's own goes before. */
  readonly defaults: Readonly<Record<string, string>>;
}

/** Whether the driver does not end with spark-submit, and nobody hears it. */
export function hasDriverElsewhere({ place }: SparkSettings): boolean {
  return place.kind === "yarn" && place.driver === "cluster";
}

/** Says that the machines of a standalone cluster see this machine's files. */
export const sharedFiles = "spark.sheaf.sharedFiles";

/** These would change what a job reads or gives: sheaf sets them itself, or nobody does. */
const REFUSED: Readonly<Record<string, string>> = {
  "spark.hadoopRDD.ignoreEmptySplits": "it leaves splits out",
  "spark.files.ignoreCorruptFiles": "it leaves input out",
  "spark.files.ignoreMissingFiles": "it leaves input out",
  "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version":
    "version 2 shows files of attempts that fail",
};

/**
 * What is to be used, of what the user says and of what is installed.
 * @throws SheafError USAGE for settings that make no sense, PROGRAM_UNUSABLE without a Spark
 */
export function sparkSettings(options: SparkOptions, env: Environment): SparkSettings {
  const { [sharedFiles]: shared, ...conf } = options.conf ?? {};
  for (const [name, value] of Object.entries(conf)) checkSetting(name, value);
  const install = findSpark(env);
  const defaults = sparkDefaults(install.home, env);
  const setting = (name: string): string | undefined => conf[name] ?? defaults[name];
  const master = options.master ?? setting("spark.master") ?? env["MASTER"] ?? "local[*]";
  const deployMode = options.deployMode ?? setting("spark.submit.deployMode") ?? "client";
  const place = placeOf(master, deployMode, shared === "true");
  if (place.kind === "yarn" && env["HADOOP_CONF_DIR"] === undefined && env["YARN_CONF_DIR"] === undefined) {
    throw usage(
      "--master yarn: neither HADOOP_CONF_DIR nor YARN_CONF_DIR is set",
      "Set HADOOP_CONF_DIR to the directory with core-site.xml and yarn-site.xml, as for spark-submit.",
    );
  }
  return { install, master, place, conf, defaults };
}

function checkSetting(name: string, value: string): void {
  if (Object.hasOwn(REFUSED, name)) {
    throw usage(`--conf ${name}=${value} is not for sheaf: ${REFUSED[name]}`, "Leave it out.");
  }
  if (name.startsWith("spark.sheaf.")) {
    throw usage(`--conf ${name} is none of sheaf's settings`, `There is ${sharedFiles}=true.`);
  }
  if (!name.startsWith("spark.")) {
    throw usage(
      `--conf ${name}: spark-submit passes on what begins with "spark."`,
      `Give settings of Hadoop as spark.hadoop.${name}.`,
    );
  }
}

function placeOf(master: string, deployMode: string, sharesFiles: boolean): TaskPlace {
  if (deployMode !== "client" && deployMode !== "cluster") {
    throw usage(`--deploy-mode ${deployMode} is neither client nor cluster`, "Give one of these.");
  }
  if (master === "yarn") return { kind: "yarn", driver: deployMode };
  const place = notYarn(master, sharesFiles);
  if (deployMode === "client") return place;
  throw usage(
    `--deploy-mode cluster is not for --master ${master}`,
    "sheaf has it with --master yarn; leave it out, and the driver runs on this machine.",
  );
}

function notYarn(master: string, sharesFiles: boolean): TaskPlace {
  if (/^local(?:\[(?:\d+|\*)(?:,\d+)?\])?$/.test(master)) return { kind: "local" };
  if (/^local-cluster\[\s*\d+\s*,\s*\d+\s*,\s*\d+\s*\]$/.test(master)) return { kind: "local" };
  if (/^spark:\/\/[^/\s]+:\d+(?:,[^/\s]+:\d+)*$/.test(master)) return { kind: "standalone", sharesFiles };
  const known = /^(k8s|mesos|sc):\/\//.exec(master)?.[1];
  throw usage(
    `--master ${master} is none that sheaf runs on`,
    known === undefined
      ? "Give local[2], local-cluster[2,1,1024], spark://host:port or yarn."
      : `Not with ${known}://; give local[N], spark://host:port or yarn.`,
  );
}

function usage(message: string, hint: string): SheafError {
  return new SheafError("USAGE", message, { hint });
}
