import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { compileJava, javaHome, maven } from "../kit/jars.ts";
import { freePort } from "../kit/ports.ts";
import { until } from "../kit/wait.ts";

/** A Hadoop as users have it installed, with a `hadoop` that starts what the real one would. */
export interface HadoopLab {
  /** HADOOP_HOME: bin/hadoop, etc/hadoop, share/hadoop. */
  readonly home: string;
  /** What commands are started with. */
  readonly env: Readonly<Record<string, string>>;
  /** fs.defaultFS. */
  readonly files: string;
  /** `hadoop ...` to its end; its standard output. */
  hadoop(...args: string[]): string;
  close(): Promise<void>;
}

const log4j = `log4j.rootLogger=\${hadoop.root.logger}
hadoop.root.logger=INFO,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n
`;

const small = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1";

/** Small containers: two cores run all of this. */
export const smallContainers: Readonly<Record<string, string>> = {
  "mapreduce.map.memory.mb": "1024",
  "mapreduce.reduce.memory.mb": "1024",
  "mapreduce.task.io.sort.mb": "32",
  "mapreduce.map.java.opts": "-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1",
  "mapreduce.reduce.java.opts": "-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1",
};

/** Jobs run in the JVM of the client, on local files. */
export function localHadoop(): HadoopLab {
  const work = mkdtempSync(join(tmpdir(), "sheaf-hadoop-"));
  const home = install(work, [maven.jarsOf(maven.names.local)]);
  writeSite(join(home, "etc/hadoop/core-site.xml"), {
    "fs.defaultFS": "file:///",
    "hadoop.tmp.dir": join(work, "tmp"),
  });
  return { ...labOf(home), files: "file:///", close: async () => remove(work) };
}

/** HDFS and YARN with two NodeManagers, in one JVM, and a history server. */
export async function yarnHadoop(): Promise<HadoopLab> {
  return (await startYarn(2)).lab;
}

/** A cluster, and what starts a class of Hadoop's with its configuration. */
export interface StartedYarn {
  readonly lab: HadoopLab;
  /** In which everything of it lies. */
  readonly work: string;
  start(...words: string[]): ChildProcess;
}

/** @param nodes how many NodeManagers run in the one JVM */
export async function startYarn(nodes: number): Promise<StartedYarn> {
  const jars = [maven.jarsOf(maven.names.cluster), maven.jarsOf(maven.names.streaming)];
  const classes = compileJava("hosted/YarnLab.java", jars);
  const work = mkdtempSync(join(tmpdir(), "sheaf-yarn-"));
  const home = install(work, jars);
  const conf = join(home, "etc/hadoop");
  // Without these empty directories neither kind of node starts.
  for (const kind of ["hdfs", "datanode"]) mkdirSync(join(conf, "webapps", kind), { recursive: true });
  // Several jobs at once: each has an application master, which may be most of what they have.
  writeSite(join(conf, "capacity-scheduler.xml"), {
    "yarn.scheduler.capacity.root.queues": "default",
    "yarn.scheduler.capacity.root.default.capacity": "100",
    "yarn.scheduler.capacity.maximum-am-resource-percent": "0.5",
  });
  const classPath = jars.map((one) => `${one}/*`);
  const errors = join(work, "errors");
  const start = (...words: string[]): ChildProcess =>
    spawn(
      "java",
      [
        ["-Xmx512m", ...small.split(" "), "--add-opens=java.base/java.lang=ALL-UNNAMED"],
        ["-Dhadoop.root.logger=WARN,console", "-cp", [conf, classes, ...classPath].join(":")],
        words,
      ].flat(),
      {
        stdio: ["pipe", "pipe", openSync(errors, "a")],
        env: { ...process.env, JAVA_HOME: javaHome() },
        cwd: work,
      },
    );
  const ports = [await freePort(), await freePort(), await freePort()];
  const data = join(work, "data");
  const java = start("YarnLab", data, conf, [conf, ...classPath].join(","), ...ports.map(String), `${nodes}`);
  const ended = once(java, "exit");
  const lines = createInterface({ input: java.stdout! })[Symbol.asyncIterator]();
  for (let line = ""; line !== "up";) {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`YARN has ended\n${readFileSync(errors, "utf8").slice(-4_000)}`);
    line = String(value);
  }
  const history = start("org.apache.hadoop.mapreduce.v2.hs.JobHistoryServer");
  history.stdout!.resume();
  const historyEnded = once(history, "exit");
  // What tests then meet is that nobody answers.
  const tellEnd = (code: number | null, signal: string | null): void =>
    console.error(`YARN has ended: ${code ?? signal}\n${readFileSync(errors, "utf8").slice(-4_000)}`);
  java.once("exit", tellEnd);
  const close = async (): Promise<void> => {
    java.off("exit", tellEnd);
    history.kill("SIGKILL");
    java.stdin!.end();
    await Promise.all([ended, historyEnded]);
    remove(work);
  };
  try {
    const info = `http://localhost:${ports[1]}/ws/v1/history/info`;
    await until(
      "the history server",
      async () => (await fetch(info).catch(() => null))?.ok === true,
      300_000,
    );
  } catch (cause) {
    const said = readFileSync(errors, "utf8").slice(-4_000);
    await close();
    throw new Error(`the history server does not answer\n${said}`, { cause });
  }
  const core = readFileSync(join(conf, "core-site.xml"), "utf8");
  const files = /<name>fs.defaultFS<\/name><value>([^<]*)/.exec(core)![1]!;
  return { lab: { ...labOf(home), files, close }, work, start };
}

