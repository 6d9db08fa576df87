import assert from "node:assert/strict";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, suite, test } from "node:test";
import { systemClock } from "#src/base/clock.js";
import { isSheafError } from "#src/base/errors.js";
import { causeOf, failureOfTold } from "#src/hosted/hadoop/causes.js";
import { attemptOfHadoop, ClientLog, taskOfHadoop } from "#src/hosted/hadoop/client-log.js";
import { checkConf, type Places, streamingWords } from "#src/hosted/hadoop/command.js";
import { findHadoop, findStreamingJar } from "#src/hosted/hadoop/find-hadoop.js";
import { causeInHistory } from "#src/hosted/hadoop/history.js";
import { parentOf } from "#src/hosted/hadoop/remote-output.js";
import type { HostJob } from "#src/hosted/host-engine.js";
import { readTold } from "#src/hosted/told-failure.js";
import { taskFailure } from "#src/worker/failure.js";

function directory(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), "sheaf-hadoop-parts-"));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

function put(path: string, mode = 0o644): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, "");
  chmodSync(path, mode);
  return path;
}

suite("where Hadoop is", () => {
  test("variables go before PATH, and what cannot be executed is none", (t) => {
    const root = directory(t);
    const inPath = put(join(root, "path/hadoop"), 0o755);
    const inHome = put(join(root, "home/bin/hadoop"), 0o755);
    put(join(root, "other/bin/hadoop"));
    const [home, other] = [join(root, "home"), join(root, "other")];
    const path = { PATH: `relative:${join(root, "path")}` };
    assert.equal(findHadoop({ HADOOP_HOME: home, ...path }), inHome);
    assert.equal(findHadoop({ HADOOP_HOME: other, HADOOP_PREFIX: home, ...path }), inHome);
    assert.equal(findHadoop({ HADOOP_HOME: other, ...path }), inPath);
    assert.throws(() => findHadoop({ PATH: join(root, "nothing") }), /no `hadoop` command/);
  });

  test("the streaming jar with the shortest name, by what the command is a link to", (t) => {
    const root = directory(t);
    const hadoop = put(join(root, "hadoop-3/bin/hadoop"), 0o755);
    mkdirSync(join(root, "bin"));
    symlinkSync(hadoop, join(root, "bin/hadoop"));
    const at = (name: string): string => join(root, "hadoop-3/share/hadoop/tools", name);
    for (const name of ["sources/hadoop-streaming-3.4.2-sources.jar", "hadoop-streaming-3.4.2-tests.jar"])
      put(at(name));
    put(at("streaming.jar"));
    assert.throws(() => findStreamingJar(join(root, "bin/hadoop"), {}), /no hadoop-streaming-\*\.jar/);
    const jar = put(at("lib/hadoop-streaming-3.4.2.jar"));
    put(at("lib/hadoop-streaming-3.4.2-cdh7.jar"));
    assert.equal(findStreamingJar(join(root, "bin/hadoop"), {}), jar);
    const given = put(join(root, "mine.jar"));
    assert.equal(findStreamingJar(hadoop, { HADOOP_STREAMING_JAR: given }), given);
    assert.throws(() => findStreamingJar(hadoop, { HADOOP_STREAMING_JAR: `${given}x` }), /no such file/);
  });
});

const job: HostJob = {
  jobId: "j1",
  name: "word count",
  home: "/w/home",
  splits: "/w/home/splits",
  mapTasks: 4,
  reduces: 2,
  scratch: "/w/scratch",
  attempts: 3,
  heapBytes: null,
  memoryBytes: 2 ** 28,
  output: "/out",
};
const places: Places = {
  jar: "/p/sheaf.jar",
  splits: "hdfs:///t/splits",
  output: "hdfs:///t/out",
  home: ".",
  archives: ["hdfs:///c/node-1.tgz#node", "hdfs:///c/sheaf-1.tgz#sheaf"],
  errors: "hdfs:///t/errors",
  localTemp: null,
};
const options = { conf: {}, speculation: true, hadoop: "3.4.2", localTasks: 2 };

