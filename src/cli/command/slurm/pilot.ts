import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { SheafError, describeThrown } from "../../../base/errors.ts";
import { settings } from "../../../base/limits.ts";
import { builtUrl, packageVersion } from "../../../base/package-places.ts";
import { type StartedCoordinator, startCoordinator } from "../../../rest/start-coordinator.ts";
import { initAuthority, issueInto } from "../../../security/certificate-directory.ts";
import type { TlsFiles } from "../../../security/tls.ts";
import { makeTempDirectory } from "../../../storage/temp-directory.ts";
import { warnOperator } from "../../server.ts";
import { type World, logSink, writeTo } from "../../world.ts";
import { SlurmCommands } from "./commands.ts";
import type { PilotRecord, SlurmFiles } from "./files.ts";
import { nodeAddress, nodeName, scratchOf } from "./place.ts";

export interface PilotOptions {
  readonly files: SlurmFiles;
  /** Agents are started on so many; undefined, and in a batch script: all of the allocation. */
  readonly nodes: number | undefined;
  readonly network: string | undefined;
  readonly port: number;
  readonly roots: readonly string[];
  /** See scratchOf. */
  readonly scratch: string | undefined;
  readonly tls: boolean;
  readonly graceMs: number;
  /** Flags of `sheaf slurm agent` that are passed on as they are. */
  readonly agentFlags: readonly string[];
}

const lookMs = 250;
/** In which agents that were signalled themselves have told so. */
const hearMs = settings.heartbeatMs.default + 300;
/** Beyond the grace time, for agents to hear of it and to remove what they have. */
const leaveMs = 15_000;
/** How long clients have to read how their jobs ended. */
const farewellMs = 2_000;

/**
 * Runs a coordinator in this process and agents by srun on all nodes, until it is told to end (SIGTERM, which
 * Slurm sends before the time is up), or the agents are gone. Agents then finish what they run within the
 * grace time, and jobs that are not done are cancelled: the next pilot knows nothing of them.
 * @throws SheafError PROGRAM_FAILED when the agents ended by themselves; what startCoordinator throws
 */
export async function runPilot(options: PilotOptions, world: World): Promise<void> {
  const { files, scratch } = options;
  const job = jobOf(world.env);
  const told = new AbortController();
  const off = world.onSignal((signal) => told.abort(signal));
  const node = nodeName(world.env);
  const slurmAddress = await new SlurmCommands(world.env).nodeAddress(node);
  const address = await nodeAddress({ network: options.network, slurmAddress });
  const own = await makeTempDirectory(scratchOf(scratch, world.env));
  try {
    const tls = options.tls ? await makeAuthority(files, node, address, world.clock.wallMs()) : null;
    const started = await startCoordinator({
      stateDirectory: join(own, "coordinator"),
      host: address,
      port: options.port,
      // At the other end of a tunnel.
      publicNames: ["127.0.0.1", "localhost"],
      clientTokenFile: files.tokens.client,
      agentTokenFile: files.tokens.agent,
      roots: options.roots,
      version: packageVersion(),
      logTo: logSink(world.stderr),
      ...(tls === null ? {} : { tls: tls.coordinator }),
    });
    await warnOperator(started.warnings, world);
    await writeTo(world.stdout, `sheaf coordinator listens on ${started.url}\n`);
    const record: PilotRecord = {
      version: 1,
      job,
      step: stepOf(world.env),
      url: started.url,
      node,
      ...(tls === null ? {} : { tls: tls.client }),
      graceMs: options.graceMs,
      nodes: nodesOf(options.nodes, world.env),
      joined: 0,
    };
    try {
      await withAgents(options, { started, record, told: told.signal, world });
    } finally {
      await started.stop();
    }
  } finally {
    off();
    rmSync(own, { recursive: true, force: true });
    files.write("pilot", null);
  }
}

interface Pilot {
  readonly started: StartedCoordinator;
  readonly record: PilotRecord;
  readonly told: AbortSignal;
  readonly world: World;
}

