import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { AttemptView, JobSummary, JobView } from "#src/protocol/job-view.js";
import { formatTask } from "#src/scheduler/ids.js";
import { sheaf, sheafHere } from "../cli/support.js";
import type { RunningSheaf, SheafOptions, SheafResult } from "../cli/support.js";
import { namesBelow } from "./files-below.js";
import { Gate, gatedWordCount } from "./gate.js";
import { assertComplete, treeOf } from "./output-tree.js";
import type { OutputTree } from "./output-tree.js";
import { RealCluster, eventually } from "./real-cluster.js";
import type { ClusterSettings } from "./real-cluster.js";

/** One job that a test has started on the cluster. */
export interface Started {
  readonly running: Pick<RunningSheaf, "done"> & Partial<RunningSheaf>;
  readonly output: string;
  /** Its id; waits until the coordinator has it. */
  id(): Promise<string>;
  /** Resolves with the worker's process id when somebody has come to that point of the gate. */
  reached(point: string): Promise<number>;
}

/** A cluster, with what jobs read and write in a directory beside it. */
export class Scene {
  readonly cluster: RealCluster;
  readonly gate: Gate;
  readonly gated: string;
  #outputs = 0;
  #lastOutput = "";

  private constructor(cluster: RealCluster) {
    this.cluster = cluster;
    this.gate = new Gate(this.path("gate"));
    this.gated = this.file("gated.ts", gatedWordCount(this.gate));
  }

  static async open(settings: ClusterSettings): Promise<Scene> {
    return new Scene(await RealCluster.start(null, settings));
  }

  async close(): Promise<void> {
    this.gate.openAll();
    await this.cluster.remove();
  }

  path(...names: string[]): string {
    return join(this.cluster.root, "scene", ...names);
  }

