import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "../kit/wait.ts";
import { type HadoopLab, startYarn } from "./hadoop-lab.ts";

/** A machine of YARN's: a NodeManager in a JVM of its own, and all that it has started. */
export interface Machine {
  readonly host: string;
  /** Whether it has a process whose command line holds this. */
  runs(text: string): boolean;
  /** Ends all of its processes at once, as a machine does that loses power. */
  lose(): Promise<void>;
}

export interface Machines {
  readonly lab: HadoopLab;
  readonly machines: readonly Machine[];
  close(): Promise<void>;
}

/**
 * HDFS and YARN on machines that can be lost, one or two. Each has room for an application master and two
 * small tasks, and does not look at what they use.
 * @param more properties of NodeManagers, before those that are usual here
 */
export async function startMachines(
  count: 1 | 2,
  more: Readonly<Record<string, string>> = {},
): Promise<Machines> {
  const { lab, work, start } = await startYarn(0);
  const machines = ["127.0.0.1", "127.0.0.2"].slice(0, count).map((host) => {
    const own = (name: string): string => `yarn.nodemanager.${name}`;
    const settings = {
      [own("hostname")]: host,
      [own("address")]: `${host}:0`,
      [own("localizer.address")]: `${host}:0`,
      [own("webapp.address")]: `${host}:0`,
      [own("local-dirs")]: join(work, host, "local"),
      [own("log-dirs")]: join(work, host, "logs"),
      [own("aux-services")]: "mapreduce_shuffle",
      [own("resource.memory-mb")]: "3072",
      [own("resource.cpu-vcores")]: "8",
      [own("pmem-check-enabled")]: "false",
      [own("vmem-check-enabled")]: "false",
      [own("disk-health-checker.max-disk-utilization-per-disk-percentage")]: "99",
      "mapreduce.shuffle.port": "0",
      ...more,
    };
    const words = Object.entries(settings).flatMap(([name, value]) => ["-D", `${name}=${value}`]);
    const manager = start("org.apache.hadoop.yarn.server.nodemanager.NodeManager", ...words);
    manager.stdout!.resume();
    return machineOf(host, join(work, host), manager);
  });
  const close = async (): Promise<void> => {
    for (const machine of machines) await machine.lose();
    await lab.close();
  };
  try {
    await until("both machines", async () => (await activeNodes(lab)) === machines.length, 300_000);
  } catch (error) {
    await close();
    throw error;
  }
  return { lab, machines, close };
}

function machineOf(host: string, place: string, manager: ChildProcess): Machine {
  const ended = once(manager, "exit");
  return {
    host,
    runs: (text) => processesOf(place).some(({ words }) => words.includes(text)),
    async lose() {
      manager.kill("SIGKILL");
      await ended;
      await until(`the end of ${host}`, () => {
        const all = processesOf(place);
        for (const { pid } of all) killed(pid);
        return all.length === 0;
      });
    },
  };
}

/** Containers have their directory in their environment, which what they start has, too. */
function processesOf(place: string): { readonly pid: number; readonly words: string }[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const all = pids.map((pid) => ({ pid: Number(pid), words: readOf(pid, "cmdline").replaceAll("\0", " ") }));
  return all.filter(({ pid, words }) => `${words} ${readOf(`${pid}`, "environ")}`.includes(`${place}/`));
}

async function activeNodes({ home }: HadoopLab): Promise<number> {
  const site = readFileSync(join(home, "etc/hadoop/yarn-site.xml"), "utf8");
  const [, address] = /<name>yarn.resourcemanager.webapp.address<\/name><value>([^<]*)/.exec(site)!;
  const answer = await fetch(`http://${address}/ws/v1/cluster/metrics`);
  const { clusterMetrics } = (await answer.json()) as { clusterMetrics: { activeNodes: number } };
  return clusterMetrics.activeNodes;
}

/** "" of a process that is over. */
function readOf(pid: string, file: "cmdline" | "environ"): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1");
  } catch {
    return "";
  }
}

function killed(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended itself meanwhile.
  }
}