suite("the command", () => {
  /** Properties by name: the last one of a name wins, as in Hadoop. */
  function properties(words: readonly string[]): Map<string, string> {
    const found = new Map<string, string>();
    for (const [at, word] of words.entries()) {
      if (word !== "-D") continue;
      const [name = "", ...value] = words[at + 1]!.split("=");
      found.set(name, value.join("="));
    }
    return found;
  }

  test("has Hadoop's own options first, and the user's properties before what results need", () => {
    const conf = { "mapreduce.map.memory.mb": "4096", "mapreduce.job.queuename": "a=b c" };
    const words = streamingWords(job, places, { ...options, conf });
    const generic = words.findIndex((word) => word === "-io");
    assert.ok(words.every((word, at) => !/^-(?:D|archives|libjars)$/.test(word) || at < generic));
    const found = properties(words);
    assert.equal(found.get("mapreduce.map.memory.mb"), "4096");
    assert.equal(found.get("mapreduce.job.queuename"), "a=b c");
    assert.equal(found.get("mapreduce.reduce.memory.mb"), "2048");
    assert.equal(found.get("mapreduce.fileoutputcommitter.algorithm.version"), "1");
    assert.equal(found.get("mapreduce.map.failures.maxpercent"), "0");
    assert.equal(found.get("mapreduce.job.ubertask.enable"), "false");
    assert.equal(found.get("stream.stderr.reporter.prefix"), "sheaf-reporter:");
    assert.equal(words[words.indexOf("-archives") + 1], places.archives.join(","));
    assert.equal(words[words.indexOf("-mapper") + 1], "/bin/sh ./sheaf/run.sh map");
    assert.equal(words[words.indexOf("-reducer") + 1], "/bin/sh ./sheaf/run.sh reduce");
  });

  test("maps alone have no partitioner; paths with spaces are quoted", () => {
    const words = streamingWords({ ...job, reduces: 0 }, { ...places, home: "/a b's" }, options);
    assert.ok(!words.includes("-partitioner"));
    assert.equal(words[words.indexOf("-reducer") + 1], "NONE");
    assert.equal(words[words.indexOf("-mapper") + 1], `/bin/sh "/a b's/sheaf/run.sh" map`);
    assert.throws(() => streamingWords(job, { ...places, home: `a'"` }, options), { code: "USAGE" });
  });

  test("without a jar tasks are told by lines, and write what is read here", () => {
    const words = streamingWords(job, { ...places, jar: null, errors: null }, options);
    assert.ok(!words.some((word) => word.includes("dev.sheaf") || word === "-libjars"));
    assert.equal(words[words.indexOf("-input") + 1], places.splits);
    assert.match(words[words.indexOf("-inputformat") + 1]!, /NLineInputFormat$/);
    assert.match(words[words.indexOf("-outputformat") + 1]!, /SequenceFileOutputFormat$/);
    const found = properties(words);
    assert.equal(found.get("mapreduce.output.fileoutputformat.compress"), "false");
    assert.equal(found.get("mapreduce.input.lineinputformat.linespermap"), "1");
    for (const name of found.keys())
      if (/lineinput|linerecord|compress$|delimiter$/.test(name) && name !== "mapreduce.map.output.compress")
        assert.throws(() => checkConf({ [name]: "1" }), { code: "USAGE" }, name);
  });

  test("a container has room for the JVM, the heap and the data", () => {
    const large = { ...job, heapBytes: 2 ** 31, memoryBytes: 2 ** 30 };
    const mb = Number(properties(streamingWords(large, places, options)).get("mapreduce.map.memory.mb"));
    assert.ok(mb >= 3 * 1024 + 800 && mb < 5 * 1024, String(mb));
    const older = streamingWords(job, places, { ...options, hadoop: "3.3.6" }).join(" ");
    assert.match(older, /--add-opens/);
    assert.doesNotMatch(streamingWords(job, places, options).join(" "), /--add-opens/);
  });

  test("properties that results depend on are refused by name, old names too, and all that are set are", () => {
    const refused = [
      "mapred.reduce.tasks",
      "mapreduce.job.reduces",
      "mapreduce.map.failures.maxpercent",
      "mapred.max.map.failures.percent",
      "mapreduce.fileoutputcommitter.algorithm.version",
      "mapreduce.job.output.key.comparator.class",
      "mapred.output.key.comparator.class",
      "mapreduce.job.committer.setup.cleanup.needed",
      "stream.map.output",
      "sheaf.splits",
      "tmparchives",
    ];
    for (const name of refused)
      assert.throws(() => checkConf({ [name]: "1" }), { code: "USAGE", message: new RegExp(name) });
    assert.throws(() => checkConf({ "a b": "1" }), { code: "USAGE" });
    checkConf({
      "mapreduce.map.memory.mb": "1",
      "yarn.app.mapreduce.am.resource.mb": "1",
      "fs.defaultFS": "x",
    });
    // Whatever a job needs so is also refused to users.
    const words = streamingWords(job, places, { ...options, conf: { "mapreduce.job.reduces": "77" } });
    assert.equal(properties(words).get("mapreduce.job.reduces"), "2");
  });
});

