// Jars from Maven's repositories, for tests and for compiling java/: downloaded once, kept in
// $SHEAF_TEST_CACHE.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

export const cache = process.env["SHEAF_TEST_CACHE"] ?? join(homedir(), ".cache", "sheaf-test");

/** Of this version, and of 3.3.5, all artifacts are served that are needed here. */
const newest = "3.4.2";
export const hadoop = process.env["SHEAF_TEST_HADOOP"] ?? newest;
const spark = "3.5.8";

/**
 * Sets of jars, each a directory of the cache by that name. "alone": without what they depend on themselves.
 * @type {Readonly<Record<string, { alone?: true, artifacts: readonly string[] }>>}
 */
const sets = {
  /** HDFS, YARN and HttpFS in one JVM; of the older version HttpFS is not served. */
  [`hadoop-${hadoop}`]: {
    artifacts: [
      `org.apache.hadoop:hadoop-minicluster:${hadoop}`,
      ...(hadoop === newest ? [`org.apache.hadoop:hadoop-hdfs-httpfs:${hadoop}`] : []),
      "junit:junit:4.13.2",
      "org.mockito:mockito-core:4.11.0",
    ],
  },
  [`hadoop-streaming-${hadoop}`]: {
    alone: true,
    artifacts: [`org.apache.hadoop:hadoop-streaming:${hadoop}`],
  },
  /** A client that runs jobs in its own JVM. */
  [`hadoop-local-${hadoop}`]: {
    artifacts: [
      `org.apache.hadoop:hadoop-client-api:${hadoop}`,
      `org.apache.hadoop:hadoop-client-runtime:${hadoop}`,
      `org.apache.hadoop:hadoop-streaming:${hadoop}`,
      "commons-cli:commons-cli:1.9.0",
      "ch.qos.reload4j:reload4j:1.2.22",
      "org.slf4j:slf4j-reload4j:1.7.36",
    ],
  },
  /** What java/ is compiled against. */
  [`compile-${newest}-${spark}`]: {
    alone: true,
    artifacts: [
      `org.apache.hadoop:hadoop-client-api:${newest}`,
      `org.apache.spark:spark-core_2.12:${spark}`,
      `org.apache.spark:spark-common-utils_2.12:${spark}`,
      "org.scala-lang:scala-library:2.12.18",
      // Events of Spark are annotated with it.
      "com.fasterxml.jackson.core:jackson-annotations:2.15.2",
    ],
  },
};

export const names = {
  cluster: `hadoop-${hadoop}`,
  streaming: `hadoop-streaming-${hadoop}`,
  local: `hadoop-local-${hadoop}`,
  hosted: `compile-${newest}-${spark}`,
};

/** Whether the set is there, so that no Maven is needed. */
export function hasJars(name) {
  return existsSync(join(cache, name));
}

/** The directory with the set's jars, which are downloaded unless they are there. Throws when that fails. */
export function jarsOf(name) {
  const directory = join(cache, name);
  if (existsSync(directory)) return directory;
  const { alone, artifacts } = sets[name];
  const only = alone
    ? "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>"
    : "";
  const dependencies = artifacts.map((artifact) => {
    const [group, id, version] = artifact.split(":");
    return `<dependency><groupId>${group}</groupId><artifactId>${id}</artifactId><version>${version}</version>${only}</dependency>`;
  });
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, "maven-"));
  try {
    writeFileSync(
      join(work, "pom.xml"),
      `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>test</groupId>
      <artifactId>test</artifactId><version>1</version><packaging>pom</packaging>
      <dependencies>${dependencies.join("")}</dependencies></project>`,
    );
    const goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", `-DoutputDirectory=${work}/jars`];
    const args = ["-q", "-B", `-Dmaven.repo.local=${work}/repository`, "-f", join(work, "pom.xml"), ...goal];
    execFileSync("mvn", args, { stdio: ["ignore", 2, 2] });
    // Somebody else may have been quicker.
    if (!existsSync(directory)) renameSync(join(work, "jars"), directory);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return directory;
}
