import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { compileJava, javaMissing, maven } from "../../kit/jars.ts";

/** A real HDFS with two NameNodes, and HttpFS, in one JVM. */
export interface HdfsLab {
  /** HTTP ports of the NameNodes: at first the first one is active. */
  readonly namenodes: readonly [number, number];
  readonly httpfs: number;
  /** A directory with core-site.xml, which names them as the nameservice "lab". */
  readonly conf: string;
  /** Tells it to do something: see HdfsLab.java. */
  tell(line: string): Promise<void>;
  close(): Promise<void>;
}

/** Why there is none here; null: there is. In CI there has to be one. */
export function hdfsMissing(): string | null {
  return javaMissing("HDFS", "cluster");
}

export async function startHdfs(): Promise<HdfsLab> {
  const jars = maven.jarsOf(maven.names.cluster);
  const classes = compileJava("storage/hdfs/HdfsLab.java", [jars]);
  const work = mkdtempSync(join(tmpdir(), "sheaf-hdfs-"));
  const conf = join(work, "conf");
  // Without these empty directories neither kind of node starts.
  for (const kind of ["hdfs", "datanode"]) mkdirSync(join(conf, "webapps", kind), { recursive: true });
  writeFileSync(
    join(conf, "log4j.properties"),
    "log4j.rootLogger=ERROR,A\nlog4j.appender.A=org.apache.log4j.FileAppender\n" +
      `log4j.appender.A.File=${work}/log\nlog4j.appender.A.layout=org.apache.log4j.SimpleLayout\n`,
  );
  const java: ChildProcess = spawn(
    "java",
    [
      "-Xmx512m",
      "-XX:+UseSerialGC",
      "-XX:TieredStopAtLevel=1",
      "--add-opens=java.base/java.lang=ALL-UNNAMED",
      "-cp",
      `${conf}:${classes}:${jars}/*`,
      "HdfsLab",
      join(work, "data"),
      conf,
    ],
    { stdio: ["pipe", "pipe", openSync(join(work, "errors"), "w")] },
  );
  const lines = createInterface({ input: java.stdout! })[Symbol.asyncIterator]();
  const heard = async (what: string): Promise<string> => {
    const { value, done } = await lines.next();
    if (done !== true) return value as string;
    throw new Error(`${what}: HDFS has ended\n${readFileSync(join(work, "errors"), "utf8").slice(0, 4_000)}`);
  };
  const [, ...ports] = (await heard("start")).split(" ");
  const [first = 0, second = 0, httpfs = 0] = ports.map(Number);
  return {
    namenodes: [first, second],
    httpfs,
    conf,
    tell: async (line) => {
      java.stdin!.write(`${line}\n`);
      await heard(line);
    },
    close: async () => {
      java.stdin!.end();
      if (java.exitCode === null && java.signalCode === null) await once(java, "exit");
      rmSync(work, { recursive: true, force: true });
    },
  };
}