async function withAgents(options: PilotOptions, pilot: Pilot): Promise<void> {
  const { files } = options;
  const { started, told, world, record } = pilot;
  const { operations } = started.coordinator;
  const agents = startAgents(options, pilot);
  const look = (): Promise<"gone" | undefined> =>
    Promise.race([agents.gone, pause(lookMs, undefined, { signal: told }).catch(() => undefined)]);
  files.write("pilot", record);
  const isToldByFile = (): boolean => record.step !== null && files.submitted()?.stop === true;
  for (let joined = 0; !told.aborted && !isToldByFile();) {
    const now = operations.nodes().filter(({ state }) => state === "up").length;
    if (now !== joined) files.write("pilot", { ...record, joined: now });
    joined = now;
    if ((await look()) === "gone" && !told.aborted) {
      throw new SheafError("PROGRAM_FAILED", `the agents ended: srun ended with ${agents.end()}`, {
        hint: "What they said last stands above.",
      });
    }
  }
  const by = told.aborted
    ? `${told.reason}, from sheaf slurm down or because the time is up`
    : "sheaf slurm down";
  await writeTo(world.stdout, `told to end by ${by}: agents finish what they run\n`);
  // Slurm that ends the whole job has told the agents, too, which they tell within a heartbeat; the time
  // until it kills is short, and its length not known here.
  if (told.aborted) await Promise.race([agents.gone, pause(hearMs, undefined)]);
  const isCancelled = operations.nodes().some(({ state }) => state !== "up");
  const wait = async (): Promise<boolean> => {
    // Those, too, that join only now.
    for (const { agent, state } of operations.nodes()) if (state === "up") operations.drain(agent, true);
    return (await Promise.race([agents.gone, pause(lookMs, undefined)])) !== "gone";
  };
  // What is committed is nearly done; anything else that has nothing running will not go on.
  const isWorth = (): boolean =>
    operations.gauges().busySlots > 0 || liveJobs(started, "COMMITTING").length > 0;
  const endMs = world.clock.nowMs() + options.graceMs;
  while (!isCancelled && isWorth() && world.clock.nowMs() < endMs && (await wait()));
  const cancelled = liveJobs(started);
  for (const job of cancelled) {
    started.coordinator.clients.kill(job, "its Slurm allocation ends", { role: "pilot", remote: "" });
  }
  while (world.clock.nowMs() < endMs + leaveMs && (await wait()));
  if (agents.end() === null) agents.kill();
  await agents.gone;
  if (cancelled.length > 0) await pause(farewellMs);
}

/** Jobs that are not over, those in this state where one is given. */
function liveJobs({ coordinator }: StartedCoordinator, only?: "COMMITTING"): string[] {
  const { jobs } = coordinator.clients.jobs({ limit: settings.listed.max, ...(only && { state: only }) });
  return jobs.filter(({ endTime }) => endTime === null).map(({ job }) => job);
}

interface Agents {
  readonly gone: Promise<"gone">;
  /** How srun ended, in words; null while it runs. */
  end(): string | null;
  /** Ends the step at once. */
  kill(): void;
}

/** One agent on each node, as a step of this job. What they log goes where this process's log goes. */
function startAgents(options: PilotOptions, { record, world }: Pilot): Agents {
  const { files, graceMs, scratch, roots, network, agentFlags } = options;
  const own = ["--join", record.url, "--state", files.directory, "--grace", `${graceMs}ms`];
  const more = [
    ...(scratch === undefined ? [] : ["--scratch", scratch]),
    ...roots.flatMap((root) => ["--root", root]),
    ...(network === undefined ? [] : ["--network", network]),
    ...(record.tls === undefined ? [] : ["--tls"]),
    ...agentFlags,
  ];
  const main = fileURLToPath(new URL("cli/main.js", builtUrl));
  const command = [process.execPath, main, "slurm", "agent", ...own, ...more];
  const child = spawn("srun", [...agentStep(record.job, record.nodes), ...command], {
    stdio: ["ignore", "inherit", "inherit"],
    env: stepEnvironment(world.env),
  });
  let end: string | null = null;
  const gone = new Promise<"gone">((resolve) => {
    const ended = (how: string): void => {
      end ??= how;
      resolve("gone");
    };
    child.once("error", (error) => ended(describeThrown(error)));
    child.once("exit", (code, signal) => ended(signal ?? `exit code ${code}`));
  });
  return { gone, end: () => end, kill: () => void child.kill("SIGTERM") };
}