function install(work: string, jars: readonly string[]): string {
  const home = join(work, "hadoop");
  for (const one of ["bin", "etc/hadoop", "share/hadoop/tools/lib"])
    mkdirSync(join(home, one), { recursive: true });
  writeFileSync(join(home, "etc/hadoop/log4j.properties"), log4j);
  const streaming = `hadoop-streaming-${maven.hadoop}.jar`;
  const from = jars.map((one) => join(one, streaming)).find((one) => existsSync(one))!;
  symlinkSync(from, join(home, "share/hadoop/tools/lib", streaming));
  const classPath = ["$conf", ...jars.map((one) => `${one}/*`)].join(":");
  writeFileSync(
    join(home, "bin/hadoop"),
    `#!/bin/sh
# As Hadoop's own, for the commands that tests need.
home=$(cd "$(dirname "$0")/.." && pwd)
conf=\${HADOOP_CONF_DIR:-$home/etc/hadoop}
case $1 in
  jar) class=org.apache.hadoop.util.RunJar;;
  fs) class=org.apache.hadoop.fs.FsShell;;
  version) class=org.apache.hadoop.util.VersionInfo;;
  job) class=org.apache.hadoop.mapred.JobClient;;
  logs) class=org.apache.hadoop.yarn.client.cli.LogsCLI;;
  *) echo "hadoop: no command $1" >&2; exit 1;;
esac
shift
exec java -Xmx512m ${small} -Dhadoop.root.logger="\${HADOOP_ROOT_LOGGER:-INFO,console}" $HADOOP_CLIENT_OPTS \\
  -cp "${classPath}\${HADOOP_CLASSPATH:+:$HADOOP_CLASSPATH}" $class "$@"
`,
  );
  chmodSync(join(home, "bin/hadoop"), 0o755);
  return home;
}

function labOf(home: string): Pick<HadoopLab, "home" | "env" | "hadoop"> {
  const env = { HADOOP_HOME: home, HADOOP_CONF_DIR: join(home, "etc/hadoop"), JAVA_HOME: javaHome() };
  return {
    home,
    env,
    hadoop: (...args) =>
      execFileSync(join(home, "bin/hadoop"), args, {
        encoding: "utf8",
        env: { ...process.env, ...env },
        maxBuffer: 1 << 28,
      }),
  };
}

/** Process ids of task programs that run in directories of the cluster's. */
export function programsOn({ home }: HadoopLab): string[] {
  const work = dirname(home);
  const isOurs = (pid: string): boolean => {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      return command.includes("task-entry.js") && readlinkSync(`/proc/${pid}/cwd`).startsWith(`${work}/`);
    } catch {
      // It has ended.
      return false;
    }
  };
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name) && isOurs(name));
}

export function writeSite(path: string, values: Readonly<Record<string, string>>): void {
  const properties = Object.entries(values).map(
    ([name, value]) => `<property><name>${name}</name><value>${value}</value></property>\n`,
  );
  writeFileSync(path, `<configuration>\n${properties.join("")}</configuration>\n`);
}

function remove(work: string): void {
  rmSync(work, { recursive: true, force: true, maxRetries: 5 });
}
