import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const cache = process.env["SHEAF_TEST_CACHE"] ?? join(homedir(), ".cache", "sheaf-test");
const version = "3.4.2";
const source = fileURLToPath(new URL("../../../../test/storage/hdfs/HdfsLab.java", import.meta.url));

const artifacts = [
  ["org.apache.hadoop", "hadoop-minicluster", version],
  ["org.apache.hadoop", "hadoop-hdfs-httpfs", version],
  ["junit", "junit", "4.13.2"],
  ["org.mockito", "mockito-core", "4.11.0"],
] as const;

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
  const wanted = existsSync(jars()) ? ["java", "javac"] : ["java", "javac", "mvn"];
  const missing = wanted.filter((program) => !runs(program));
  if (missing.length === 0) return null;
  if (process.env["CI"] === "true") throw new Error(`for HDFS there has to be ${missing.join(", ")}`);
  return `NO HDFS HERE, it needs ${missing.join(", ")}: apt-get install openjdk-17-jdk-headless maven`;
}

function runs(program: string): boolean {
  try {
    execFileSync(program, ["-version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function jars(): string {
  return join(cache, `hadoop-${version}`);
}

/** Downloads 110 MB once, and compiles the lab when it has changed. */
function prepare(): string {
  mkdirSync(cache, { recursive: true });
  if (!existsSync(jars())) {
    const work = mkdtempSync(join(cache, "maven-"));
    const dependencies = artifacts.map(
      ([group, artifact, number]) =>
        `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${number}</version></dependency>`,
    );
    writeFileSync(
      join(work, "pom.xml"),
      `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>test</groupId>
      <artifactId>test</artifactId><version>1</version><packaging>pom</packaging>
      <dependencies>${dependencies.join("")}</dependencies></project>`,
    );
    const goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", `-DoutputDirectory=${work}/jars`];
    const args = ["-q", "-B", `-Dmaven.repo.local=${work}/repository`, "-f", join(work, "pom.xml"), ...goal];
    execFileSync("mvn", args, { stdio: ["ignore", "inherit", "inherit"] });
    if (!existsSync(jars())) renameSync(join(work, "jars"), jars());
    rmSync(work, { recursive: true, force: true });
  }
  const hash = createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 16);
  const classes = join(cache, `hdfs-lab-${hash}`);
  if (!existsSync(classes)) {
    const work = mkdtempSync(join(cache, "javac-"));
    execFileSync("javac", ["-nowarn", "-cp", `${jars()}/*`, "-d", work, source], { stdio: "inherit" });
    if (!existsSync(classes)) renameSync(work, classes);
  }
  return classes;
}

export async function startHdfs(): Promise<HdfsLab> {
  const classes = prepare();
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
      `${conf}:${classes}:${jars()}/*`,
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
