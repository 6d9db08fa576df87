import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { checkConf, type Places, streamingWords } from "#src/hosted/hadoop/command.js";
import type { HostJob } from "#src/hosted/host-engine.js";
import { sparkSettings } from "#src/hosted/spark/spark-settings.js";
import { submitArguments } from "#src/hosted/spark/submit-command.js";
import { tempDir } from "../cli/support.ts";
import { root } from "../kit/jars.ts";

/** A job on EMR, as it is planned on its primary node. */
const job: HostJob = {
  jobId: "20261130-120000000-words-abcd",
  name: "words",
  home: "/mnt/tmp/home",
  splits: "/mnt/tmp/home/job/splits",
  mapTasks: 12,
  reduces: 4,
  scratch: "/mnt/tmp/scratch",
  attempts: 4,
  heapBytes: 768 * 2 ** 20,
  memoryBytes: 256 * 2 ** 20,
  output: "hdfs:///out",
};
const base = "hdfs://ip-10-0-0-1:8020/user/hadoop/.sheaf";
const own = `${base}/${job.jobId}`;
const output = `hdfs://ip-10-0-0-1:8020/.sheaf-${job.jobId}/out`;
const shared = [`${base}/cache/node-0123.tgz#node`, `${base}/cache/sheaf-4567.tgz#sheaf`];
const archives = [...shared, `${own}/job-89ab.tgz#job`];
const jar = "/usr/lib/node_modules/sheaf/dist/hosted/sheaf-hosted.jar";

/** Asserts that the words, a line each, are those of the file: what steps of EMR and Dataproc are made of. */
function assertGolden(name: string, words: readonly string[]): void {
  const path = join(root, "test/hosted/golden", name);
  const text = words.map((word) => `${word}\n`).join("");
  assert.equal(text, readFileSync(path, "utf8"), `test/hosted/golden/${name}`);
}

suite("the command that --print-command says", () => {
  test("of Hadoop Streaming on YARN", () => {
    const conf = { "mapreduce.job.queuename": "reports" };
    checkConf(conf);
    const places: Places = {
      jar,
      splits: `${own}/splits`,
      output,
      home: ".",
      archives,
      errors: `${own}/errors`,
      localTemp: null,
    };
    const options = { conf, speculation: true, hadoop: "3.3.6-amzn-5", localTasks: 4 };
    const streaming = "/usr/lib/hadoop-mapreduce/hadoop-streaming.jar";
    const words = ["/usr/bin/hadoop", "jar", streaming, ...streamingWords(job, places, options)];
    assertGolden("hadoop-yarn.txt", words);
  });

  test("of spark-submit on YARN, with the driver there", (t) => {
    const home = join(tempDir(t), "spark");
    for (const one of ["bin", "jars", "conf"]) mkdirSync(join(home, one), { recursive: true });
    writeFileSync(join(home, "bin/spark-submit"), "#!/bin/sh\n", { mode: 0o755 });
    writeFileSync(join(home, "jars/spark-core_2.12-3.5.1-amzn-0.jar"), "");
    writeFileSync(
      join(home, "conf/spark-defaults.conf"),
      "spark.executor.memory 4743M\nspark.executor.cores 2\n",
    );
    const env = { SPARK_HOME: home, HADOOP_CONF_DIR: "/etc/hadoop/conf" };
    const settings = sparkSettings({ master: "yarn", deployMode: "cluster" }, env);
    const only = { ...job, home: ".", splits: `${own}/splits`, output };
    const words = submitArguments(settings, { ...job, archives, own }, jar, only);
    assertGolden("spark-yarn-cluster.txt", ["/usr/bin/spark-submit", ...words]);
  });
});
