// docs/limits.md, made of the tables that hold the numbers.
import { errorCharsMax } from "../modules/base/errors.js";
import { limits, settings } from "../modules/base/limits.js";
import { formatSize, KiB, MiB } from "../modules/base/size.js";
import { clientLeases, limitDefaults, timingDefaults } from "../modules/coordinator/settings.js";
import { fetchLimits } from "../modules/exchange/fetch-stream.js";
import { jobPolicyDefaults } from "../modules/scheduler/policy.js";

const number = (value) => String(value).replace(/\B(?=(\d{3})+$)/g, ",");
const seconds = (ms) => `${number(ms / 1000)} s`;
const from = ({ min, max }, unit = number) =>
  max === undefined || max === Number.MAX_SAFE_INTEGER
    ? `${unit(min)} and up`
    : `${unit(min)} to ${unit(max)}`;

const { workers, memoryBytes, heapBytes, mappers, partitions, partBytes, attempts, noProgressMs } = settings;
const heap =
  `${formatSize(heapBytes.leastByDefault)} to ${formatSize(heapBytes.mostByDefault)}; ` +
  `on nodes of Hadoop and Spark ${formatSize(heapBytes.elsewhere)}`;
const rows = [
  ["workers", "one per core, never more than there are tasks", from(workers), "`--workers`"],
  [
    "memory for data, per worker",
    formatSize(memoryBytes.default),
    from(memoryBytes, formatSize),
    "`--memory`",
  ],
  [
    "JavaScript heap, per worker",
    `a share of three quarters of the machine's memory, ${heap}`,
    from(heapBytes, formatSize),
    "`--heap`",
  ],
  [
    "bytes per map task",
    "at least 4 tasks per worker, each of 4 to 64 MiB; on Hadoop and Spark each of 32 to 128 MiB",
    `1 byte and up, at most ${number(mappers.max)} tasks`,
    "`--split-size`, `--mappers`",
  ],
  [
    "partitions of a collection",
    "one per 128 MiB of input, above 8 rounded up to 10, 12, 14, 16, 20, ..., at most 1,000; " +
      "one per task of generated input, at most 8",
    from(partitions),
    "`partitions`, `--partitions`",
  ],
  [
    "size of an output file",
    `${formatSize(partBytes.default)}, then the next part begins`,
    "1 byte and up",
    "`--part-size`",
  ],
  ["attempts of a task", number(attempts.default), from(attempts), "`--attempts`"],
  ["losses of a task (worker killed, disk trouble)", "4, or the attempts if more"],
  ["time without a finished record", seconds(noProgressMs.default), "0: no limit", "`--no-progress-timeout`"],
  ["a record of input", formatSize(settings.recordBytes.default), "", "the reader's `recordBytesMax`"],
  [
    "window of a zstd frame",
    `${formatSize(limits.zstdWindowBytesMax)}; with a larger one at most ${formatSize(limits.zstdWindowBytesMax)} of content`,
  ],
  ["paths that the braces of an input make", number(limits.bracedPathsMax)],
  [
    "requests for a file of a storage that run ahead of who reads it",
    `${limits.storageRequestsAhead}, of ${formatSize(limits.storageRequestBytes)}`,
  ],
  [
    "time for which a storage is asked again that does not answer",
    `${seconds(limits.storageRetryMs)}, anew whenever bytes come`,
  ],
  ["files of an output in a storage that are uploaded at once", number(limits.storageUploadsAtOnce)],
  ["what a storage calls a version of a file", `${number(limits.storageVersionCharsMax)} characters`],
  ["a key, encoded", formatSize(limits.keyBytesMax)],
  ["nesting of a key", `${number(limits.keyDepthMax)} arrays`],
  ["nesting of a value", `${number(limits.valueDepthMax)} levels`],
  ["a value, a group", "no limit; a group streams"],
  ["new files with map tasks of their own in an incremental run", `${limits.keptApartMax}; more share tasks`],
  [
    "side data (`aux`), its files and what is in them",
    formatSize(settings.auxBytes.default),
    `at most ${number(limits.auxFilesMax)} files`,
    "`--max-aux`",
  ],
  ["files that gave no record, named in the summary", `${limits.emptyFilesNamed}, the others counted`],
  [
    "bad records",
    "0: the first one fails the job",
    "a number, or a share of the records read, judged when all maps are done",
    "`--max-bad`",
  ],
  ["runs merged at once", `what fits the memory, at most ${limits.mergeFanIn}; more take several passes`],
  [
    "block of a run file, raw",
    `${formatSize(limits.blockBytes)}, or a 256th of the memory (16 KiB at least)`,
  ],
  [
    "names of `route()` in one task",
    `${number(limits.outputNamesMax)}, of ${number(limits.outputNameCharsMax)} characters, ` +
      `${limits.outputSegmentBytesMax} bytes between two \`/\``,
  ],
  ["output files open at once by `route()`", number(limits.outputFilesOpenMax)],
  [
    "memory in which results of `route()` wait",
    `${formatSize(limits.outputsHeldBytes)}, or a quarter of a task's`,
  ],
  [
    "values in `collect()`, `distinct()`, `set()`",
    "see each in [job-api.md](job-api.md#aggregators)",
    "",
    "`max`",
  ],
  [
    "what a map task tells while its job runs",
    `${number(limits.liveKeysMax)} keys of a collection, ${formatSize(limits.liveBytesMax)}; ` +
      `${number(limits.liveKeysMergedMax)} keys and ${formatSize(limits.liveMergedBytesMax)} of all tasks`,
  ],
  [
    "a partial result",
    `${number(limits.liveKeysShownMax)} keys of a collection, ${number(limits.liveEventCharsMax)} characters of it, ` +
      `${number(limits.liveValueCharsMax)} of a value`,
  ],
  ["jobs kept in the history", number(limits.jobsKept)],
  [
    "time between two looks of `sheaf watch`",
    `${settings.watchIntervalMs.default / 1000} s`,
    `${settings.watchIntervalMs.min / 1000} s and up`,
    "`--interval`",
  ],
  [
    "a run of `sheaf watch`",
    `${number(limits.watchFilesMax)} new files, the others in the next; after one that failed 1 s, 2 s, 4 s ... ${number(limits.watchAgainMs / 1000)} s`,
  ],
  [
    "a `sheaf.config.ts`",
    `${number(limits.configLoadMs / 1000)} s to load, ${number(limits.configCharsMax)} characters of data as JSON`,
  ],
  [
    "map outputs kept with the capsule of a reduce",
    `${formatSize(limits.capsuleInputBytesMax)}; on a cluster ${formatSize(limits.capsuleSliceBytesMax)} of its partition`,
  ],
  [
    "attempts of a task that `--chaos` may hit, and for how long it lets one run or wait",
    `the first ${limits.chaosAttemptsMax}, up to ${limits.chaosDelayMsMax / 1000} s`,
  ],
  ["steps of a pipeline that run at one time", number(limits.stepsAtOnce)],
  ["log of one task", formatSize(limits.taskLogBytesMax)],
  [
    "counters of one task",
    `${number(limits.countersMax)}, with names of ${limits.counterNameCharsMax} characters`,
  ],
  [
    "text of an error, its hint and its stack",
    `${number(errorCharsMax)} characters each; of longer ones the middle is left out`,
  ],
  ["a message of a worker process", formatSize(limits.workerMessageBytesMax)],
  [
    "a worker in another language that is not heard of",
    `${seconds(settings.workerTimeoutMs.default)}, then it is lost`,
    "",
    "`--worker-timeout`",
  ],
  [
    "validity of a certificate, of an authority",
    `${settings.certificateDays.default} and ${number(settings.authorityDays.default)} days`,
    `${from(settings.certificateDays)} days`,
    "`sheaf certs --days`",
  ],
];

