import { PHASES, type TaskRef } from "#src/scheduler/ids.js";
import type { JobState } from "#src/scheduler/state.js";
import { timesPreempted } from "#src/scheduler/time.js";
import { keyOf } from "./attempt-key.js";
import { auditState } from "./audit.js";
import { demand } from "./violation.js";
import type { World } from "./world.js";

/** What must be true of a world once all its jobs have ended and everything has come to rest. */
export function checkWorld(world: World): void {
  const { state } = world.scheduler;
  auditState(state);
  for (const id of world.jobs.keys()) checkJob(world, id);
  for (const node of world.nodes.values()) {
    if (!node.up) continue;
    const { id } = node.plan;
    const known = state.nodes.get(id);
    demand(
      known?.incarnation === node.incarnation,
      () => `${id}.${node.incarnation} lives, known is another life`,
    );
    node.workers.forEach((worker, slot) => {
      demand(worker.idle, () => `${id} slot ${slot} still works after the end`);
      const { kind } = known!.slots[slot]!.state;
      demand(kind === "IDLE", () => `${id} slot ${slot} waits for work but counts as ${kind}`);
    });
  }
}

function checkJob(world: World, id: string): void {
  const { monitor, plan, log } = world;
  const ended = monitor.ended.get(id);
  demand(ended !== undefined, () => `${id} did not end`);
  const job = monitor.jobs.get(id)!;
  const { status, cause } = ended!;
  const succeeded = status === "SUCCEEDED";
  demand(succeeded === (cause === null), () => `${job.id} ${status}, cause: ${cause?.message}`);
  const done = monitor.commits.has(id);
  demand(done === succeeded, () => `${job.id} ${status}, but its commit went through: ${done}`);
  if (plan.faultless) demand(succeeded, () => `${job.id} ${status} without any fault: ${cause?.message}`);
  if (plan.restartsOnly) demand(succeeded, () => `${job.id} ${status} by restarts alone: ${cause?.message}`);
  const changing = world.jobs.get(id)!.maps === "different each time";
  demand(changing || job.outputChanges === 0, () => `${job.id}: reduces started over for nothing`);
  demand(changing || cause?.code !== "NOT_DETERMINISTIC", () => `${job.id}: ${cause?.message}`);
  if (monitor.cancelledEarly.has(job.id)) {
    demand(status === "CANCELLED", () => `${job.id} was cancelled in time, but ${status}`);
  }
  if (status === "CANCELLED") demand(monitor.cancelHeard.has(job.id), () => `${job.id} CANCELLED by nobody`);
  if (status === "FAILED") {
    const injected = log.total > 0;
    demand(injected, () => `${job.id} FAILED without an injected fault: ${cause?.message}`);
  }
  checkAttempts(world, job);
  if (succeeded) checkResult(world, job, ended!.counters, ended!.failedTasks);
}

function checkAttempts(world: World, job: JobState): void {
  let attempts = 0;
  let preempted = 0;
  let tasks = 0;
  for (const name of PHASES) {
    for (const task of job.phases[name].tasks) {
      tasks++;
      preempted += timesPreempted(task);
      let blamed = 0;
      for (const { ref, state } of task.attempts) {
        attempts++;
        demand(state.kind !== "RUNNING", () => `${keyOf(ref)} has no final state`);
        if (state.kind !== "FAILED" || state.failure.blame === "system") continue;
        blamed++;
        const guilty = world.monitor.guilty.has(keyOf(ref));
        demand(guilty, () => `${keyOf(ref)} is blamed for what it did not do: ${state.failure.message}`);
      }
      const { failures } = task.state.tally;
      const { attemptsMax } = job.policy;
      const last = keyOf({ ...task.ref, attempt: task.attempts.length });
      demand(failures === blamed, () => `${last}: ${failures} attempts used up, ${blamed} failed`);
      demand(blamed <= attemptsMax, () => `${last}: ${blamed} failures, ${attemptsMax} allowed`);
      const alive = task.attempts.filter((a) => a.state.kind === "SUCCEEDED" && a.outputLost === null);
      const made = task.attempts.filter((a) => a.state.kind === "SUCCEEDED");
      if (world.plan.restartsOnly)
        demand(made.length <= 1, () => `${last}: made ${made.length} times because of restarts`);
      demand(alive.length <= 1, () => `${last}: ${alive.length} committed outputs`);
    }
  }
  if (world.plan.faultless)
    demand(
      attempts - preempted === tasks,
      () => `${job.id}: ${attempts} attempts for ${tasks} tasks, ${preempted} ended for other jobs`,
    );
}

/**
 * Each task committed once, by an attempt that really made its output final; each reduce read each map once;
 * counters right.
 */
function checkResult(
  world: World,
  job: JobState,
  counters: Readonly<Record<string, number>>,
  failedTasks: readonly TaskRef[],
): void {
  const expected = new Map<string, number>();
  let failed = 0;
  for (const name of PHASES) {
    const phase = job.phases[name];
    for (const task of phase.tasks) {
      if (task.state.kind === "FAILED") {
        failed++;
        continue;
      }
      const { kind } = task.state;
      const ref = { ...task.ref, attempt: task.state.kind === "FINISHED" ? task.state.attempt : 0 };
      demand(kind === "FINISHED", () => `${job.id} SUCCEEDED with ${keyOf(ref)} ${kind}`);
      demand(world.monitor.isPublished(ref), () => `${keyOf(ref)} counts as committed but never was`);
      if (name === "reduce") checkInputs(world, job, keyOf(ref));
      const own = world.countersOf(ref);
      for (const counter in own) expected.set(counter, (expected.get(counter) ?? 0) + own[counter]!);
    }
    const allowed = Math.floor(job.policy.failedTasksShare * phase.tasks.length);
    demand(
      phase.counts.FAILED <= allowed,
      () => `${job.id}: ${phase.counts.FAILED} failed, ${allowed} allowed`,
    );
  }
  demand(
    failed === failedTasks.length,
    () => `${job.id}: ${failed} failed tasks, ${failedTasks.length} told`,
  );
  checkSameInputs(world, job);
  const names = new Set([...expected.keys(), ...Object.keys(counters)]);
  for (const name of names) {
    const right = (counters[name] ?? 0) === (expected.get(name) ?? 0);
    demand(
      right,
      () => `${job.id}: counter "${name}" is ${counters[name]}, without faults ${expected.get(name)}`,
    );
  }
}

function checkInputs(world: World, job: JobState, key: string): void {
  const { map } = job.phases;
  const wanted = map.tasks.filter((task) => task.state.kind === "FINISHED").map((task) => task.ref.task);
  const read = (world.monitor.inputs.get(key) ?? []).map((input) => input.task);
  demand(wanted.join() === read.join(), () => `${key} read ${read.length} map outputs of ${wanted.length}`);
}

/** All reduces whose output counts have read the same. */
function checkSameInputs(world: World, job: JobState): void {
  const read = new Map<number, string>();
  for (const task of job.phases.reduce.tasks) {
    if (task.state.kind !== "FINISHED") continue;
    const key = keyOf({ ...task.ref, attempt: task.state.attempt });
    for (const { task: map, attempt } of world.monitor.inputs.get(key) ?? []) {
      const print = world.fingerprintOf({ job: job.id, phase: "map", task: map, attempt });
      if (print === null) return;
      const others = read.get(map) ?? print;
      demand(others === print, () => `${key} read other output of map ${map} than other reduces`);
      read.set(map, print);
    }
  }
}
