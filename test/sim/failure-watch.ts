import { type AttemptRef, formatTask, type NodeRef } from "#src/scheduler/ids.js";
import type { SchedulerEvent } from "#src/scheduler/messages.js";
import type { Attempt, JobState, SchedulerState, Task } from "#src/scheduler/state.js";
import { keyOf } from "./attempt-key.js";
import { demand } from "./violation.js";
import type { World } from "./world.js";

/** Of one event: what has to come of it, as far as these rules go. */
type Expectation =
  /** The attempt's worker is lost. */
  | { readonly kind: "worker lost"; readonly attempt: Attempt }
  /** The attempt is lost, and its worker does not count as lost. */
  | { readonly kind: "lost alone"; readonly attempt: Attempt }
  | { readonly kind: "job fails"; readonly job: JobState }
  | { readonly kind: "job stays"; readonly job: JobState; readonly status: string };

/**
 * Works out from the events alone what fails whole jobs: workers lost under one task, late emits, what the
 * driver has found. Each rule again, in the simplest way.
 */
export class FailureWatch {
  readonly #world: World;
  #expected: Expectation | null = null;
  /** By task: the lives of nodes on which a worker was lost under it. */
  readonly #lost = new Map<string, NodeRef[]>();

  constructor(world: World) {
    this.#world = world;
  }

  before(event: SchedulerEvent): void {
    this.#expected = this.#expect(event);
  }

  after(event: SchedulerEvent): void {
    const expected = this.#expected;
    switch (expected?.kind) {
      case undefined:
        return;
      case "job fails": {
        const { status, id } = expected.job;
        const right = status.kind === "ENDED" && status.status === "FAILED";
        demand(right, () => `${id} is ${status.kind} after ${event.kind}`);
        this.#world.log.count(`job failed by ${event.kind}`);
        return;
      }
      case "job stays": {
        const { status, id } = expected.job;
        demand(status.kind === expected.status, () => `${id} was ${expected.status}, now ${status.kind}`);
        return;
      }
      case "lost alone":
        this.#checkLost(expected.attempt);
        return this.#checkTask(expected.attempt.task);
      case "worker lost": {
        const { attempt } = expected;
        this.#checkLost(attempt);
        const { node, incarnation } = event as Extract<SchedulerEvent, NodeRef>;
        const key = taskKey(attempt.ref);
        this.#lost.set(key, [...(this.#lost.get(key) ?? []), { node, incarnation }]);
        return this.#checkTask(attempt.task);
      }
    }
  }

  #expect(event: SchedulerEvent): Expectation | null {
    const { state } = this.#world.scheduler;
    switch (event.kind) {
      case "jobFailed": {
        const job = state.jobs.get(event.job);
        return job === undefined ? null : outcome(job, true);
      }
      case "lateEmit": {
        const job = state.jobs.get(event.job);
        if (job === undefined) return null;
        const { attempt } = event;
        const made = attempt && job.phases[attempt.phase].tasks[attempt.task]?.attempts[attempt.attempt - 1];
        const isOfLife = attempt === null || (made != null && isOf(made, event));
        return outcome(job, isOfLife && isAlive(state, event));
      }
      case "attemptFailed": {
        const { attempt: ref, blame, code } = event;
        const attempt = state.jobs.get(ref.job)?.phases[ref.phase].tasks[ref.task]?.attempts[ref.attempt - 1];
        if (attempt?.state.kind !== "RUNNING" || !isOf(attempt, event) || !isAlive(state, event)) return null;
        if (event.setAside === true) return { kind: "lost alone", attempt };
        if (blame !== "system") return null;
        if (code === "CANCELLED") return { kind: "lost alone", attempt };
        return code === "WORKER_LOST" ? { kind: "worker lost", attempt } : null;
      }
      case "workerGone": {
        const slot = isAlive(state, event) ? state.nodes.get(event.node)!.slots[event.slot] : undefined;
        if (slot?.state.kind !== "BUSY" || event.ask < slot.lastAsk) return null;
        const { attempt } = slot.state;
        const counts = attempt.beat !== null && !attempt.unheard;
        return { kind: counts ? "worker lost" : "lost alone", attempt };
      }
      default:
        return null;
    }
  }

  #checkLost({ ref, state }: Attempt): void {
    demand(state.kind === "LOST", () => `${keyOf(ref)} is ${state.kind}, though it was lost`);
  }

  /** A task fails by lost workers when there are enough of them, and not before. */
  #checkTask({ ref, job, state }: Task): void {
    const nodes = this.#world.scheduler.state;
    const lost = (this.#lost.get(taskKey(ref)) ?? []).filter((life) => isAlive(nodes, life)).length;
    const most = job.policy.workersLostMax;
    const exited = state.kind === "FAILED" && state.failure.code === "USER_EXITED";
    const text = (): string => `${taskKey(ref)} is ${state.kind} with ${lost} workers lost, ${most} allowed`;
    if (exited) demand(lost >= most, text);
    else demand(lost < most || state.kind === "FAILED", text);
    if (exited) this.#world.log.count("task that took its workers down");
  }
}

function taskKey(ref: AttemptRef | Task["ref"]): string {
  return `${ref.job}/${formatTask(ref)}`;
}

function outcome(job: JobState, fails: boolean): Expectation {
  const { kind } = job.status;
  return fails && kind === "RUNNING" ? { kind: "job fails", job } : { kind: "job stays", job, status: kind };
}

function isAlive(state: SchedulerState, life: NodeRef): boolean {
  return state.nodes.get(life.node)?.incarnation === life.incarnation;
}

function isOf({ node }: Attempt, life: NodeRef): boolean {
  return node.id === life.node && node.incarnation === life.incarnation;
}