const { cores, priority, slots, agents, heartbeatMs, leaseMs, graceMs, retention, listed } = settings;
const { serverBodyBytesMax: body, serverBodyValuesMax: values } = limits;
const { serverLargeBodyBytesMax: large, serverLargeBodyValuesMax: largeValues } = limits;
const { streams, streamsPerPeer, tries, pauseMs, stallMs, stallBytes, batchBytes } = fetchLimits;
const { nodesLostMax, fetchFailuresMax, outputChangesMax, barAfterFailures, barMs } = jobPolicyDefaults;
const clusterRows = [
  ["cores of a job", "as many as there are tasks for", from(cores), "`--cores`"],
  ["priority of a job", number(priority.default), from(priority), "`--priority`"],
  ["losses of a task", `${number(jobPolicyDefaults.lossesMax)}, or the attempts if more`],
  ["agents that may be lost while they run one task", number(nodesLostMax)],
  ["failed fetches of one map output", number(fetchFailuresMax)],
  ["lost map outputs of a job that come out differently", number(outputChangesMax)],
  [
    "failures of a job on one agent",
    `${barAfterFailures}, then it gets none of its tasks for ${seconds(barMs)}`,
  ],
  ["tasks an agent runs at a time", "one less than it has cores, at least 1", from(slots), "`--slots`"],
  ["agents of `sheaf cluster up`", number(agents.default), from(agents), "`--agents`"],
  [
    "memory of a worker in all",
    "the job's memory and heap, and what a process needs",
    from(settings.workerMemoryBytes, formatSize),
    "`--worker-memory`",
  ],
  ["time between heartbeats", seconds(heartbeatMs.default), "", "`--heartbeat`"],
  ["an agent that is not heard of", `${seconds(leaseMs.default)}, then it is lost`, "", "`--lease`"],
  [
    "a client that is not heard of",
    `${clientLeases} times the lease (${seconds(clientLeases * leaseMs.default)}), then its job is cancelled`,
    "",
    "`--lease`",
  ],
  ["an agent that is to end waits for what runs", seconds(graceMs.default), "", "`--grace`"],
  ["jobs that have not ended", number(limitDefaults.jobsMax)],
  ["map tasks of a job, and reduce tasks", number(limitDefaults.tasksMax)],
  ["a job is kept for a time of its own", "no", "a minute to ten years", "`--keep`"],
  ["bundles kept of jobs that are not", number(limits.bundlesKept), "", "`--keep-bundle`"],
  ["schedules", number(limits.schedulesMax), "", "`sheaf schedule add`"],
  ["jobs that one job follows", number(limits.afterMax), "", "`--after`"],
  ["bad records that are tried again alone", number(limits.retriedMax), "", "`sheaf bad retry`"],
  ["ended jobs kept, with results and logs", number(retention.default), from(retention), "`--retention`"],
  ["printed lines kept of one job", formatSize(limitDefaults.logBytesMax)],
  ["jobs that are listed at once", number(listed.default), from(listed), "`--limit`, `--all`"],
  [
    "planning or a commit that does not move on",
    `${seconds(timingDefaults.errandStillMs)}, then another agent gets it`,
  ],
  [
    "names",
    `of an agent ${limits.agentNameCharsMax} characters, of a job and its labels ${limits.labelCharsMax}`,
  ],
  ["inputs, collections, side data files of a job", `${number(limits.jobPartsMax)} each`],
  [
    "body of a request to a server",
    `${formatSize(body)}, ${number(values)} values, nested ${number(limits.valueDepthMax + 50)} deep, ` +
      `each text or number in it ${formatSize(limits.serverTokenBytesMax)}; ` +
      `a job ${formatSize(limits.submissionBytesMax)}; reports, plans and commits of agents ` +
      `${formatSize(large)}, ${number(largeValues)} values`,
  ],
  [
    "headers of a request",
    `${formatSize(limits.serverHeaderBytesMax)}, within ${seconds(limits.serverHeadersMs)}; ` +
      `all of it within ${seconds(limits.serverRequestMs)}`,
  ],
  [
    "map outputs fetched at once by an agent",
    `${streams} requests, ${streamsPerPeer} to one agent, of about ${formatSize(batchBytes)} or 500 map outputs`,
  ],
  [
    "tries for a map output",
    `${tries} in a row that bring nothing, ${pauseMs / 1000} s and ${(3 * pauseMs) / 1000} s apart; ` +
      "a damaged one is fetched again once",
  ],
  [
    "a fetch that stalls",
    `less than ${stallBytes / KiB} KiB within ${seconds(stallMs)}: that try has failed`,
  ],
  ["map outputs sent at once by an agent", `32 requests, ${formatSize(MiB)} of memory each; more wait`],
  ["connections to a server", number(limits.serverConnectionsMax)],
  [
    "requests on one connection that wait for their answers",
    `${limits.serverRequestsQueuedMax}; one more ends the connection`,
  ],
];

export function limitsPage() {
  return `# Limits and defaults

All sizes are bytes with units of 1024. What a flag or option sets is named with it; the rest is fixed.
\`npm run docs\` makes this page of [\`src/base/limits.ts\`](../src/base/limits.ts) and of the
tables of its parts.

${table(["what", "default", "range", "set by"], rows)}

## On a cluster

${table(["what", "default", "range", "set by"], clusterRows)}
`;
}

function table(head, lines) {
  const line = (cells) => `|${head.map((_, i) => (cells[i] ? ` ${cells[i]} |` : " |")).join("")}`;
  return [line(head), line(head.map(() => "---")), ...lines.map(line)].join("\n");
}