suite("the client's log", () => {
  function heard(text: string): { log: ClientLog; told: string[] } {
    const told: string[] = [];
    const log = new ClientLog({
      progress: (phase, share) => told.push(`${phase} ${share}`),
      attemptFailed: (attempt, message) => told.push(`failed ${attempt}: ${message}`),
      tracking: (url, id) => told.push(`tracking ${id} ${url ?? "nowhere"}`),
      waiting: (server) => told.push(`waiting ${server}`),
      log: (line) => told.push(`log ${line}`),
    });
    for (const line of text.split("\n")) log.line(line);
    log.finish();
    return { log, told };
  }

  test("of a job on YARN in which an attempt fails, and then the job", () => {
    const { log, told } = heard(`WARNING: log4j has no appenders
2026-11-29 14:00:00,123 INFO impl.YarnClientImpl: Submitted application application_1_01
2026-11-29 14:00:00,200 INFO mapreduce.Job: The url to track the job: http://rm/proxy/a1/
2026-11-29 14:00:00,201 INFO mapreduce.Job: Running job: job_1_01
2026-11-29 14:00:09,000 INFO mapreduce.Job:  map 0% reduce 0%
26/11/29 14:00:10 INFO mapreduce.Job: Task Id : attempt_1_01_m_000003_0, Status : FAILED
Error: java.lang.RuntimeException: PipeMapRed.waitOutputThreads(): subprocess failed with code 3
\tat org.apache.hadoop.streaming.PipeMapRed.waitOutputThreads(PipeMapRed.java:326)

2026-11-29 14:00:12,000 INFO mapreduce.Job: Task Id : attempt_1_01_m_000002_1, Status : KILLED
2026-11-29 14:00:13,000 INFO mapreduce.Job:  map 67% reduce 11%
2026-11-29 14:00:13,900 INFO mapreduce.Job:  map 100% reduce 100%
26-11-29 14:00:14 INFO Job: Job job_1_01 failed with state FAILED due to: Task failed task_1_01_m_000003
Job failed as tasks failed. failedMaps:1 failedReduces:0 killedMaps:0 killedReduces: 0

2026-11-29 14:00:14,001 INFO mapreduce.Job: Counters: 8
\tJob Counters
2026-11-29 14:00:14,002 ERROR streaming.StreamJob: Job not successful!
Streaming Command Failed!`);
    assert.deepEqual([log.jobId, log.applicationId], ["job_1_01", "application_1_01"]);
    assert.equal(log.end?.kind === "failed" && log.end.task, "task_1_01_m_000003");
    assert.deepEqual(
      told.map((line) => line.split("\n")[0]),
      [
        "tracking job_1_01 http://rm/proxy/a1/",
        "map 0",
        "reduce 0",
        "failed attempt_1_01_m_000003_0: Error: java.lang.RuntimeException: PipeMapRed.waitOutputThreads(): " +
          "subprocess failed with code 3",
        "map 0.67",
        "reduce 0.11",
      ],
    );
  });

  test("of a job in the client's JVM: what tasks print is theirs, their failures are kept", () => {
    const { log, told } = heard(`packageJobJar: [] [] /tmp/x.jar tmpDir=null
2026-11-29 14:00:00,200 INFO mapreduce.Job: The url to track the job: http://localhost:8080/
2026-11-29 14:00:00,201 INFO mapreduce.Job: Running job: job_local1_0001
seen by user code
sheaf-error: {"a":1}
2026-11-29 14:00:01,000 WARN mapred.LocalJobRunner: job_local1_0001
java.lang.Exception: java.lang.RuntimeException: PipeMapRed
\tat org.apache.hadoop.mapred.LocalJobRunner$Job.runTasks(LocalJobRunner.java:492)
Caused by: java.lang.RuntimeException: PipeMapRed
2026-11-29 14:00:02,000 INFO mapreduce.Job: Job job_local1_0001 failed with state FAILED due to: NA`);
    assert.deepEqual(log.errors, ['{"a":1}']);
    assert.deepEqual(told, ["tracking job_local1_0001 nowhere", "log seen by user code"]);
    assert.deepEqual(log.end, { kind: "failed", state: "FAILED", reason: "NA", task: null });
  });

  test("of a job that ends well: where its maps were started; its page has an address, or there is none", () => {
    const { log, told } =
      heard(`2026-11-29 14:00:00,200 INFO mapreduce.Job: The url to track the job: http://rm:0/proxy/a1/
2026-11-29 14:00:00,201 INFO mapreduce.Job: Running job: job_1_01
\t\tData-local map tasks=77
2026-11-29 14:00:09,000 INFO mapreduce.Job: Job job_1_01 completed successfully
2026-11-29 14:00:09,001 INFO mapreduce.Job: Counters: 54
\tJob Counters${" "}
\t\tLaunched map tasks=6
\t\tOther local map tasks=1
\t\tData-local map tasks=5
\tMap-Reduce Framework
2026-11-29 14:00:09,002 INFO streaming.StreamJob: Output directory: hdfs:///t/out`);
    assert.deepEqual(told.slice(1), ["map 1", "reduce 1"]);
    assert.deepEqual(log.placed, { local: 5, rack: 0, other: 1 });
    assert.equal(told[0], "tracking job_1_01 nowhere");
    assert.equal(heard("").log.placed, null);
  });

  test("of a client that reaches nobody: said once", () => {
    const line = (n: number): string =>
      `2026-11-29 14:00:0${n},1 INFO ipc.Client: Retrying connect to server: rm/10.0.0.1:8032. Already tried ${n} ` +
      "time(s); retry policy is RetryUpToMaximumCountWithFixedSleep(maxRetries=10, sleepTime=1000 MILLISECONDS)";
    assert.deepEqual(heard([0, 1, 2, 3].map(line).join("\n")).told, ["waiting rm/10.0.0.1:8032"]);
  });

  test("names of tasks", () => {
    assert.equal(taskOfHadoop("task_1795962217855_0001_m_000003"), "map-00003");
    assert.equal(taskOfHadoop("attempt_1795962217855_0001_r_000012_1000"), "reduce-00012");
    assert.equal(taskOfHadoop("attempt_local441202785_0001_m_123456_0"), "map-123456");
    assert.equal(taskOfHadoop("job_1_0001"), null);
  });

  test("numbers of attempts, from 1; where a second application master counts anew, none", () => {
    assert.equal(attemptOfHadoop("attempt_1795962217855_0001_r_000012_0"), 1);
    assert.equal(attemptOfHadoop("attempt_local441202785_0001_m_123456_3"), 4);
    assert.equal(attemptOfHadoop("attempt_1795962217855_0001_r_000012_1000"), 0);
    assert.equal(attemptOfHadoop("task_1795962217855_0001_m_000003"), 0);
    assert.equal(attemptOfHadoop(null), 0);
  });
});

