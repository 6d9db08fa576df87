import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { namesBelow } from "./files-below.js";
import { listeningAddresses } from "./processes.js";
import type { RealCluster } from "./real-cluster.js";
import type { ClusterSettings } from "./real-cluster.js";
import { Scene } from "./scene.js";
import { TcpProxy } from "./tcp-proxy.js";

/** A cluster whose every wire can be cut: agent to coordinator, and what other agents fetch of an agent. */
export class Wires {
  /** By agent: what it dials the coordinator through. */
  readonly joins: readonly TcpProxy[];
  /** By agent: what others fetch its map outputs through. */
  readonly shuffles: readonly TcpProxy[];
  #cluster: RealCluster | null = null;
  #coordinatorUrl = "";
  readonly #ports = new Map<number, number>();

  private constructor(joins: readonly TcpProxy[], shuffles: readonly TcpProxy[]) {
    this.joins = joins;
    this.shuffles = shuffles;
  }

  static async open(settings: ClusterSettings): Promise<{ readonly scene: Scene; readonly wires: Wires }> {
    let wires: Wires | null = null;
    const each = (target: (index: number) => number | null): Promise<TcpProxy[]> =>
      Promise.all(
        Array.from({ length: settings.agents }, (_, index) => TcpProxy.listen(() => target(index))),
      );
    const joins = await each(() => wires!.#coordinatorPort());
    const shuffles = await each((index) => wires!.#shufflePort(index));
    const opened = new Wires(joins, shuffles);
    wires = opened;
    const scene = await Scene.open({
      ...settings,
      joinUrl: (index, url) => {
        opened.#coordinatorUrl = url;
        return joins[index]!.url;
      },
      agentFlags: (index) => ["--advertise", shuffles[index]!.url, ...(settings.agentFlags?.(index) ?? [])],
    });
    opened.#cluster = scene.cluster;
    return { scene, wires: opened };
  }

  all(): readonly TcpProxy[] {
    return [...this.joins, ...this.shuffles];
  }

  openAll(): void {
    for (const wire of this.all()) wire.set("open");
  }

  async close(): Promise<void> {
    await Promise.all(this.all().map((wire) => wire.close()));
  }

  #coordinatorPort(): number {
    return Number(new URL(this.#coordinatorUrl).port);
  }

  /** Found by the process that listens, since it is another after each start. */
  #shufflePort(index: number): number | null {
    const pid = this.#cluster?.agentPidIf(index) ?? null;
    if (pid === null) return null;
    let port = this.#ports.get(pid);
    if (port === undefined) {
      const [address] = listeningAddresses(pid);
      if (address === undefined) return null;
      port = Number.parseInt(address.split(":")[1]!, 16);
      this.#ports.set(pid, port);
    }
    return port;
  }
}

/** Files with map outputs that lie in an agent's directory now. */
export function mapOutputsOf(cluster: RealCluster, index: number): string[] {
  const jobs = join(cluster.agentState(index), "jobs");
  const isOutput = (name: string): boolean => /\bmap-\d+\.\d+\/[^/]+\.run$/.test(name);
  return namesBelow(jobs)
    .filter(isOutput)
    .map((name) => join(jobs, name));
}

export function deleteFile(path: string): void {
  rmSync(path, { force: true });
}

/** Turns over one bit: `at` is where, from 0 to below 1. False when there is nothing to turn over. */
export function flipBit(path: string, at: number): boolean {
  try {
    const bytes = readFileSync(path);
    if (bytes.length === 0) return false;
    const bit = Math.floor(at * bytes.length * 8);
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    writeFileSync(path, bytes, { flag: "r+" });
    return true;
  } catch {
    return false;
  }
}