/**
 * A step beside all others, on all that the job has of each node: no processor is bound, none is asked for
 * (which differs between versions of Slurm), and an agent that ends leaves the others.
 */
function agentStep(job: string, nodes: number): string[] {
  const size = [`--jobid=${job}`, `--nodes=${nodes}`, `--ntasks=${nodes}`, "--ntasks-per-node=1"];
  const beside = ["--overlap", "--cpu-bind=none", "--export=ALL", "--job-name=sheaf-agents"];
  return [...size, ...beside, "--no-kill", "--kill-on-bad-exit=0", "--wait=0", "--unbuffered"];
}

/**
 * Without what srun would take for options: they are those of the job, or of the step this runs in, and some
 * of them exclude each other (SLURM_CPUS_PER_TASK and SLURM_TRES_PER_TASK, SLURM_MEM_PER_CPU and _PER_NODE).
 */
export function stepEnvironment(env: Readonly<Record<string, string | undefined>>): NodeJS.ProcessEnv {
  const kept = /^SLURM_(?:CONF|CLUSTER_NAME|JOB_ID|TMPDIR|WORKING_CLUSTER)$/;
  const isOption = (name: string): boolean => /^(?:SLURM|SRUN|PMI|PMIX)_/.test(name) && !kept.test(name);
  const entries = Object.entries(env).filter(
    ([name]) => !isOption(name) && !/^SHEAF_(?:ON|TOKEN_FILE)$/.test(name),
  );
  return Object.fromEntries(entries);
}

async function makeAuthority(
  files: SlurmFiles,
  node: string,
  address: string,
  nowMs: number,
): Promise<{ readonly coordinator: TlsFiles; readonly client: TlsFiles }> {
  const directory = files.certificates;
  rmSync(directory, { recursive: true, force: true });
  await initAuthority(directory, { days: settings.certificateDays.default, nowMs });
  const issue = (name: string, hosts: readonly string[]): Promise<TlsFiles> =>
    nodeCertificate(files, name, hosts, nowMs);
  const coordinator = await issue(`coordinator-${node}`, [address, "127.0.0.1", "localhost"]);
  return { coordinator, client: await issue("client", []) };
}

/** A certificate of the pilot's authority. @throws SheafError CERTIFICATE_INVALID */
export async function nodeCertificate(
  files: SlurmFiles,
  name: string,
  hosts: readonly string[],
  nowMs: number,
): Promise<TlsFiles> {
  const directory = files.certificates;
  const of = { name, hosts, days: settings.certificateDays.default, nowMs };
  return { ca: join(directory, "ca.pem"), ...(await issueInto(directory, of)) };
}

function jobOf(env: Readonly<Record<string, string | undefined>>): string {
  const job = env["SLURM_JOB_ID"];
  if (job !== undefined && /^\d+$/.test(job)) return job;
  throw new SheafError("USAGE", "sheaf slurm pilot is for the inside of a Slurm allocation", {
    hint: "Start one with sheaf slurm up, or submit what sheaf slurm up --print shows.",
  });
}

/** Of the job, where the pilot is its batch script: a script that was changed by hand says it there. */
function nodesOf(given: number | undefined, env: Readonly<Record<string, string | undefined>>): number {
  const all = Number(env["SLURM_JOB_NUM_NODES"] ?? env["SLURM_NNODES"] ?? 1);
  return stepOf(env) === null ? all : (given ?? all);
}

/** The step this process is; null in the batch script. */
function stepOf(env: Readonly<Record<string, string | undefined>>): string | null {
  const step = env["SLURM_STEP_ID"];
  // Slurm's own steps, the batch script among them, have the highest numbers.
  return step !== undefined && Number(step) < 0xffff_fff0 ? `${jobOf(env)}.${step}` : null;
}
