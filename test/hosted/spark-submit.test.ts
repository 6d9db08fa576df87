import assert from "node:assert/strict";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import type { HostJob, HostListener } from "#src/hosted/host-engine.js";
import { applicationFailure, failureIn } from "#src/hosted/spark/application-failure.js";
import { ApplicationSaid, type JobSaid } from "#src/hosted/spark/application-said.js";
import { findSpark, sparkDefaults } from "#src/hosted/spark/find-spark.js";
import { sparkSettings } from "#src/hosted/spark/spark-settings.js";
import { submitArguments } from "#src/hosted/spark/submit-command.js";
import { taskFailure } from "#src/worker/failure.js";
import { tempDir } from "../cli/support.ts";

const job: HostJob = {
  jobId: "j1",
  name: "word count",
  home: "/w/a b/home",
  splits: "/w/a b/home/job/splits",
  mapTasks: 4,
  reduces: 2,
  scratch: "/w/a b/scratch",
  attempts: 3,
  heapBytes: 384 * 2 ** 20,
  memoryBytes: 512 * 2 ** 20,
  output: "/out",
};
const only = { ...job, splits: `file://${job.splits}`, output: "file:///o" };

/** A directory that looks like a Spark. */
function fakeSpark(t: TestContext, jar = "spark-core_2.12-3.5.8.jar"): string {
  const home = join(tempDir(t), "spark");
  for (const one of ["bin", "jars", "conf"]) mkdirSync(join(home, one), { recursive: true });
  writeFileSync(join(home, "bin/spark-submit"), "#!/bin/sh\n");
  chmodSync(join(home, "bin/spark-submit"), 0o755);
  writeFileSync(join(home, "jars", jar), "");
  return home;
}

describe("which Spark", () => {
  it("is that of SPARK_HOME, with its version as its jars have it", (t) => {
    const home = fakeSpark(t, "spark-core_2.12-3.5.1-amzn-0.jar");
    assert.deepEqual(findSpark({ SPARK_HOME: home, PATH: "/nowhere" }), {
      submit: join(home, "bin/spark-submit"),
      home,
      version: "3.5.1",
    });
  });

  it("is that within PATH: behind a link, or beside the Python that pip has put it into", (t) => {
    const home = fakeSpark(t, "spark-core_2.13-4.3.0.jar");
    const bin = join(tempDir(t), "bin");
    mkdirSync(bin);
    symlinkSync(join(home, "bin/spark-submit"), join(bin, "spark-submit"));
    assert.equal(findSpark({ PATH: `${bin}:/bin` }).home, home);

    const venv = tempDir(t);
    const packages = join(venv, "lib/python3.11/site-packages/pyspark/jars");
    mkdirSync(packages, { recursive: true });
    mkdirSync(join(venv, "bin"));
    writeFileSync(join(packages, "spark-core_2.12-3.4.4.jar"), "");
    writeFileSync(join(venv, "bin/spark-submit"), "");
    chmodSync(join(venv, "bin/spark-submit"), 0o755);
    const found = findSpark({ PATH: join(venv, "bin") });
    assert.deepEqual([found.home, found.version], [join(packages, ".."), "3.4.4"]);
  });

  it("has an unknown version behind a wrapper", (t) => {
    const bin = tempDir(t);
    writeFileSync(join(bin, "spark-submit"), "");
    chmodSync(join(bin, "spark-submit"), 0o755);
    assert.deepEqual(findSpark({ PATH: bin }), {
      submit: join(bin, "spark-submit"),
      home: null,
      version: null,
    });
  });

  it("is refused when there is none, an empty one, or an old one", (t) => {
    const old = fakeSpark(t, "spark-core_2.12-3.2.4.jar");
    assert.throws(() => findSpark({ SPARK_HOME: old }), /3\.2\.4/);
    assert.throws(() => findSpark({ SPARK_HOME: "/nowhere/spark" }), /SPARK_HOME is \/nowhere\/spark/);
    assert.throws(() => findSpark({ PATH: "/nowhere" }), {
      code: "PROGRAM_UNUSABLE",
      message: /no Spark here/,
    });
  });

  it("has defaults as Java reads them", (t) => {
    const home = fakeSpark(t);
    writeFileSync(
      join(home, "conf/spark-defaults.conf"),
      "# none\nspark.master   yarn\nspark.a=b c \n  spark.b: 1=2\n\n!x y\n",
    );
    assert.deepEqual(sparkDefaults(home, {}), { "spark.master": "yarn", "spark.a": "b c", "spark.b": "1=2" });
    assert.deepEqual(sparkDefaults(home, { SPARK_CONF_DIR: "/nowhere" }), {});
  });
});

