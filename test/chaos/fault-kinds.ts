import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Random } from "#src/base/random.js";
import { namesBelow } from "../cluster/files-below.js";
import { isRunning } from "../cluster/processes.js";
import type { RealCluster } from "../cluster/real-cluster.js";
import { deleteFile, flipBit, mapOutputsOf } from "../cluster/wires.js";
import type { Wires } from "../cluster/wires.js";
import type { SmallDisk } from "./small-disk.js";

export interface FaultWorld {
  readonly cluster: RealCluster;
  readonly wires: Wires;
  readonly agents: number;
  readonly leaseMs: number;
  readonly random: Random;
  /** Under the coordinator; null where none can be made. */
  readonly disk: SmallDisk | null;
  /** Agents of which a copy runs: it is refused as long as they are alive, and so they are left alone. */
  readonly copied: Set<number>;
  /** What no fault may lead to. */
  broken(error: Error): void;
}

/** What was done, and how long until it is undone; null: there was nothing to do it to. */
export interface Injected {
  readonly what: string;
  readonly healAfterMs: number;
  heal(): Promise<void> | void;
}

export interface FaultKind {
  /** As docs/faults.md numbers them. */
  readonly name: string;
  inject(world: FaultWorld): Promise<Injected | null> | Injected | null;
}

const done = { healAfterMs: 0, heal: () => undefined } as const;

/** One of them, by the seed. */
export function pick<T>(random: Random, values: readonly T[]): T | undefined {
  return values[random.below(values.length)];
}

function anyAgent({ random, agents }: FaultWorld): number {
  return random.below(agents);
}

function anyWorker(world: FaultWorld): { readonly pid: number; readonly of: string } | null {
  const index = anyAgent(world);
  const pid = pick(world.random, world.cluster.workersOf(index));
  return pid === undefined ? null : { pid, of: world.cluster.agentName(index) };
}

function anyMapOutput(world: FaultWorld): string | null {
  const first = anyAgent(world);
  for (let n = 0; n < world.agents; n++) {
    const path = pick(world.random, mapOutputsOf(world.cluster, (first + n) % world.agents));
    if (path !== undefined) return path;
  }
  return null;
}

function brief(path: string): string {
  return path.split("/").slice(-6).join("/");
}

function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(pid, name);
    return true;
  } catch {
    return false;
  }
}

