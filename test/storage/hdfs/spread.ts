import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { fetch } from "undici";
import type { HostNetwork } from "../../cluster/host-network.js";
import { writeSite } from "../../hosted/hadoop-lab.ts";
import { maven } from "../../kit/jars.ts";
import { until } from "../../kit/wait.ts";

/** A real HDFS on hosts of their own: a NameNode on the first, a DataNode on each of the others. */
export interface SpreadHdfs {
  /** Puts the file as a program on that host would: its only copy is there. */
  put(host: number, path: string, content: string): void;
  close(): Promise<void>;
}

const options =
  "-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 --add-opens=java.base/java.lang=ALL-UNNAMED";

export async function spreadHdfs(network: HostNetwork, datanodes: readonly number[]): Promise<SpreadHdfs> {
  const jars = maven.jarsOf(maven.names.cluster);
  const work = mkdtempSync(join(tmpdir(), "sheaf-spread-"));
  const name = network.address(0);
  const running: ChildProcess[] = [];
  // No server of names can be reached from these hosts, and Hadoop asks for those of all it meets.
  const names = join(work, "hosts");
  const lines = [0, ...datanodes].map((host) => `${network.address(host)} host${host}\n`);
  writeFileSync(names, `127.0.0.1 localhost ${hostname()}\n${lines.join("")}`);
  const logOf = (host: number): string => join(work, `log-${host}`);
  const command = (host: number, more: Readonly<Record<string, string>>): string[] => {
    const conf = join(work, `conf-${host}`);
    // Without these empty directories neither kind of node starts.
    for (const kind of ["hdfs", "datanode"]) mkdirSync(join(conf, "webapps", kind), { recursive: true });
    writeSite(join(conf, "core-site.xml"), { "fs.defaultFS": `hdfs://${name}:8020` });
    writeSite(join(conf, "hdfs-site.xml"), {
      "dfs.replication": "1",
      "dfs.permissions.enabled": "false",
      // These hosts have addresses and no names.
      "dfs.namenode.datanode.registration.ip-hostname-check": "false",
      "dfs.namenode.http-address": `${name}:9870`,
      "dfs.namenode.name.dir": join(work, "names"),
      ...more,
    });
    const java = [...options.split(" "), `-Djdk.net.hosts.file=${names}`, "-cp", `${conf}:${jars}/*`];
    return [...network.inside(host), "java", ...java];
  };
  const start = (host: number, more: Readonly<Record<string, string>>, main: string): void => {
    const [first, ...words] = command(host, more);
    const log = openSync(logOf(host), "w");
    running.push(spawn(first!, [...words, main], { stdio: ["ignore", log, log] }));
  };
  const close = async (): Promise<void> => {
    const ended = running.map((one) => (one.exitCode === null ? once(one, "exit") : null));
    for (const one of running) one.kill("SIGKILL");
    await Promise.all(ended);
    rmSync(work, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const namenode = "org.apache.hadoop.hdfs.server.namenode.NameNode";
    const [first, ...words] = command(0, {});
    execFileSync(first!, [...words, namenode, "-format", "-nonInteractive"], { stdio: "pipe" });
    start(0, {}, namenode);
    for (const host of datanodes) {
      const own = network.address(host);
      const places = {
        "dfs.datanode.data.dir": join(work, `data-${host}`),
        "dfs.datanode.hostname": own,
        "dfs.datanode.address": `${own}:9866`,
        "dfs.datanode.http.address": `${own}:9864`,
        "dfs.datanode.ipc.address": `${own}:9867`,
      };
      start(host, places, "org.apache.hadoop.hdfs.server.datanode.DataNode");
    }
    // A process for each look would keep what is looked for from starting.
    const dispatcher = await network.dispatcherTo(0, 9870);
    const bean = `http://${name}:9870/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState`;
    const isUp = async (): Promise<boolean> => {
      const dead = running.findIndex(({ exitCode }) => exitCode !== null);
      if (dead >= 0) throw new Error(`HDFS has ended\n${readFileSync(logOf(dead), "utf8").slice(-4_000)}`);
      const told = await fetch(bean, { dispatcher }).then(
        (answer) => answer.text(),
        () => "",
      );
      return Number(/"NumLiveDataNodes" : (\d+)/.exec(told)?.[1]) === datanodes.length;
    };
    await until("the DataNodes are there", isUp, 300_000);
  } catch (error) {
    await close();
    throw error;
  }
  // Not with fetch, which takes the answer "100 Continue" of a DataNode for its last word.
  const put = `
    const { request } = await import("node:http");
    const ask = (url, body) =>
      new Promise((done, failed) => {
        const asked = request(url, { method: "PUT" }, (answer) => answer.resume().on("end", () => done(answer)));
        asked.on("error", failed).end(body);
      });
    const { headers } = await ask(words[0]);
    const { statusCode } = await ask(headers.location, words[1]);
    if (statusCode !== 201) throw new Error("the DataNode answers " + statusCode);
  `;
  return {
    put: (host, path, content) =>
      void on(network, host, put, `http://${name}:9870/webhdfs/v1${path}?op=CREATE&user.name=lab`, content),
    close,
  };
}

/** What a program on that host prints; `words` are its arguments. */
function on(network: HostNetwork, host: number, program: string, ...words: readonly string[]): string {
  const [first, ...inside] = network.inside(host);
  const script = `const words = process.argv.slice(1); ${program}`;
  const args = [...inside, process.execPath, "--input-type=module", "-e", script, ...words];
  return execFileSync(first!, args, { encoding: "utf8" });
}
