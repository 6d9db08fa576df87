import { existsSync, readdirSync, realpathSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";
import { SheafError } from "../../base/errors.ts";
import { builtUrl } from "../../base/package-places.ts";
import { isExecutable, placesInPath } from "../../base/programs.ts";
import type { AboutHadoop } from "../file-tool.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** Directories of an installation, as variables name them; the first of them that has what is looked for. */
const HOME_VARIABLES = ["HADOOP_HOME", "HADOOP_PREFIX", "HADOOP_INSTALL", "HADOOP_MAPRED_HOME"];

/** Where distributions and cloud images put it. */
const USUAL_HOMES = [
  "/usr/lib/hadoop",
  "/usr/local/hadoop",
  "/opt/hadoop",
  "/opt/cloudera/parcels/CDH/lib/hadoop",
];
const USUAL_STREAMING = [
  "/usr/lib/hadoop-mapreduce",
  "/usr/lib/hadoop",
  "/usr/hdp/current/hadoop-mapreduce-client",
  "/opt/cloudera/parcels/CDH/lib/hadoop-mapreduce",
];

/** Directories below a home that are looked into: share/hadoop/tools/lib is three. */
const DEPTH_MAX = 6;

/** The `hadoop` command. @throws SheafError USAGE when there is none */
export function findHadoop(env: Env): string {
  const below = (homes: readonly string[]): string[] => homes.map((home) => join(home, "bin", "hadoop"));
  // What variables name goes first, as for Hadoop itself; PATH before mere guesses.
  const places = [...below(homesOf(env)), ...placesInPath("hadoop", env["PATH"]), ...below(USUAL_HOMES)];
  const found = places.find(isExecutable);
  if (found !== undefined) return found;
  throw new SheafError("USAGE", "--on hadoop: there is no `hadoop` command on this machine", {
    hint:
      "Set HADOOP_HOME to the directory with bin/hadoop, or put it into PATH. `sheaf doctor --on hadoop` says " +
      "what was looked for.",
  });
}

/**
 * The jar of Hadoop Streaming that belongs to a `hadoop`: $HADOOP_STREAMING_JAR, else of the first place that
 * has any the one with the shortest name, which is the one without "-sources" and the like.
 * @throws SheafError USAGE when there is none
 */
export function findStreamingJar(hadoop: string, env: Env): string {
  const given = env["HADOOP_STREAMING_JAR"];
  if (given) {
    if (existsSync(given)) return given;
    throw new SheafError("USAGE", `HADOOP_STREAMING_JAR is ${given}, and there is no such file`, {
      hint: "Name the file hadoop-streaming-VERSION.jar, or unset the variable.",
    });
  }
  const roots = [...homesOf(env), dirname(dirname(realpathSync(hadoop))), ...USUAL_STREAMING];
  for (const root of roots) {
    const [best] = jarsBelow(root, 0).sort(
      (a, b) => a.name.length - b.name.length || a.depth - b.depth || (a.path < b.path ? -1 : 1),
    );
    if (best !== undefined) return best.path;
  }
  throw new SheafError("USAGE", `--on hadoop: there is no hadoop-streaming-*.jar beside ${hadoop}`, {
    hint:
      "Install the tools of Hadoop (share/hadoop/tools/lib; the package hadoop-mapreduce), or set " +
      "HADOOP_STREAMING_JAR to the file.",
  });
}

/** The jar with sheaf's own classes. @throws SheafError USAGE when the package was built without it */
export function findHostedJar(): string {
  const jar = fileURLToPath(new URL("../dist/hosted/sheaf-hosted.jar", builtUrl));
  if (existsSync(jar)) return jar;
  throw new SheafError("USAGE", `${jar} is missing: this copy of sheaf was built without a JDK`, {
    hint: "Install sheaf from npm, or run `npm run build:jar` where there are javac and mvn.",
  });
}

function homesOf(env: Env): string[] {
  return HOME_VARIABLES.map((name) => env[name] ?? "").filter(isAbsolute);
}

interface FoundJar {
  readonly path: string;
  readonly name: string;
  readonly depth: number;
}

function jarsBelow(directory: string, depth: number): FoundJar[] {
  let entries;
  try {
    entries = readdirSync(directory, { withFileTypes: true });
  } catch {
    // It is not there, or not for this user.
    return [];
  }
  return entries.flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return depth < DEPTH_MAX ? jarsBelow(path, depth + 1) : [];
    const isJar = /^hadoop.*streaming.*(?<!-sources|-tests|-javadoc|-test-sources)\.jar$/.test(entry.name);
    return isJar ? [{ path, name: entry.name, depth }] : [];
  });
}

/** @throws SheafError USAGE for what is too old */
export function checkVersion(version: string, hadoop: string): void {
  if (Number(version.split(".")[0]) >= 3) return;
  throw new SheafError("USAGE", `${hadoop} is Hadoop ${version}`, {
    hint: "sheaf needs Hadoop 3.3 or later; set HADOOP_HOME to one.",
  });
}

/** Whether jobs can run as its configuration says. @throws SheafError USAGE */
export function checkFramework({ conf, files, confDirectory }: AboutHadoop, engineTemp: string | null): void {
  const framework = conf["mapreduce.framework.name"] ?? "local";
  if (framework !== "local" && framework !== "yarn") {
    throw new SheafError("USAGE", `mapreduce.framework.name is ${framework}`, {
      hint: "It has to be yarn, or local for a run in one JVM: --conf mapreduce.framework.name=local.",
    });
  }
  if (framework === "local" || !(engineTemp ?? files).startsWith("file:")) return;
  throw new SheafError("USAGE", "the default file system of Hadoop (fs.defaultFS) is that of this machine", {
    hint:
      `The configuration was read from ${confDirectory ?? "nowhere"}: set HADOOP_CONF_DIR to the cluster's, or ` +
      "give --engine-temp a directory that all nodes see, as hdfs://HOST/tmp/sheaf.",
  });
}
