import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { SheafError } from "../../base/errors.ts";
import { isExecutable, placesInPath } from "../../base/programs.ts";

/** A Spark that this machine has. */
export interface SparkInstall {
  /** The program that submits applications. */
  readonly submit: string;
  /** Its directory, with jars/ and bin/; null behind a wrapper that does not tell. */
  readonly home: string | null;
  /** "3.5.8"; null where it cannot be told from the jars. */
  readonly version: string | null;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Where distributions put it. */
const USUAL = ["/usr/lib/spark", "/opt/spark", "/usr/local/spark", "/opt/cloudera/parcels/CDH/lib/spark"];

/** The oldest that tells which partition a task is of, which progress is counted by. */
const OLDEST = [3, 3] as const;

/**
 * SPARK_HOME, then spark-submit in PATH (also that of a Python environment with pyspark), then the usual
 * places.
 * @throws SheafError PROGRAM_UNUSABLE when there is none, or one that is too old
 */
export function findSpark(env: Environment): SparkInstall {
  const install = given(env["SPARK_HOME"]) ?? inPath(env["PATH"]) ?? usual();
  if (install === undefined) {
    throw new SheafError(
      "PROGRAM_UNUSABLE",
      "there is no Spark here: no SPARK_HOME, no spark-submit in PATH",
      {
        hint: "Set SPARK_HOME to its directory, or install one: pip install pyspark (it needs Java).",
      },
    );
  }
  const [major = 0, minor = 0] = (install.version ?? "").split(".").map(Number);
  const isOld = major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]);
  if (install.version !== null && isOld) {
    throw new SheafError("PROGRAM_UNUSABLE", `${install.submit} is of Spark ${install.version}`, {
      hint: `sheaf needs ${OLDEST.join(".")} or later: set SPARK_HOME to such a one.`,
    });
  }
  return install;
}

function given(home: string | undefined): SparkInstall | undefined {
  if (home === undefined || home === "") return undefined;
  const submit = join(home, "bin", "spark-submit");
  if (isExecutable(submit)) return { submit, home, version: versionOf(home) };
  throw new SheafError("PROGRAM_UNUSABLE", `SPARK_HOME is ${home}, where there is no bin/spark-submit`, {
    hint: "Set it to the directory that holds bin/ and jars/, or unset it.",
  });
}

function inPath(path: string | undefined): SparkInstall | undefined {
  const submit = placesInPath("spark-submit", path).find(isExecutable);
  if (submit === undefined) return undefined;
  const home = homeOf(submit);
  return { submit, home, version: home === null ? null : versionOf(home) };
}

function usual(): SparkInstall | undefined {
  const home = USUAL.find((one) => isExecutable(join(one, "bin", "spark-submit")));
  return home === undefined ? undefined : given(home);
}

/** The directory that a spark-submit belongs to: a link into it, or the copy that pip puts beside python. */
function homeOf(submit: string): string | null {
  const bin = dirname(realpathSync(submit));
  const homes = [dirname(bin), ...pythonPackages(dirname(bin))];
  return homes.find((home) => existsSync(join(home, "jars"))) ?? null;
}

function pythonPackages(prefix: string): string[] {
  const lib = join(prefix, "lib");
  const pythons = existsSync(lib) ? readdirSync(lib).filter((name) => name.startsWith("python")) : [];
  return pythons.map((name) => join(lib, name, "site-packages", "pyspark"));
}

/** As the name of its core jar has it: spark-core_2.12-3.5.8.jar, spark-core_2.12-3.5.1-amzn-0.jar. */
function versionOf(home: string): string | null {
  const jars = join(home, "jars");
  const names = existsSync(jars) ? readdirSync(jars) : [];
  for (const name of names) {
    const version = /^spark-core_[\d.]+-(\d+\.\d+\.\d+).*\.jar$/.exec(name)?.[1];
    if (version !== undefined) return version;
  }
  return null;
}

/** Settings of an installation: conf/spark-defaults.conf of SPARK_CONF_DIR or of its directory. */
export function sparkDefaults(home: string | null, env: Environment): Record<string, string> {
  const conf = env["SPARK_CONF_DIR"] ?? (home === null ? undefined : join(home, "conf"));
  const file = conf === undefined ? undefined : join(conf, "spark-defaults.conf");
  if (file === undefined || !existsSync(file)) return {};
  // A file of Java's: names end at white space, "=" or ":".
  const lines = readFileSync(file, "utf8").split("\n");
  const pairs = lines.map((line) => /^\s*(?![#!])([^\s=:]+)(?:\s*[=:]\s*|\s+)(.*?)\s*$/.exec(line));
  return Object.fromEntries(pairs.flatMap((pair) => (pair === null ? [] : [[pair[1]!, pair[2]!]])));
}