describe("where an application runs", () => {
  const place = (t: TestContext, options: Parameters<typeof sparkSettings>[0], env = {}) =>
    sparkSettings(options, { SPARK_HOME: fakeSpark(t), ...env }).place;

  it("follows from --master, and from what spark-submit would take in its place", (t) => {
    const local = { kind: "local" };
    for (const master of [
      "local",
      "local[2]",
      "local[*]",
      "local[2,4]",
      "local[*,4]",
      "local-cluster[2,1,512]",
    ])
      assert.deepEqual(place(t, { master }), local, master);
    assert.deepEqual(place(t, {}), local);
    assert.deepEqual(place(t, { conf: { "spark.master": "spark://h:7077" } }), {
      kind: "standalone",
      sharesFiles: false,
    });
    assert.deepEqual(place(t, {}, { MASTER: "spark://a:1,b:2" }), { kind: "standalone", sharesFiles: false });
    assert.deepEqual(place(t, { master: "spark://h:7077", conf: { "spark.sheaf.sharedFiles": "true" } }), {
      kind: "standalone",
      sharesFiles: true,
    });
    const env = { HADOOP_CONF_DIR: "/etc/hadoop" };
    assert.deepEqual(place(t, { master: "yarn" }, env), { kind: "yarn", driver: "client" });
    assert.deepEqual(place(t, { master: "yarn", deployMode: "cluster" }, env), {
      kind: "yarn",
      driver: "cluster",
    });
  });

  it("is refused where sheaf cannot", (t) => {
    const refused = (options: Parameters<typeof sparkSettings>[0], message: RegExp): void =>
      assert.throws(() => place(t, options), { code: "USAGE", message });
    for (const master of [
      "k8s://https://h",
      "mesos://h:1",
      "sc://h",
      "local[]",
      "local[2",
      "yarn-client",
      "spark://h",
    ])
      refused({ master }, /--master .* is none that sheaf runs on/);
    refused({ master: "yarn" }, /neither HADOOP_CONF_DIR nor YARN_CONF_DIR/);
    refused({ master: "local[2]", deployMode: "cluster" }, /--deploy-mode cluster is not for/);
    refused({ master: "local[2]", deployMode: "both" as never }, /neither client nor cluster/);
    refused({ conf: { "mapreduce.job.queuename": "q" } }, /passes on what begins with "spark\."/);
    refused({ conf: { "spark.files.ignoreMissingFiles": "true" } }, /it leaves input out/);
    refused({ conf: { "spark.sheaf.maps": "1" } }, /none of sheaf's settings/);
  });
});

describe("the command", () => {
  const words = (t: TestContext, options: Parameters<typeof sparkSettings>[0], defaults = ""): string[] => {
    const home = fakeSpark(t);
    writeFileSync(join(home, "conf/spark-defaults.conf"), defaults);
    const settings = sparkSettings(options, { SPARK_HOME: home, HADOOP_CONF_DIR: "/c" });
    const needs = { ...job, own: "hdfs://h/u/.sheaf/j/", archives: ["hdfs://h/n.tgz#node"] };
    return submitArguments(settings, needs, "/s.jar", options.deployMode === "cluster" ? only : null);
  };
  const confOf = (given: readonly string[]): Record<string, string> =>
    Object.fromEntries(
      given.flatMap((word, at) => {
        const [name = "", ...value] = word.split("=");
        return given[at - 1] === "--conf" ? [[name, value.join("=")]] : [];
      }),
    );

  it("says what the job needs, each a word of its own", (t) => {
    const given = words(t, { master: "local[2]" });
    assert.deepEqual(given.slice(0, 2), ["--master", "local[2,3]"]);
    assert.deepEqual(given.slice(-3), ["--class", "dev.sheaf.hosted.SparkMain", "/s.jar"]);
    const conf = confOf(given);
    assert.equal(conf["spark.sheaf.splits"], undefined);
    assert.equal(conf["spark.sheaf.client"], "true");
    assert.equal(given[given.indexOf("--archives") + 1], "hdfs://h/n.tgz#node");
    assert.equal(conf["spark.local.dir"], job.scratch);
    assert.equal(conf["spark.app.name"], "word count");
    assert.match(conf["spark.driver.extraJavaOptions"]!, /TieredStopAtLevel=1/);
    assert.equal(conf["spark.sheaf.told"], undefined);
  });

  it("gives local tasks the job's attempts, unless the master says how many", (t) => {
    const master = (given: string): string => words(t, { master: given })[1]!;
    assert.equal(master("local"), "local[1,3]");
    assert.equal(master("local[*]"), "local[*,3]");
    assert.equal(master("local[2,7]"), "local[2,7]");
    assert.equal(master("local-cluster[2,1,512]"), "local-cluster[2,1,512]");
  });

  it("lets settings of the user and of the installation go before its own", (t) => {
    const given = words(
      t,
      {
        master: "yarn",
        deployMode: "cluster",
        conf: {
          "spark.ui.enabled": "true",
          "spark.task.maxFailures": "9",
          "spark.yarn.submit.waitAppCompletion": "false",
        },
      },
      "spark.serializer org.example.Own\nspark.executor.cores 4\n",
    );
    assert.deepEqual(given.slice(0, 4), ["--master", "yarn", "--deploy-mode", "cluster"]);
    const conf = confOf(given);
    assert.equal(conf["spark.serializer"], undefined);
    assert.equal(conf["spark.task.maxFailures"], "9");
    assert.equal(conf["spark.executor.memoryOverhead"], "4096m");
    assert.equal(conf["spark.yarn.stagingDir"], "hdfs://h/u/.sheaf/j/");
    assert.equal(conf["spark.sheaf.told"], "hdfs://h/u/.sheaf/j/");
    assert.equal(conf["spark.sheaf.client"], undefined);
    assert.equal(conf["spark.sheaf.splits"], "file:///w/a b/home/job/splits");
    assert.equal(conf["spark.sheaf.maps"], "4");
    assert.equal(conf["spark.local.dir"], undefined);
    assert.equal(conf["spark.executor.extraJavaOptions"], undefined);
    assert.equal(conf["spark.yarn.submit.waitAppCompletion"], "true");
  });
});

describe("what an application says", () => {
  function heard(attempts = 4): { said: ApplicationSaid; one: JobSaid; calls: unknown[][] } {
    const calls: unknown[][] = [];
    const note =
      (name: string) =>
      (...args: unknown[]): void =>
        void calls.push([name, ...args]);
    const listener: HostListener = {
      progress: note("progress"),
      attemptFailed: ({ task, attempt, failure }) => note("attemptFailed")(task, attempt, failure.message),
      tracking: note("tracking"),
      placed: note("placed"),
      log: note("log"),
      warn: note("warn"),
    };
    const said = new ApplicationSaid();
    return { said, one: said.begin({ ...job, attempts }, listener), calls };
  }
  const event = (told: Record<string, string>): string => `sheaf-spark: ${JSON.stringify(told)}\n`;

  it("becomes progress, pages and lines of user code, however it is cut", async () => {
    const text =
      event({ event: "started", id: "local-1", url: "http://h:4040" }) +
      event({ event: "taken", job: "j1" }) +
      event({ event: "map", job: "j1", done: "3" }) +
      event({ event: "map", job: "j0", done: "1" }) +
      "sheaf-log: j1 zwölf\nsomething else\nsheaf-spark: {broken\nsheaf-spark: 7\nsheaf-log: j0 other\n" +
      event({ event: "reduce", job: "j1", done: "2" }) +
      event({ event: "done", job: "j1" });
    for (let cut = 0; cut <= text.length; cut++) {
      const { said, one, calls } = heard();
      said.take("out", text.slice(0, cut));
      said.take("out", text.slice(cut));
      said.end();
      assert.deepEqual(calls, [
        ["tracking", "local-1", "http://h:4040"],
        ["progress", "map", 0.75],
        ["log", "zwölf"],
        ["progress", "reduce", 1],
      ]);
      assert.equal(one.isTaken, true);
      assert.deepEqual(await one.ended, { kind: "done" });
    }
  });

  it("tells of attempts that are tried again, not of the last one", () => {
    const { said, calls } = heard(2);
    const failure = { ...taskFailure("USER_CODE", "no such word"), task: "map-00002" };
    const text = `dev.sheaf...: exit code 3\nsheaf-error: ${JSON.stringify(failure)}\n\tat Java`;
    const failed = { event: "taskFailed", job: "j1", task: "map-2", counts: "true", text };
    said.take("out", event({ ...failed, attempt: "0" }) + event({ ...failed, attempt: "1" }));
    said.take(
      "out",
      event({ ...failed, task: "reduce-11", attempt: "5", counts: "false", text: "FetchFailed(x)\n" }),
    );
    assert.deepEqual(calls, [
      ["attemptFailed", "map-00002", 1, "no such word"],
      ["attemptFailed", "reduce-00011", 6, "FetchFailed(x)"],
    ]);
  });

  it("tells the page of YARN, and once that there is no executor", () => {
    const { said, calls } = heard();
    const waiting = "26/01/01 WARN TaskSchedulerImpl: Initial job has not accepted any resources; check\n";
    said.take(
      "err",
      `26/01/01 INFO YarnClientImpl: Submitted application application_17_0001\n\t tracking URL: http://rm:8088/p/\n${waiting}${waiting}`,
    );
    assert.deepEqual(calls[0], ["tracking", "application_17_0001", "http://rm:8088/p/"]);
    assert.equal(calls.length, 2);
    assert.match(String(calls[1]![1]), /no executor/);
    assert.equal(said.applicationId, "application_17_0001");
  });
});

describe("why an application failed", () => {
  it("is what the task program said, wherever that is in the exception", () => {
    const failure = taskFailure("USER_CODE", 'quotes " and \\n', { path: "/in", offset: 12, record: "r" });
    const line = `sheaf-error: ${JSON.stringify({ ...failure, task: "map-00001" })}`;
    const text = `org.apache.spark.SparkException: Job aborted\nCaused by: x\n${line}\n\tat y\n`;
    assert.deepEqual(failureIn(text), { task: "map-00001", failure });
    const end = "ended with exit code 1";
    assert.deepEqual(applicationFailure(text, "", end), { task: "map-00001", attempt: 0, failure });
    const aborted =
      "Task 7 in stage 1.0 failed 4 times, most recent failure: Lost task 7.3 in stage 1.0 (TID 9)";
    assert.equal(applicationFailure(text.replace("Job aborted", aborted), "", end).attempt, 4);
    assert.equal(failureIn("sheaf-error: {cut"), null);
    assert.equal(failureIn('sheaf-error: {"kind":"failure","code":"NOBODY","message":"m"}'), null);
  });

  const deaths: readonly [string, string, RegExp][] = [
    ["java.io.IOException: No space left on device", "DISK_FULL", /spark\.local\.dir/],
    [
      "/lib/libc.so.6: version `GLIBC_2.28' not found (required by node/bin/node)",
      "PROGRAM_UNUSABLE",
      /--node-bin/,
    ],
    ["node/bin/node: cannot execute binary file: Exec format error", "PROGRAM_UNUSABLE", /--node-bin/],
    [
      "Container killed by YARN for exceeding physical memory limits. 2.1 GB of 2 GB",
      "OUT_OF_MEMORY",
      /Overhead/,
    ],
    ["is running 5 MB beyond the 'VIRTUAL' memory limit", "OUT_OF_MEMORY", /memoryOverhead/],
    ["java.lang.OutOfMemoryError: Java heap space", "OUT_OF_MEMORY", /spark\.executor\.memory/],
    ["ShuffleMapStage 0 has failed the maximum allowable number of times: 4", "WORKER_LOST", /logs/],
    ["ERROR StandaloneSchedulerBackend: All masters are unresponsive! Giving up.", "UNREACHABLE", /--master/],
    ["Service 'sparkDriver' could not bind on a random free port", "UNREACHABLE", /SPARK_LOCAL_IP/],
    ["Exception: UnsupportedClassVersionError: class file version 61.0", "PROGRAM_UNUSABLE", /Java 17/],
    ["/opt/spark/bin/spark-class: line 71: java: command not found", "PROGRAM_UNUSABLE", /JAVA_HOME/],
    ["GSS initiate failed", "UNAUTHORIZED", /kinit/],
    ["AccessControlException: Permission denied: user=me, access=WRITE", "FORBIDDEN", /--engine-temp/],
    ["something nobody knows: Exception", "WORKER_LOST", /below/],
  ];
  for (const [text, code, hint] of deaths) {
    it(`is ${code} of "${text.slice(0, 50)}"`, () => {
      const { task, failure } = applicationFailure(
        null,
        `26/01/01 INFO x\n${text}\n`,
        "ended with exit code 1",
      );
      assert.equal(task, null);
      assert.equal(failure.code, code);
      assert.match(failure.hint!, hint);
      assert.ok(failure.message.includes(text.slice(0, 40)), failure.message);
    });
  }
});
