import { PHASES } from "#src/scheduler/ids.js";
import type { Grants, SchedulerEvent } from "#src/scheduler/messages.js";
import type { JobState, Task } from "#src/scheduler/state.js";
import { demand } from "./violation.js";
import type { World } from "./world.js";

/** Remembers from the events alone what may run where: grants, drains, bars by hand. */
export class AdmissionWatch {
  readonly #world: World;
  readonly #grants = new Map<string, Grants | null>();
  /** Which life of a node drains. */
  readonly #draining = new Map<string, number>();
  readonly #handBarred = new Set<string>();

  constructor(world: World) {
    this.#world = world;
  }

  /** To be called when the event has been taken in. */
  note(event: SchedulerEvent): void {
    const { state } = this.#world.scheduler;
    switch (event.kind) {
      case "jobSubmitted":
        if (!this.#grants.has(event.job.id)) this.#grants.set(event.job.id, event.job.grants ?? null);
        return;
      case "jobGranted":
        if (this.#grants.has(event.job)) this.#grants.set(event.job, event.grants);
        return;
      case "nodeJoined":
        if (state.incarnations.get(event.node) !== this.#draining.get(event.node))
          this.#draining.delete(event.node);
        return;
      case "nodeDraining":
        if (state.nodes.get(event.node)?.incarnation !== event.incarnation) return;
        if (event.draining) this.#draining.set(event.node, event.incarnation);
        else this.#draining.delete(event.node);
        return;
      case "nodeBarredByHand":
        this.#handBarred.add(event.node);
        return;
      case "nodeAdmittedByHand":
        this.#handBarred.delete(event.node);
        return;
      default:
        return;
    }
  }

  /** An attempt that was ended for another job was beyond what its own was granted. */
  checkPreempted(job: string, node: string, key: string): void {
    const grants = this.#grants.get(job) ?? null;
    demand(grants !== null, () => `${key} was ended for another job, though it has no limit`);
    const state = this.#world.scheduler.state.jobs.get(job)!;
    const left = runningOn(state, node);
    demand(left >= (grants![node] ?? 0), () => `${key} was ended for another job within its grant`);
  }

  checkStart(task: Task, node: string, key: string): void {
    demand(!this.#draining.has(node), () => `${key} started on ${node}, which is draining`);
    demand(!this.#handBarred.has(node), () => `${key} started on ${node}, which is barred by hand`);
    const grants = this.#grants.get(task.ref.job) ?? null;
    if (grants === null || this.#world.plan.size !== "small") return;
    const running = runningOn(task.job, node);
    const granted = grants[node] ?? 0;
    demand(running <= granted, () => `${key} is number ${running} on ${node}, ${granted} were granted`);
  }
}

function runningOn(job: JobState, node: string): number {
  let running = 0;
  for (const name of PHASES) {
    for (const { attempts } of job.phases[name].tasks)
      running += attempts.filter((a) => a.state.kind === "RUNNING" && a.node.id === node).length;
  }
  return running;
}
