import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { freePort } from "./ports.js";
import { until } from "./wait.js";

/** A real Slurm of two nodes on this machine, with daemons, ports, keys and directories of its own. */
export interface SlurmLab {
  /** For the commands of Slurm. */
  readonly env: { readonly SLURM_CONF: string };
  /** What a command of Slurm prints; it must succeed. */
  run(program: string, args: readonly string[]): string;
  /** Ends all jobs and daemons. */
  end(): Promise<void>;
}

const needed = ["/usr/sbin/munged", "/usr/sbin/slurmctld", "/usr/sbin/slurmd", "/usr/bin/sbatch"];

/** For the options of tests: why there is no Slurm here; false when it can be started. In CI it must be. */
export function slurmSkipped(): string | false {
  const missing = needed.find((path) => !existsSync(path));
  const why =
    process.getuid?.() !== 0
      ? "only root may start its daemons"
      : missing === undefined
        ? false
        : `there is no ${missing}: apt-get install slurm-wlm munge`;
  if (why === false) return false;
  if (process.env["CI"] === "true") throw new Error(`Slurm: ${why}`);
  process.stderr.write(`SKIPPED: tests with Slurm: ${why}\n`);
  return `no Slurm: ${why}`;
}

/** Starts it. Jobs of nodes n1 and n2 are root's; processors are told apart by nobody. */
export async function startSlurm(): Promise<SlurmLab> {
  // Munge wants every directory above its socket to be one's own, or sticky; its path must be short.
  const directory = mkdtempSync(join(tmpdir(), "slurm-"));
  chmodSync(directory, 0o755);
  const conf = join(directory, "slurm.conf");
  const env = { SLURM_CONF: conf };
  const children: ChildProcess[] = [];
  let said = "";
  const start = (program: string, ...args: readonly string[]): void => {
    const child = spawn(program, args, {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, ...env },
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (said += text));
    children.push(child);
  };
  const run = (program: string, args: readonly string[]): string =>
    execFileSync(program, args, { encoding: "utf8", env: { ...process.env, ...env } });
  const end = async (): Promise<void> => {
    spawnSync("scancel", ["--signal=KILL", "--full", "--user=root"], { env: { ...process.env, ...env } });
    for (const child of children.toReversed()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill("SIGTERM");
      await once(child, "exit");
    }
    rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    const socket = join(directory, "munge");
    writeFileSync(join(directory, "key"), randomBytes(128), { mode: 0o600 });
    const files = ["key-file=key", "pid-file=munged.pid", "log-file=munged.log", "seed-file=seed"];
    const own = files.map((one) => `--${one.replace("=", `=${directory}/`)}`);
    start("/usr/sbin/munged", "--foreground", `--socket=${socket}`, ...own);
    const isUp = (): boolean => children.every(({ exitCode }) => exitCode === null);
    await until("munged", () => existsSync(socket) || !isUp());
    for (const name of ["state", "spool"]) mkdirSync(join(directory, name));
    writeFileSync(
      conf,
      configuration(directory, socket, [await freePort(), await freePort(), await freePort()]),
    );
    start("/usr/sbin/slurmctld", "-D");
    for (const node of ["n1", "n2"]) start("/usr/sbin/slurmd", "-D", "-N", node);
    const states = (): string =>
      spawnSync("sinfo", ["-hN", "-o", "%T"], { encoding: "utf8", env: { ...process.env, ...env } }).stdout;
    await until("two idle nodes", () => states().trim().split("\n").join() === "idle,idle" || !isUp());
    if (!isUp()) throw new Error(`Slurm did not start: ${said}`);
    return { env, run, end };
  } catch (error) {
    const log = join(directory, "slurmctld.log");
    process.stderr.write(existsSync(log) ? readFileSync(log, "utf8") : said);
    await end();
    throw error;
  }
}

function configuration(directory: string, socket: string, [main, one, two]: readonly number[]): string {
  const host = hostname();
  const node = "CPUs=4 RealMemory=1000 State=UNKNOWN";
  return [
    "ClusterName=lab",
    `SlurmctldHost=${host}(127.0.0.1)`,
    "SlurmUser=root",
    "SlurmdUser=root",
    "AuthType=auth/munge",
    `AuthInfo=socket=${socket}`,
    "ProctrackType=proctrack/linuxproc",
    "TaskPlugin=task/none",
    "MpiDefault=none",
    "SelectType=select/cons_tres",
    "SelectTypeParameters=CR_CPU",
    "SlurmdParameters=config_overrides",
    "JobAcctGatherType=jobacct_gather/none",
    "AccountingStorageType=accounting_storage/none",
    `StateSaveLocation=${directory}/state`,
    `SlurmdSpoolDir=${directory}/spool/%n`,
    `SlurmctldPidFile=${directory}/slurmctld.pid`,
    `SlurmdPidFile=${directory}/slurmd-%n.pid`,
    `SlurmctldLogFile=${directory}/slurmctld.log`,
    `SlurmdLogFile=${directory}/slurmd-%n.log`,
    `SlurmctldPort=${main}`,
    "ReturnToService=2",
    "KillWait=30",
    "SchedulerParameters=sched_interval=1,bf_interval=2,batch_sched_delay=0",
    `NodeName=n1 NodeHostname=${host} NodeAddr=127.0.0.1 Port=${one} ${node}`,
    `NodeName=n2 NodeHostname=${host} NodeAddr=127.0.0.1 Port=${two} ${node}`,
    "PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP",
    "",
  ].join("\n");
}

/** Commands of a Slurm that is not there: shell texts, in which $0.n counts the calls. */
export function fakeSlurm(t: TestContext, programs: Readonly<Record<string, string>>) {
  const bin = mkdtempSync(join(tmpdir(), "fake-slurm-"));
  t.after(() => rmSync(bin, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(programs)) {
    const counted = `n=$(cat "$0.n" 2>/dev/null || echo 0); n=$((n+1)); echo $n > "$0.n"\necho "$@" >> "$0.args"\n`;
    writeFileSync(join(bin, name), `#!/bin/sh\n${counted}${text}\n`, { mode: 0o755 });
  }
  const asked = (name: string): string => readFileSync(join(bin, `${name}.args`), "utf8");
  return { env: { PATH: `${bin}:${process.env["PATH"]}`, SLURM_JOB_ID: undefined }, bin, asked };
}
