import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { javaMissing, maven, root } from "../kit/jars.ts";
import { freePort } from "../kit/ports.ts";
import { waitFor } from "../kit/wait.ts";

/** The oldest line that is still kept, of Scala 2.12, and the newest, of Scala 2.13. */
export const sparkVersions = ["3.5.8", "4.3.0"] as const;
export type SparkVersion = (typeof sparkVersions)[number];

/** Settings that keep JVMs of tests small. */
export const small: Readonly<Record<string, string>> = {
  "spark.driver.memory": "512m",
  "spark.executor.memory": "512m",
  "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
  "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
};

/** Why there is no such Spark here; null: there is. In CI there has to be one. */
export function sparkMissing(version: SparkVersion): string | null {
  const java = javaMissing("SPARK", "hosted");
  if (java !== null || homeOf(version) !== undefined) return java;
  const made = install(version);
  if (made === null) return null;
  if (process.env["CI"] === "true") throw new Error(made);
  return `NO SPARK ${version} HERE: ${made}`;
}

/** SPARK_HOME of a version. */
export function sparkHome(version: SparkVersion): string {
  return homeOf(version)!;
}

/** What sheaf is started with to find a version. */
export function sparkEnv(version: SparkVersion): Readonly<Record<string, string>> {
  const home = { SPARK_HOME: sparkHome(version) };
  const archive = classArchive(version);
  return archive === null ? home : { ...home, SPARK_SUBMIT_OPTS: `-XX:SharedArchiveFile=${archive}` };
}

/**
 * Classes as a JVM that ran a job has left them: with these Spark starts in half the processor time. Made
 * once, and kept; null: there is none, as with Java 11, which cannot make it.
 */
function classArchive(version: SparkVersion): string | null {
  const java = spawnSync("java", ["-version"], { encoding: "utf8" }).stderr;
  const hash = createHash("sha256").update(java).digest("hex").slice(0, 16);
  const archive = join(placeOf(version), `classes-${hash}.jsa`);
  if (existsSync(archive)) return archive;
  if (/version "1?[0-2]?\./.test(java)) return null;
  const making = mkdtempSync(join(tmpdir(), "sheaf-classes-"));
  try {
    const [input, made] = [join(making, "in.txt"), join(making, "classes.jsa")];
    writeFileSync(input, "one line\n");
    const words = ["run", join(root, "examples/wordcount.ts"), input, "-o", join(making, "out")];
    words.push("--on", "spark", "--master", "local[2]", "--partitions", "1");
    spawnSync(process.execPath, [join(root, "dist/cli/main.js"), ...words], {
      env: {
        ...process.env,
        SHEAF_STATE: join(making, "state"),
        SPARK_HOME: sparkHome(version),
        SPARK_SUBMIT_OPTS: `-XX:ArchiveClassesAtExit=${made}`,
      },
    });
    if (!existsSync(made)) return null;
    cpSync(made, `${archive}-${process.pid}`);
    renameSync(`${archive}-${process.pid}`, archive);
    return archive;
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
}

function placeOf(version: string): string {
  return join(maven.cache, `spark-${version}`);
}

function homeOf(version: string): string | undefined {
  const lib = join(placeOf(version), "lib");
  const pythons = existsSync(lib) ? readdirSync(lib).filter((name) => name.startsWith("python")) : [];
  return pythons
    .map((name) => join(lib, name, "site-packages/pyspark"))
    .find((home) => existsSync(join(home, "jars")));
}

/** From PyPI, kept between runs: 300 MB for Spark 3, 450 for 4. Why it cannot be had; null: it is there. */
function install(version: SparkVersion): string | null {
  const place = placeOf(version);
  mkdirSync(maven.cache, { recursive: true });
  const making = mkdtempSync(`${place}-`);
  try {
    for (const [program, ...words] of [
      ["python3", "-m", "venv", making],
      [join(making, "bin/python"), "-m", "pip", "install", "--quiet", "--no-deps", `pyspark==${version}`],
    ] as const) {
      const { status, stderr, error } = spawnSync(program, words, { encoding: "utf8" });
      if (status !== 0) return `pyspark ${version} cannot be installed: ${stderr || error?.message}`;
    }
    if (homeOf(version) === undefined) renameSync(making, place);
    return null;
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
}

/** A standalone cluster: a master and workers of one core each, on the loopback. */
export interface StandaloneLab {
  readonly master: string;
  readonly workers: readonly ChildProcess[];
  close(): Promise<void>;
}

export async function startStandalone(version: SparkVersion, workers: number): Promise<StandaloneLab> {
  const work = mkdtempSync(join(tmpdir(), "sheaf-spark-"));
  const home = sparkHome(version);
  const [port, webPort] = [await freePort(), await freePort()];
  // Machines know of no HDFS: what a job needs to know of it comes with the job.
  const { HADOOP_CONF_DIR: _conf, HADOOP_HOME: _home, ...own } = process.env;
  const env = {
    ...own,
    SPARK_HOME: home,
    SPARK_DAEMON_MEMORY: "256m",
    SPARK_DAEMON_JAVA_OPTS: "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    SPARK_LOG_DIR: work,
  };
  const start = (name: string, host: string, ...words: string[]): ChildProcess =>
    spawn(join(home, "bin/spark-class"), [`org.apache.spark.deploy.${name}`, "--host", host, ...words], {
      env: { ...env, SPARK_LOCAL_IP: host },
      cwd: work,
      stdio: "ignore",
    });
  const master = `spark://127.0.0.1:${port}`;
  const processes = [start("master.Master", "127.0.0.1", "--port", `${port}`, "--webui-port", `${webPort}`)];
  for (let at = 0; at < workers; at++) {
    const own = ["-c", "1", "-m", "768m", "-d", join(work, `w${at}`), "--webui-port", `${await freePort()}`];
    // Hosts of their own: Spark runs no task twice on one.
    processes.push(start("worker.Worker", `127.0.0.${at + 1}`, ...own, master));
  }
  const close = async (): Promise<void> => {
    await Promise.all(processes.map(ended));
    rmSync(work, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const isUp = async (): Promise<true | undefined> => {
      const page = await fetch(`http://127.0.0.1:${webPort}/json/`).catch(() => undefined);
      const told = ((await page?.json()) ?? {}) as { workers?: readonly { state: string }[] };
      return told.workers?.filter(({ state }) => state === "ALIVE").length === workers ? true : undefined;
    };
    await waitFor(`${workers} workers of Spark`, isUp, 300_000);
  } catch (error) {
    await close();
    throw error;
  }
  return { master, workers: processes.slice(1), close };
}

async function ended(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return;
  await new Promise((resolve) => {
    process.once("exit", resolve);
    process.kill("SIGTERM");
    setTimeout(() => process.kill("SIGKILL"), 20_000).unref();
  });
}