  file(name: string, content: string | Uint8Array): string {
    const path = this.path(name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    return path;
  }

  /** English-like text, the same for a seed. */
  async generated(kind: string, size: string, seed = 1): Promise<string> {
    const path = this.path(`${kind}-${size}-${seed}`);
    if (existsSync(path)) return path;
    mkdirSync(dirname(path), { recursive: true });
    await this.local(["gen", kind, path, "--size", size, "--seed", String(seed)]);
    return path;
  }

  /** A command on this machine alone, which must succeed. */
  async local(args: readonly string[]): Promise<SheafResult> {
    const result = await this.localAnyhow(args);
    assert.equal(result.code, 0, `sheaf ${args.join(" ")}\n${result.stderr}`);
    return result;
  }

  localAnyhow(args: readonly string[]): Promise<SheafResult> {
    const env = { SHEAF_STATE: this.cluster.clientState };
    return args[0] === "coordinator" ? sheaf(args, { timeoutMs: 120_000, env }) : sheafHere(args, { env });
  }

  /** The output of a job run on this machine alone, in the one thread that starts soonest. */
  async oracle(args: readonly string[]): Promise<OutputTree> {
    const output = this.#newOutput("local");
    await this.local(["run", ...args, "--inline", "-o", output]);
    return treeOf(output);
  }

  /** Name of the output made last. */
  get lastOutput(): string {
    return this.#lastOutput;
  }

  /**
   * Starts a job on the cluster, with an output of its own; without backups: what a gate holds seems slow.
   * Its client is a process only with options.
   */
  async start(args: readonly string[], options?: SheafOptions): Promise<Started> {
    const output = this.#newOutput("out");
    const before = new Set((await this.jobs()).map(({ job }) => job));
    const words = ["run", ...args, "--no-speculation", "-o", output];
    const running =
      options === undefined ? { done: this.cluster.run(words) } : this.cluster.start(words, options);
    let ended: SheafResult | null = null;
    void running.done.then((result) => (ended = result)).catch(() => undefined);
    /** Waits, but not for a command that has failed. */
    const during = (isSo: () => boolean | Promise<boolean>, otherwise: () => string): Promise<void> =>
      eventually(
        async () => {
          if (await isSo()) return true;
          assert.ok(ended === null || ended.code === 0, `${otherwise()}: ${ended?.stdout}\n${ended?.stderr}`);
          return false;
        },
        60_000,
        otherwise,
      );
    const id = async (): Promise<string> => {
      let found: string | undefined;
      const look = async (): Promise<boolean> => {
        found = (await this.jobs()).find(({ job }) => !before.has(job))?.job;
        return found !== undefined;
      };
      await during(look, () => "the job has not been submitted");
      return found!;
    };
    const reached = async (point: string): Promise<number> => {
      const seen = (): string =>
        `passed: ${this.gate.passed().join(" ")}; held: ${this.gate.held().join(" ")}`;
      await during(
        () => this.gate.isReached(point),
        () => `nobody came to ${point}; ${seen()}`,
      );
      return this.gate.pidAt(point);
    };
    return { running, output, id, reached };
  }

  async jobs(): Promise<readonly JobSummary[]> {
    return (await this.cluster.get<{ jobs: JobSummary[] }>("/jobs")).jobs;
  }

  job(id: string): Promise<JobView> {
    return this.cluster.get<JobView>(`/jobs/${id}`);
  }

  attempts(id: string): Promise<readonly AttemptView[]> {
    return this.cluster.get<AttemptView[]>(`/jobs/${id}/attempts`);
  }

  /** Waits until so many tasks of the job are finished. */
  async finishedTasks(id: string, count: number): Promise<void> {
    const finished = async (): Promise<number> =>
      new Set((await this.attempts(id)).filter(isLastingSuccess).map((one) => taskOf(one))).size;
    await eventually(
      async () => (await finished()) >= count,
      60_000,
      () => `fewer than ${count} tasks were finished; passed: ${this.gate.passed().join(" ")}`,
    );
  }

  /** The job has succeeded; its output is that of a run on one machine, and nothing else was left. */
  async assertDone({ running, output }: Started, expected: OutputTree): Promise<SheafResult> {
    const result = await running.done;
    assert.equal(result.code, 0, `${result.stdout}\n${result.stderr}`);
    assertComplete(output);
    assert.deepEqual(treeOf(output), expected);
    this.assertNothingBeside(output, true);
    return result;
  }

  /** What lies beside an output: nothing, and the output only if the job has succeeded. */
  assertNothingBeside(output: string, isThere: boolean): void {
    const name = output.slice(dirname(output).length + 1);
    const mine = readdirSync(dirname(output)).filter((one) => one === name || one.startsWith(`.${name}.`));
    assert.deepEqual(mine, isThere ? [name] : []);
  }

  /** Nothing of ended jobs is left on any agent. */
  async assertForgotten(): Promise<void> {
    const left = (): string[] =>
      Array.from({ length: this.cluster.settings.agents }, (_, index) => {
        const names = namesBelow(join(this.cluster.agentState(index), "jobs"));
        return names.map((name) => `${this.cluster.agentName(index)}: ${name}`);
      }).flat();
    await eventually(
      () => left().length === 0,
      20_000,
      () => `agents keep what nobody needs: ${left().join(", ")}`,
    );
  }

  /** The report a failed run has written. */
  readText(...names: string[]): string {
    return readFileSync(this.path(...names), "utf8");
  }

  #newOutput(name: string): string {
    this.#lastOutput = `${name}-${++this.#outputs}`;
    const output = this.path("outputs", this.#lastOutput);
    mkdirSync(dirname(output), { recursive: true });
    return output;
  }
}

/** "map-00003" */
export function taskOf({ attempt }: AttemptView): string {
  return formatTask(attempt);
}

/** It has succeeded, and its output was not lost since. */
export function isLastingSuccess({ state, outputLost }: AttemptView): boolean {
  return state === "SUCCEEDED" && outputLost === null;
}

/** How many attempts each task had, by task. */
export function attemptCounts(attempts: readonly AttemptView[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const one of attempts) counts[taskOf(one)] = (counts[taskOf(one)] ?? 0) + 1;
  return counts;
}

/** Tasks that had more attempts than one. */
export function againOf(attempts: readonly AttemptView[]): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(attemptCounts(attempts)).filter(([, count]) => count > 1));
}
