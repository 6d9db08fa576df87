import assert from "node:assert/strict";
import { mkdirSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { listeningAddresses } from "../cluster/processes.js";
import { eventually } from "../cluster/real-cluster.js";
import { Scene } from "../cluster/scene.js";
import { Recorder } from "./recorder.js";

export const agents = 2;
export const slots = 2;
export const finals = new Set(["SUCCEEDED", "FAILED", "CANCELLED"]);

/** In the words of a process: it has met what nobody thought of. */
export const crash =
  /.*(?:[Uu]ncaught|UnhandledPromise|at (?:\S+ \()?file:\/\/\S+\/dist\/|a request failed).*/;

/** By process, ms: on the clock, and in time of the processor. */
export type Turns = Readonly<Record<string, { readonly wallMs: number; readonly cpuMs: number }>>;

/** A cluster of real processes that is listened to: all its HTTP goes through recorders. */
export class FuzzCluster {
  readonly scene: Scene;
  /** What agents and clients say to the coordinator. */
  readonly toCoordinator: Recorder;
  /** What agents say to each other. */
  readonly toShuffle: readonly Recorder[];
  readonly #probe: string;

  private constructor(scene: Scene, toCoordinator: Recorder, toShuffle: readonly Recorder[], probe: string) {
    this.scene = scene;
    this.toCoordinator = toCoordinator;
    this.toShuffle = toShuffle;
    this.#probe = probe;
  }

  static async open(): Promise<FuzzCluster> {
    let opened: FuzzCluster | null = null;
    let coordinator = "";
    const toCoordinator = await Recorder.listen(() => Number(new URL(coordinator).port));
    const toShuffle = await Promise.all(
      Array.from({ length: agents }, (_, index) => Recorder.listen(() => opened?.shufflePort(index) ?? null)),
    );
    const module = pathToFileURL(fileURLToPath(new URL("./probe.js", import.meta.url))).href;
    let probe = "";
    const roots: string[] = [];
    const scene = await Scene.open({
      agents,
      slots: () => slots,
      heartbeatMs: 500,
      leaseMs: 4_000,
      prepare: (state) => {
        probe = join(state, "..", "probe");
        mkdirSync(probe, { recursive: true });
        // Whatever paths changed messages name: nothing outside is read or written.
        roots.push("--root", join(state, "..", "scene"));
        mkdirSync(roots[1]!, { recursive: true });
      },
      startedBy: (name) =>
        name === "client" ? [] : ["env", `NODE_OPTIONS=--import=${module}`, `SHEAF_FUZZ_PROBE=${probe}`],
      coordinatorFlags: roots,
      joinUrl: (_index, url) => {
        coordinator = url;
        return toCoordinator.url;
      },
      agentFlags: (index) => [...roots, "--advertise", toShuffle[index]!.url],
    });
    opened = new FuzzCluster(scene, toCoordinator, toShuffle, probe);
    return opened;
  }

  /** Of the agent's shuffle server; null while there is none. */
  shufflePort(index: number): number | null {
    const pid = this.scene.cluster.agentPidIf(index);
    const [address] = pid === null ? [] : listeningAddresses(pid);
    return address === undefined ? null : Number.parseInt(address.split(":")[1]!, 16);
  }

  /** Ends everything; its directory stays. */
  async close(): Promise<void> {
    await this.scene.cluster.end();
    for (const recorder of [this.toCoordinator, ...this.toShuffle]) await recorder.close();
  }

  token(role: "client" | "agent"): string {
    return readFileSync(join(this.scene.cluster.state, `${role}.token`), "utf8").trim();
  }

  async kill(job: string): Promise<void> {
    await this.scene.cluster.ask("client", "POST", `/jobs/${job}/kill`, { reason: "the round is over" });
  }

  /**
   * Undoes what may have been asked for: jobs, agents that are barred, drained or gone.
   * @returns agents that had ended, and have said why
   */
  async calm(): Promise<number> {
    const { cluster } = this.scene;
    let ended = 0;
    for (let index = 0; index < agents; index++) {
      if (cluster.agentPidIf(index) !== null) continue;
      ended++;
      assert.doesNotMatch(cluster.log(`agent-${index}`).slice(-3_000), crash, `agent ${index} has crashed`);
      await cluster.startAgent(index);
    }
    const { jobs } = await cluster.get<{ jobs: { job: string; state: string }[] }>("/jobs?limit=10000");
    for (const { job, state } of jobs) if (!finals.has(state)) await this.kill(job);
    // What one of them would start is not to be among the jobs that are looked at.
    const { schedules } = await cluster.get<{ schedules: { name: string }[] }>("/schedules");
    for (const { name } of schedules) await cluster.ask("client", "POST", `/schedules/${name}/remove`, {});
    let now = "";
    const isCalm = async (): Promise<boolean> => {
      const { nodes } = await cluster.get<{ nodes: { agent: string; state: string }[] }>("/nodes");
      now = JSON.stringify(nodes).slice(0, 3_000);
      for (let index = 0; index < agents; index++) {
        const path = `/nodes/${cluster.agentName(index)}`;
        await cluster.ask("client", "POST", `${path}/drain`, { draining: false });
        await cluster.ask("client", "POST", `${path}/admit`, {});
      }
      const open = (await cluster.get<{ jobs: { state: string }[] }>("/jobs?limit=10000")).jobs;
      const up = nodes.filter(({ state }) => state === "UP" || state === "up").length;
      return up === agents && open.every(({ state }) => finals.has(state));
    };
    await eventually(isCalm, 60_000, () => `it does not become calm: ${now}`);
    return ended;
  }

  /** Nothing half-done lies about, and nothing in a log tells of a bug. */
  checkFiles(): void {
    const { cluster } = this.scene;
    const incoming = readdirSync(join(cluster.state, "blobs")).filter((name) => name.startsWith("incoming"));
    assert.deepEqual(incoming, [], "uploads that were not finished are left");
    for (const name of ["coordinator", "agent-0", "agent-1"]) {
      const found = crash.exec(cluster.log(name));
      assert.equal(found?.[0], undefined, `the log of ${name} tells of a bug`);
    }
  }

  /** The longest turn of each event loop so far. */
  turns(): Turns {
    const { cluster } = this.scene;
    const pids: [string, number | null][] = [
      ["coordinator", cluster.coordinatorRuns ? cluster.coordinatorPid : null],
      ...Array.from({ length: agents }, (_, index): [string, number | null] => [
        `agent ${index}`,
        cluster.agentPidIf(index),
      ]),
    ];
    return Object.fromEntries(
      pids.flatMap(([name, pid]) => {
        try {
          const text = readFileSync(join(this.#probe, `${pid}.json`), "utf8");
          return [[name, JSON.parse(text) as { wallMs: number; cpuMs: number }]];
        } catch {
          return [];
        }
      }),
    );
  }
}
