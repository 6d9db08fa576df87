import { join } from "node:path";
import { describeThrown, SheafError } from "../../../base/errors.ts";
import { isExecutable } from "../../../base/programs.ts";
import { FILES_CLASS, FileTool } from "../../../hosted/file-tool.ts";
import { findHadoop, findHostedJar, findStreamingJar } from "../../../hosted/hadoop/find-hadoop.ts";
import { findSpark } from "../../../hosted/spark/find-spark.ts";
import {
  type Environment,
  type Finding,
  failedCheck,
  fail,
  inPath,
  ok,
  programSays,
  warn,
} from "./checks.ts";

/** What a job on Hadoop needs here. */
export async function checkHadoop(env: Environment): Promise<Finding[]> {
  const findings = [await checkJava(env)];
  try {
    const hadoop = findHadoop(env);
    findings.push(await asked("hadoop", hadoop, ["version"], env));
    findings.push(attempt("hadoop streaming", () => findStreamingJar(hadoop, env)));
  } catch (error) {
    findings.push(failedCheck("hadoop", error));
  }
  findings.push(attempt("sheaf's jar", findHostedJar));
  if (findings.some(({ status }) => status === "fail")) return findings;
  return [...findings, ...(await askCluster(env))];
}

/** Servers that do not answer are given up on: by Hadoop's own rules after a quarter of an hour. */
const impatient = {
  "ipc.client.connect.max.retries": "3",
  "ipc.client.connect.max.retries.on.timeouts": "1",
  "ipc.client.connect.timeout": "5000",
  "yarn.resourcemanager.connect.retry-interval.ms": "1000",
  "yarn.resourcemanager.connect.max-wait.ms": "5000",
  "yarn.client.failover-max-attempts": "2",
  "dfs.client.failover.max.attempts": "2",
};

/** What its own client says of the cluster that it is configured for. */
async function askCluster(env: Environment): Promise<Finding[]> {
  const command = [findHadoop(env), "jar", findHostedJar(), FILES_CLASS, "-"] as const;
  const tool = new FileTool(command, env, impatient);
  try {
    const about = await tool.about(["mapreduce.framework.name"]);
    const framework = about.conf["mapreduce.framework.name"] ?? "local";
    const from = about.confDirectory ?? "no configuration";
    const findings = [
      framework === "local"
        ? warn(
            "hadoop jobs",
            `mapreduce.framework.name is local (${from})`,
            "Jobs run on this machine. For a cluster set HADOOP_CONF_DIR to its configuration.",
          )
        : ok("hadoop jobs", `${framework} (${from})`),
    ];
    const files = async (): Promise<string> => {
      const home = await tool.stat(about.home);
      return `${about.home}${home === null ? ", which the first job makes" : ""}`;
    };
    findings.push(await attemptTo("hadoop files", files));
    if (framework !== "local") findings.push(await attemptTo("hadoop nodes", () => nodesOf(tool)));
    return findings;
  } catch (error) {
    return [failedCheck("hadoop client", error)];
  } finally {
    await tool.close();
  }
}

/** @throws SheafError when there is none */
async function nodesOf(tool: FileTool): Promise<string> {
  const nodes = await tool.nodes();
  if (nodes > 0) return `${nodes} can run tasks`;
  const hint = "Start its NodeManagers; `yarn node -list -all` shows their states.";
  throw new SheafError("UNREACHABLE", "YARN has no node that can run tasks", { hint });
}

async function attemptTo(about: string, find: () => Promise<string>): Promise<Finding> {
  try {
    return ok(about, await find());
  } catch (error) {
    return failedCheck(about, error);
  }
}

/** What a job on Spark needs here. Its version is that of its jars: a JVM is slow to say it. */
export async function checkSpark(env: Environment): Promise<Finding[]> {
  const spark = attempt("spark", () => {
    const { submit, version } = findSpark(env);
    return `${version ?? "of unknown version"}, ${submit}`;
  });
  return [await checkJava(env), spark, attempt("sheaf's jar", findHostedJar)];
}

async function checkJava(env: Environment): Promise<Finding> {
  const home = env["JAVA_HOME"] || undefined;
  const java = home === undefined ? inPath("java", env) : join(home, "bin", "java");
  if (java !== undefined && isExecutable(java)) return asked("java", java, ["-version"], env);
  const found =
    home === undefined ? "no JAVA_HOME, and no java in PATH" : `JAVA_HOME is ${home}, without bin/java`;
  return fail(
    "java",
    found,
    "Install a Java runtime (8, 11 or 17, as the engine asks), or set JAVA_HOME to one.",
  );
}

/** The commands of Slurm; nothing where there are none. */
export async function checkSlurm(env: Environment): Promise<Finding[]> {
  const sbatch = inPath("sbatch", env);
  if (sbatch === undefined) return [];
  const missing = ["srun", "squeue", "scontrol", "scancel"].filter((name) => inPath(name, env) === undefined);
  if (missing.length > 0) {
    return [fail("slurm", `${sbatch}, but no ${missing.join(", ")}`, "Install all of Slurm's commands.")];
  }
  const { found, status } = await asked("slurm", sbatch, ["--version"], env);
  // A machine may have the commands and be of no cluster.
  if (status === "fail")
    return [warn("slurm", found, "Only for sheaf slurm: say where its configuration is, SLURM_CONF.")];
  return [ok("slurm", found)];
}

async function asked(
  about: string,
  program: string,
  args: readonly string[],
  env: Environment,
): Promise<Finding> {
  try {
    const [first = "it says nothing"] = (await programSays(program, args, env)).split("\n");
    return ok(about, `${first.trim()}, ${program}`);
  } catch (error) {
    const said = describeThrown(error).split("\n").slice(0, 3).join("; ");
    return fail(about, said, `Run it by hand: ${[program, ...args].join(" ")}.`);
  }
}

function attempt(about: string, find: () => string): Finding {
  try {
    return ok(about, find());
  } catch (error) {
    return failedCheck(about, error);
  }
}
