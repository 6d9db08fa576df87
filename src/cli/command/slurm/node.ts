import { rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { agentName } from "../../../agent/agent-options.ts";
import { limits } from "../../../base/limits.ts";
import type { TlsFiles } from "../../../security/tls.ts";
import { makeTempDirectory } from "../../../storage/temp-directory.ts";
import type { World } from "../../world.ts";
import { runAgent } from "../agent/process.ts";
import { SlurmCommands } from "./commands.ts";
import type { SlurmFiles } from "./files.ts";
import { nodeCertificate } from "./pilot.ts";
import { nodeAddress, nodeName, scratchOf } from "./place.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export interface NodeOptions {
  readonly files: SlurmFiles;
  readonly join: string | undefined;
  readonly network: string | undefined;
  readonly slots: number | undefined;
  readonly roots: readonly string[];
  readonly allowAddress: readonly string[];
  readonly stores: readonly string[];
  readonly scratch: string | undefined;
  readonly tls: boolean;
  readonly graceMs: number;
}

/** A coordinator that is silent for so long has gone with its node; the agent must not keep its own. */
const giveUpMs = 60_000;

/**
 * Runs the agent of one node until its pilot lets it go, or Slurm ends it.
 * @throws SheafError as runAgent and nodeAddress
 */
export async function runNode(options: NodeOptions, world: World): Promise<void> {
  const { files, network, roots, allowAddress, stores, graceMs } = options;
  const { env, clock } = world;
  const node = nodeName(env);
  const slurmAddress = await new SlurmCommands(env).nodeAddress(node);
  const host = await nodeAddress({ network, slurmAddress });
  const name = agentName(node.replace(/[^A-Za-z0-9._-]+/g, "-").slice(0, limits.agentNameCharsMax));
  const own = await makeTempDirectory(scratchOf(options.scratch, env));
  try {
    const tls = options.tls ? await nodeCertificate(files, name, [host], clock.wallMs()) : null;
    await runAgent(
      {
        ...tlsOf(tls),
        host,
        port: 0,
        advertise: undefined,
        roots,
        allowAddress,
        stores,
        tokenFile: files.tokens.agent,
        grace: graceMs,
        insecure: undefined,
        workerMemory: undefined,
        heartbeat: undefined,
        logLevel: undefined,
      },
      {
        join: options.join,
        joinFlag: "--join",
        name,
        slots: options.slots ?? slotsOfNode(env),
        stateDirectory: join(own, "agent"),
        giveUpMs,
        // What it ends with is thrown where its end is waited for.
        drainOrdered: (agent) => void agent.stop().catch(() => undefined),
      },
      world,
    );
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
}

/**
 * Tasks at a time: one less than the processors that the allocation has of this node, at least one. Slurm may
 * bind no processes, and then the machine seems to be ours; or count whole nodes, and bind.
 */
export function slotsOfNode(env: Environment, processors: number = availableParallelism()): number {
  const allotted = Number(env["SLURM_CPUS_ON_NODE"]);
  const own = Number.isInteger(allotted) && allotted > 0 ? Math.min(allotted, processors) : processors;
  return Math.max(1, own - 1);
}

function tlsOf(tls: TlsFiles | null) {
  return { tlsCa: tls?.ca, tlsCert: tls?.cert, tlsKey: tls?.key };
}