export const faultKinds: readonly FaultKind[] = [
  {
    name: "N1",
    inject: (world) => {
      const worker = anyWorker(world);
      if (worker === null || !signal(worker.pid, "SIGKILL")) return null;
      return { what: `worker ${worker.pid} of ${worker.of} killed`, ...done };
    },
  },
  {
    name: "N4",
    inject: async (world) => {
      const index = anyAgent(world);
      const { cluster, random, leaseMs, copied } = world;
      if (cluster.agentPidIf(index) === null || copied.has(index)) return null;
      const healAfterMs = random.below(2) === 0 ? 0 : random.below(2 * leaseMs);
      await cluster.endAgent(index, "SIGKILL");
      return {
        what: `agent ${cluster.agentName(index)} killed, back after ${healAfterMs} ms`,
        healAfterMs,
        heal: () => cluster.startAgent(index),
      };
    },
  },
  {
    name: "N6",
    inject: async ({ cluster, random, disk }) => {
      if (!cluster.coordinatorRuns) return null;
      const healAfterMs = random.below(1_500);
      await cluster.endCoordinator("SIGKILL");
      return {
        what: `coordinator killed, back after ${healAfterMs} ms`,
        healAfterMs,
        heal: () => {
          // It would not start, and say why.
          disk?.free();
          return cluster.startCoordinator();
        },
      };
    },
  },
  {
    name: "N32",
    inject: ({ cluster, random }) => {
      if (!cluster.coordinatorRuns) return null;
      const pid = cluster.coordinatorPid;
      const healAfterMs = 1_000 + random.below(8_000);
      if (!signal(pid, "SIGSTOP")) return null;
      return {
        what: `coordinator stopped for ${healAfterMs} ms`,
        healAfterMs,
        heal: () => void (isRunning(pid) && signal(pid, "SIGCONT")),
      };
    },
  },
  {
    name: "N22",
    inject: (world) => {
      const index = anyAgent(world);
      const { cluster, wires, copied, leaseMs } = world;
      const wire = wires.joins[index]!;
      // One whose lease is over may lose its name to a copy.
      if (cluster.agentPidIf(index) === null || copied.has(index) || wire.state !== "open") return null;
      copied.add(index);
      const copy = cluster.startCopy(index, wire.url);
      return {
        what: `a copy of agent ${cluster.agentName(index)} started`,
        healAfterMs: leaseMs / 2,
        heal: async () => {
          copy.end();
          const said = await copy.said;
          copied.delete(index);
          if (said.includes("has joined"))
            world.broken(new Error(`a copy has taken an agent's place: ${said}`));
        },
      };
    },
  },
  {
    name: "S9",
    inject: ({ cluster, random, disk }) => {
      if (disk === null || disk.isFull || !cluster.coordinatorRuns || !disk.fill()) return null;
      const healAfterMs = 500 + random.below(6_000);
      return {
        what: `the coordinator's disk full for ${healAfterMs} ms`,
        healAfterMs,
        heal: () => disk.free(),
      };
    },
  },
  {
    name: "S18",
    inject: (world) => {
      const state = world.cluster.agentState(anyAgent(world));
      const bundles = namesBelow(join(state, "jobs")).filter((name) => name.endsWith("/job.mjs"));
      const blobs = namesBelow(join(state, "blobs")).map((name) => join("..", "blobs", name));
      const name = pick(world.random, [...bundles, ...blobs]);
      const at = world.random.next();
      if (name === undefined || !flipBit(join(state, "jobs", name), at)) return null;
      return {
        what: `${brief(join(state, "jobs", name))}: a bit changed at ${Math.round(at * 100)} %`,
        ...done,
      };
    },
  },
  {
    name: "N15",
    inject: (world) => {
      const worker = anyWorker(world);
      if (worker === null || !signal(worker.pid, "SIGSTOP")) return null;
      return {
        what: `worker ${worker.pid} of ${worker.of} stopped for three leases`,
        healAfterMs: 3 * world.leaseMs,
        heal: () => void (isRunning(worker.pid) && signal(worker.pid, "SIGCONT")),
      };
    },
  },
  {
    name: "S1",
    inject: (world) => {
      const path = anyMapOutput(world);
      if (path === null) return null;
      deleteFile(path);
      return { what: `${brief(path)} deleted`, ...done };
    },
  },
  {
    name: "S2",
    inject: (world) => {
      const path = anyMapOutput(world);
      const at = world.random.next();
      if (path === null || !flipBit(path, at)) return null;
      return { what: `${brief(path)}: a bit changed at ${Math.round(at * 100)} %`, ...done };
    },
  },
  {
    name: "S3",
    inject: ({ wires, random }) => {
      const wire = pick(random, wires.shuffles)!;
      const bytes = random.below(100_000);
      wire.cut();
      wire.cutNext(2, bytes);
      return {
        what: `connections to ${wire.url} cut, two more after ${bytes} bytes`,
        healAfterMs: 2_000,
        heal: () => wire.cutNext(0, 0),
      };
    },
  },
  {
    name: "S6",
    inject: ({ wires, random, leaseMs, copied }) => {
      const [where, among] = pick(random, [
        ["agent to coordinator", wires.joins],
        ["agent to agent", wires.shuffles],
      ] as const)!;
      const index = random.below(among.length);
      const wire = among[index]!;
      if (copied.has(index)) return null;
      const state = pick(random, ["dead", "refuses"] as const)!;
      const healAfterMs = random.below(2) === 0 ? random.below(leaseMs / 2) : leaseMs + random.below(leaseMs);
      wire.set(state);
      return {
        what: `${where}, wire of agent ${index} ${state} for ${healAfterMs} ms`,
        healAfterMs,
        heal: () => wire.set("open"),
      };
    },
  },
];

/**
 * A bit of each of some blobs of the coordinator. Between jobs: of what a job runs, the coordinator's may be
 * the only copy.
 */
export function damageKeptBlobs({ cluster, random }: FaultWorld): number {
  const blobs = join(cluster.state, "blobs");
  const some = readdirSync(blobs).filter(() => random.below(2) === 0);
  return some.filter((name) => flipBit(join(blobs, name), random.next())).length;
}
