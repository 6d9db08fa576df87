import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { MiB } from "#src/base/size.js";
import type { AttemptView, JobView, NodeView } from "#src/protocol/job-view.js";
import { isGone, namesBelow } from "../cluster/files-below.js";
import {
  descendantsOf,
  isRunning,
  listeningAddresses,
  processesWith,
  residentBytesOf,
} from "../cluster/processes.js";
import { eventually } from "../cluster/real-cluster.js";
import type { RealCluster } from "../cluster/real-cluster.js";
import { isLastingSuccess, taskOf } from "../cluster/scene.js";
import type { Scene } from "../cluster/scene.js";
import { leftRunning } from "./hostile-jobs.js";

/** Resident bytes that no process may pass. */
export const memoryCaps = { coordinator: 300 * MiB, agent: 400 * MiB, worker: 1_024 * MiB };

/** The most that was seen of each. */
export interface MemoryPeaks {
  coordinator: number;
  agent: number;
  worker: number;
}

export function lookAtMemory(cluster: RealCluster, agents: number, peaks: MemoryPeaks): void {
  const note = (what: keyof MemoryPeaks, pid: number): void => {
    peaks[what] = Math.max(peaks[what], residentBytesOf(pid));
    assert.ok(peaks[what] <= memoryCaps[what], `${what} ${pid} has ${Math.round(peaks[what] / MiB)} MiB`);
  };
  if (cluster.coordinatorRuns) note("coordinator", cluster.coordinatorPid);
  for (let index = 0; index < agents; index++) {
    const pid = cluster.agentPidIf(index);
    if (pid === null) continue;
    note("agent", pid);
    for (const worker of descendantsOf(pid)) note("worker", worker);
  }
}

/** Every attempt has one final state and a cause; no task has two results that count. */
export function checkAttempts(attempts: readonly AttemptView[], view: JobView): void {
  const open = attempts.filter(
    ({ state, endedMs, cause }) =>
      state === "RUNNING" || endedMs === null || (state !== "SUCCEEDED" && (cause === null || cause === "")),
  );
  assert.deepEqual(open, [], "attempts without an end or a cause");
  const names = attempts.map((one) => `${taskOf(one)}.${one.attempt.attempt}`);
  assert.equal(new Set(names).size, names.length, "an attempt is told twice");
  const lasting = attempts.filter(isLastingSuccess).map(taskOf);
  assert.equal(new Set(lasting).size, lasting.length, "a task has two results");
  if (view.state !== "SUCCEEDED") return;
  const count = (phase: string): number => lasting.filter((task) => task.startsWith(phase)).length;
  assert.equal(count("reduce"), view.reduceTasks, "not every reduce has a result");
  // Outputs of maps may be lost when no reduce needs them any more.
  const mapped = new Set(attempts.filter(({ state }) => state === "SUCCEEDED").map(taskOf));
  assert.equal([...mapped].filter((task) => task.startsWith("map")).length, view.mapTasks);
}

/** Nothing is left of jobs: no directory, no port, no worker but one spare an agent. */
export async function checkNothingLeft(scene: Scene, agents: number): Promise<void> {
  const { cluster } = scene;
  await scene.assertForgotten();
  for (let index = 0; index < agents; index++) {
    assert.notEqual(cluster.agentPidIf(index), null, `agent ${index} has ended by itself`);
    await eventually(
      () => cluster.workersOf(index).filter(isRunning).length <= 1,
      20_000,
      () => `workers of agent ${index} are left: ${cluster.workersOf(index).join(" ")}`,
    );
    const listening = listeningAddresses(cluster.agentPid(index));
    assert.deepEqual(
      listening.filter((address) => !address.startsWith("0100007F:")),
      [],
    );
    assert.equal(listening.length, 1, `agent ${index} listens on ${listening.join(" ")}`);
  }
  assert.ok(cluster.coordinatorRuns, "the coordinator has ended by itself");
  const idle = async (): Promise<boolean> =>
    (await cluster.get<{ nodes: NodeView[] }>("/nodes")).nodes.every(
      ({ state, busy }) => state === "up" && busy === 0,
    );
  await eventually(idle, 20_000, () => "an agent is not there, or a slot of it is not given back");
  await eventually(
    () => processesWith(leftRunning).length === 0,
    20_000,
    () => `processes that jobs have started run on: ${processesWith(leftRunning).join(" ")}`,
  );
  assert.deepEqual(descendantsOf(cluster.coordinatorPid), []);
  const outputs = scene.path("outputs");
  assert.deepEqual(
    readdirSync(outputs).filter((name) => name.startsWith(".")),
    [],
    "temporary files beside outputs",
  );
}

/** What the coordinator's journal holds is what it has told. */
export async function checkJournal(scene: Scene, id: string): Promise<void> {
  const told = [await scene.job(id), await scene.attempts(id)];
  await scene.cluster.restartCoordinator();
  assert.deepEqual([await scene.job(id), await scene.attempts(id)], told, "a restart changed what is told");
}

/** No token, and no sign of a bug, in any log; of hostile jobs, which may print anything, no token. */
export function checkLogs(cluster: RealCluster, hostile: ReadonlySet<string> = new Set()): void {
  const tokens = ["client.token", "agent.token"].map((name) =>
    readFileSync(join(cluster.state, name), "utf8").trim(),
  );
  const places = [cluster.root, join(cluster.state, "jobs"), ...agentLogs(cluster)];
  for (const path of places.flatMap(logFiles)) {
    const text = textOf(path);
    for (const token of tokens) assert.ok(!text.includes(token), `${path} holds a token`);
    assert.doesNotMatch(text, /signature=[0-9a-f]{16}/i, `${path} holds a signature`);
    if ([...hostile].some((job) => path.includes(job))) continue;
    const bug = /.*(?:INTERNAL|[Uu]ncaught|UnhandledPromise|at file:\/\/\S+\/dist\/).*/.exec(text);
    assert.equal(bug?.[0], undefined, `${path} tells of a bug`);
  }
}

function agentLogs(cluster: RealCluster): string[] {
  return Array.from({ length: cluster.settings.agents }, (_, index) =>
    join(cluster.agentState(index), "logs"),
  );
}

/** Of the directory itself, or, where jobs have theirs, of all below it. */
function logFiles(directory: string): string[] {
  const isTop = !/[/](?:jobs|logs)$/.test(directory);
  return (isTop ? readdirSync(directory) : namesBelow(directory))
    .filter((name) => /\.(?:log|jsonl|json|txt)$/.test(name))
    .map((name) => join(directory, name));
}

/** "" when it is gone: agents forget the logs of jobs that are over. */
function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isGone(error)) return "";
    throw error;
  }
}