test("what people have met: each has its code and something to do", () => {
  const cases: readonly (readonly [said: string, code: string, hint: RegExp])[] = [
    [
      "Container [pid=1,containerID=c] is running 1GB beyond the 'VIRTUAL' memory limit. Current usage: ... Container " +
        "killed on request. Exit code is 143",
      "OUT_OF_MEMORY",
      /memory\.mb=4096.*vmem-check/,
    ],
    [
      "is running 9B beyond the 'PHYSICAL' memory limit. Current usage: 3.1 GB of 3 GB physical memory used; 4",
      "OUT_OF_MEMORY",
      /map\.memory\.mb=6144 /,
    ],
    [
      "node: /lib64/libc.so.6: version `GLIBC_2.28' not found (required by node)",
      "PROGRAM_UNUSABLE",
      /--node-bin/,
    ],
    ["bash: ./node/bin/node: cannot execute binary file: Exec format error", "PROGRAM_UNUSABLE", /arm64/],
    ["./sheaf/run.sh: 40: exec: ./node/bin/node: not found", "PROGRAM_UNUSABLE", /--node-bin/],
    ["java.io.IOException: No space left on device", "DISK_FULL", /local-dirs/],
    ["AttemptID:attempt_1 Timed out after 600 secs", "NO_PROGRESS", /ctx\.progress/],
    [
      "AttemptID:attempt_1 task timeout set: 5s, taskTimedOut: true; task stuck timeout set: 600s, taskStuck: false",
      "NO_PROGRESS",
      /ctx\.progress/,
    ],
    [
      "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
      "OUT_OF_MEMORY",
      /./,
    ],
    [
      "Invalid resource request! Cannot allocate containers as requested resource is greater",
      "USAGE",
      /scheduler/,
    ],
    ["Application application_1 submitted by user u to unknown queue: x", "USAGE", /queuename/],
    ['AccessControlException: Permission denied: user=me, access=WRITE, inode="/"', "FORBIDDEN", /writable/],
    [
      "Call From a/1 to b:8020 failed on connection exception: java.net.ConnectException",
      "UNREACHABLE",
      /runs/,
    ],
    [
      "GSSException: No valid credentials provided (Failed to find any Kerberos tgt)",
      "UNAUTHORIZED",
      /kinit/,
    ],
    ["PipeMapRed.waitOutputThreads(): subprocess failed with code 137", "WORKER_LOST", /memory/],
  ];
  for (const [said, code, hint] of cases) {
    const failure = failureOfTold({ text: said, more: null }, "map");
    assert.equal(failure.code, code, said);
    assert.match(failure.hint ?? "", hint, said);
  }
  assert.equal(causeOf("nothing known"), null);
  const unknown = failureOfTold(
    { text: "Error: x\n\tat a.B.c(B.java:1)\nsubprocess failed with code 9", more: "url" },
    "map",
  );
  assert.match(unknown.message, /exit code 9/);
  assert.deepEqual([unknown.log.length, /url/.test(unknown.hint ?? "")], [2, true]);
});

