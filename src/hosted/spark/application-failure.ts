import type { ErrorCode } from "../../base/errors.ts";
import { taskFailure } from "../../worker/failure.ts";
import type { HostFailure } from "../host-engine.ts";
import { failureMark } from "../reports.ts";
import { readTold, type ToldFailure } from "../told-failure.ts";

const linesKept = 30;

/** What usually ends an application, by what is then in its log. The first that is found says it. */
const DEATHS: readonly (readonly [pattern: RegExp, code: ErrorCode, what: string, hint: string])[] = [
  [
    /HADOOP_CONF_DIR or YARN_CONF_DIR must be set/,
    "USAGE",
    "Spark does not know the cluster",
    "Set HADOOP_CONF_DIR to the directory with core-site.xml and yarn-site.xml.",
  ],
  [
    /JAVA_HOME is not set|java: (?:command )?not found|Unable to locate a Java Runtime/,
    "PROGRAM_UNUSABLE",
    "there is no Java",
    "Install one (Spark 4 needs 17 or later) and set JAVA_HOME.",
  ],
  [
    /UnsupportedClassVersionError/,
    "PROGRAM_UNUSABLE",
    "this Java is too old for this Spark",
    "Spark 4 needs Java 17 or later, Spark 3 needs 8, 11 or 17: set JAVA_HOME to such a one.",
  ],
  [
    /Service 'sparkDriver' (?:failed after|could not bind)|Cannot assign requested address/,
    "UNREACHABLE",
    "the driver cannot open its port",
    "Set SPARK_LOCAL_IP to an address of this machine.",
  ],
  [
    /All masters are unresponsive|Failed to connect to master|Master removed our application/,
    "UNREACHABLE",
    "the master of Spark does not answer, or has given the job up",
    "See that the URL of --master is the one that the master's page shows, and that its workers are alive.",
  ],
  [
    /Connecting to ResourceManager[\s\S]*(?:Connection refused|Retrying connect)|ResourceManager[\s\S]*Connection refused/,
    "UNREACHABLE",
    "YARN does not answer",
    "See that HADOOP_CONF_DIR is the cluster's, and that its ResourceManager runs.",
  ],
  [
    /GSS initiate failed|Client cannot authenticate via|No valid credentials provided/,
    "UNAUTHORIZED",
    "the cluster wants a Kerberos ticket",
    "Run kinit first.",
  ],
  [
    /Permission denied: user=\S+/,
    "FORBIDDEN",
    "the file system of the cluster refuses this user",
    "Ask for the right to the directory it names, or give another with --engine-temp or -o.",
  ],
  [
    /GLIBC(?:XX)?_[\d.]+'? not found/,
    "PROGRAM_UNUSABLE",
    "this Node does not run on the machines of the cluster: their C library is older",
    "Give --node-bin a Node that is built for it (unofficial builds for glibc 2.17), or a path there.",
  ],
  [
    /Exec format error|cannot execute binary file/,
    "PROGRAM_UNUSABLE",
    "this Node does not run on the machines of the cluster: their processors are of another kind",
    "Give --node-bin a Node that is built for them.",
  ],
  [
    /No space left on device/,
    "DISK_FULL",
    "a disk is full",
    "Make room in spark.local.dir (SPARK_LOCAL_DIRS; with YARN yarn.nodemanager.local-dirs), or name others.",
  ],
  [
    /beyond the '?(?:VIRTUAL|PHYSICAL)'? memory|beyond (?:virtual|physical) memory|Container killed by YARN for exceeding/i,
    "OUT_OF_MEMORY",
    "YARN has ended an executor that had more memory than it asked for",
    "Raise it: --conf spark.executor.memoryOverhead=2g (the task programs live in it).",
  ],
  [
    /java\.lang\.OutOfMemoryError/,
    "OUT_OF_MEMORY",
    "a JVM of Spark has run out of memory",
    "Raise --conf spark.executor.memory=2g, or spark.driver.memory where that was the driver.",
  ],
  [
    /has failed the maximum allowable number of times|ExecutorLostFailure|Executor heartbeat timed out/,
    "WORKER_LOST",
    "executors were lost again and again",
    "Their logs say why; often it is memory: --conf spark.executor.memoryOverhead=2g.",
  ],
  [
    /UnknownHostException/,
    "UNREACHABLE",
    "a host name cannot be resolved",
    "Where it is this machine's own, set SPARK_LOCAL_IP=127.0.0.1 or add it to /etc/hosts.",
  ],
  [
    /FileAlreadyExistsException/,
    "OUTPUT_EXISTS",
    "the directory of the job's parts is there already",
    "Remove it, or give another output.",
  ],
];

/** The failure of a task that a text tells of: an exception's message, with what the task program said. */
export function failureIn(text: string): ToldFailure | null {
  for (let at = text.indexOf(failureMark); at >= 0; at = text.indexOf(failureMark, at + 1)) {
    const end = text.indexOf("\n", at);
    const told = readTold(text.slice(at + failureMark.length, end < 0 ? undefined : end));
    if (told !== null) return told;
  }
  return null;
}

/**
 * Why an application failed.
 * @param told the driver's exception as Java prints it, if it came so far
 * @param tail the end of Spark's log
 * @param end how spark-submit ended; "" where it has not
 * @param last the attempt that ended the job, where one did
 */
export function applicationFailure(
  told: string | null,
  tail: string,
  end: string,
  last: Pick<HostFailure, "task" | "attempt"> | null = null,
): HostFailure {
  const known = failureIn(told ?? tail);
  if (known !== null) return { ...known, attempt: attemptIn(told ?? "") };
  const found = [told ?? "", tail]
    .map((text) => DEATHS.find(([pattern]) => pattern.test(text)))
    .find((death) => death !== undefined);
  const log = (told ?? tail).trimEnd().split("\n");
  const said = told === null ? lastSaid(log) : firstCause(log);
  const failure = taskFailure(found?.[1] ?? "WORKER_LOST", described(found?.[2], said, end), {
    hint: found?.[3] ?? "What Spark said last is below; its own logs have the rest.",
    phase: /^(?:map|reduce)/.exec(last?.task ?? "")?.[0] ?? "spark",
    blame: "system",
    log: told === null ? log.slice(-linesKept) : log.slice(0, linesKept),
  });
  return { task: null, attempt: 0, ...last, failure };
}

/** Which attempt of its task ended the job: "Lost task 7.3 in stage 1.0" is the fourth. 0: it is not said. */
function attemptIn(told: string): number {
  const number = /: Lost task \d+\.(\d+) in stage /.exec(told)?.[1];
  return number === undefined ? 0 : Number(number) + 1;
}

function described(what: string | undefined, said: string | undefined, end: string): string {
  const parts = [what ?? (end === "" ? undefined : `spark-submit ${end}`), said];
  return parts.filter((one) => one !== undefined).join(": ");
}

/** Of a Java stack the last cause, whose message says most. */
export function firstCause(lines: readonly string[]): string | undefined {
  const causes = lines.filter((line) => line.startsWith("Caused by: "));
  return (causes.at(-1) ?? lines[0])?.replace(/^Caused by: /, "").slice(0, 1_000);
}

/** The last line of a log that is an error or an exception, without its time. */
function lastSaid(lines: readonly string[]): string | undefined {
  const line = lines.findLast((one) => /\b(?:ERROR|Error|Exception)\b|Exception:/.test(one));
  return (line ?? lines.findLast((one) => one.trim() !== ""))?.slice(0, 1_000);
}