test("what tasks say of failures is taken for nothing else", () => {
  const failure = taskFailure("USER_CODE", "x", { name: "TypeError", stack: "TypeError: x" });
  assert.deepEqual(readTold(JSON.stringify({ ...failure, task: "map-00001" })), {
    task: "map-00001",
    failure,
  });
  assert.equal(readTold(JSON.stringify({ ...failure, task: "" }))?.task, null);
  for (const bad of ["", "{", "1", "null", "{}", JSON.stringify(failure), '{"task":"map-00001","code":"X"}'])
    assert.equal(readTold(bad), null);
  assert.equal(isSheafError(failure), false);
});

test("the history server is asked until it knows why; one that is not there, or asks who asks, is let be", async () => {
  const asked: string[] = [];
  const told: Record<string, unknown> = {
    "/jobs/job_1/tasks": {
      tasks: {
        task: [
          { id: "t1", state: "SUCCEEDED" },
          { id: "t2", state: "FAILED" },
        ],
      },
    },
    "/jobs/job_1/tasks/t2/attempts": {
      taskAttempts: {
        // In no order.
        taskAttempt: [
          { id: "a_2", state: "KILLED" },
          { id: "a_1", state: "FAILED", diagnostics: "beyond", assignedContainerId: "c1" },
          { id: "a_0", state: "FAILED", diagnostics: "before", assignedContainerId: "c0" },
        ],
      },
    },
  };
  const server = createServer(({ url = "" }, response) => {
    asked.push(url);
    const path = url.replace("/ws/v1/history/mapreduce", "");
    if (path.startsWith("/jobs/secret")) return void response.writeHead(401).end();
    // Nobody has the log while it is on its way from the node.
    const timesAsked = asked.filter((one) => one.includes("containerlogs")).length;
    if (path === "/ws/v1/history/containerlogs/c1/stderr" && timesAsked === 1)
      return void response.end("Can not find logs for container:c1");
    if (path === "/ws/v1/history/containerlogs/c1/stderr" && timesAsked > 2)
      return void response.end("Container: c1\nLogContents:\nthe log\nEnd of LogType:stderr.\n");
    // It has not heard of the job at first.
    const answer = asked.length === 1 ? undefined : told[path];
    response.writeHead(answer === undefined ? 404 : 200).end(JSON.stringify(answer ?? {}));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    const found = await causeInHistory(address, "job_1", null, systemClock);
    assert.deepEqual(found, { task: "t2", attempt: "a_1", text: "beyond\nthe log" });
    assert.equal(asked.filter((url) => url.endsWith("/tasks")).length, 4);
    const before = asked.length;
    assert.equal(await causeInHistory(address, "secret", null, systemClock), null);
    assert.equal(asked.length, before + 1);
  } finally {
    server.close();
    server.closeAllConnections();
  }
  // A clock that stands still: it would be asked for ever.
  assert.equal(await causeInHistory(address, "job_1", null, { ...systemClock, nowMs: () => 0 }), null);
});

test("directories above addresses", () => {
  assert.equal(parentOf("hdfs:///out"), "hdfs:///");
  assert.equal(parentOf("hdfs://h:1/a/b/"), "hdfs://h:1/a/");
});
