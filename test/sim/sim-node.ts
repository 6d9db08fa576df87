import type { Random } from "#src/base/random.js";
import type { AttemptRef, NodeRef } from "#src/scheduler/ids.js";
import type { Command, SchedulerEvent } from "#src/scheduler/messages.js";
import type { FinishedOutput } from "#src/scheduler/view.js";
import { SimWorker } from "./sim-worker.js";
import type { NodePlan } from "./world-plan.js";
import type { World } from "./world.js";

/** An agent and its workers: one simulated machine. */
export class SimNode {
  readonly plan: NodePlan;
  readonly world: World;
  readonly random: Random;
  incarnation = 0;
  up = false;
  /** Frozen: its timers and what it is sent wait until it goes on. */
  pausedUntilMs = 0;
  /** Cut off: what it says, what it is told, or both gets lost until then. */
  muteUntilMs = 0;
  deafUntilMs = 0;
  draining = false;
  workers: SimWorker[] = [];
  /** Map outputs on its disk: job, then task * ATTEMPTS + attempt. */
  readonly disk = new Map<string, Set<number>>();

  /** Attempts of this life that emitted when they were over, which it has not told. */
  readonly untold: AttemptRef[] = [];

  constructor(world: World, plan: NodePlan, random: Random) {
    this.world = world;
    this.plan = plan;
    this.random = random;
  }

  get ref(): NodeRef {
    return { node: this.plan.id, incarnation: this.incarnation };
  }

  /** Begins a new life: nothing of the one before is left but its name, and perhaps what is on its disk. */
  start(): void {
    this.incarnation++;
    this.up = true;
    this.draining = false;
    if (this.random.below(2) === 0) this.disk.clear();
    this.workers = Array.from(
      { length: this.plan.slots },
      (_, slot) => new SimWorker(this, slot, this.incarnation),
    );
    this.#join();
    this.#heartbeat(this.incarnation);
    for (const worker of this.workers) worker.ask();
    for (const attempt of this.untold.splice(0))
      this.later(1_500, this.incarnation, () => this.sayLateEmit(attempt, true));
  }

  sayLateEmit(attempt: AttemptRef, isNamed: boolean): void {
    if (!this.world.faulty) return;
    const what = { code: "EMIT_LATE", blame: "user", message: "emitted late" } as const;
    const ref = isNamed ? attempt : null;
    this.say({ kind: "lateEmit", job: attempt.job, attempt: ref, ...this.ref, ...what });
  }

  crash(): void {
    this.up = false;
    for (const worker of this.workers) worker.stop();
  }

  /** Says something to the coordinator; it may not arrive. */
  say(event: SchedulerEvent): void {
    this.world.toCoordinator(event, this);
  }

  /** Runs `then` after a while, unless that life of the node is over; later when the node is paused then. */
  later(delayMs: number, incarnation: number, then: () => void): void {
    this.world.queue.after(delayMs, () => this.awake(incarnation, then));
  }

  awake(incarnation: number, then: () => void): void {
    if (!this.up || this.incarnation !== incarnation) return;
    const { queue } = this.world;
    if (queue.nowMs < this.pausedUntilMs) {
      queue.after(this.pausedUntilMs - queue.nowMs, () => this.awake(incarnation, then));
      return;
    }
    then();
  }

  /** A command has arrived; with `startAttempt`, what the attempt is to read. */
  obey(
    command: Extract<Command, { node: string; incarnation: number }>,
    inputs: readonly FinishedOutput[],
  ): void {
    if (command.incarnation !== this.incarnation) return;
    switch (command.kind) {
      case "startAttempt":
        this.workers[command.slot]?.start(command.attempt, command.ask, inputs);
        return;
      case "askAnew":
        this.workers[command.slot]?.askAnew(command.ask);
        return;
      case "killAttempt":
      case "denyCommit":
        this.#forget(command.attempt);
        this.#workerOf(command.attempt)?.kill();
        return;
      case "grantCommit":
        this.#workerOf(command.attempt)?.granted();
        return;
      case "inviteNode":
        this.#join();
        return;
      case "nodeDrained":
        if (this.draining) this.world.leave(this);
        return;
      case "fenceNode":
        this.crash();
        this.start();
        return;
      case "handOver":
        return;
    }
  }

  /** Asks to get no new tasks, or to get some again; said again with each heartbeat while it drains. */
  drain(draining: boolean): void {
    this.draining = draining;
    for (let i = 0; i < 4; i++) {
      this.later(i * 700, this.incarnation, () => {
        if (this.draining === draining) this.say({ kind: "nodeDraining", ...this.ref, draining });
      });
    }
  }

  has(attempt: AttemptRef): boolean {
    return this.disk.get(attempt.job)?.has(diskKey(attempt.task, attempt.attempt)) ?? false;
  }

  keep(attempt: AttemptRef): void {
    let outputs = this.disk.get(attempt.job);
    if (outputs === undefined) this.disk.set(attempt.job, (outputs = new Set()));
    outputs.add(diskKey(attempt.task, attempt.attempt));
  }

  remove(attempt: AttemptRef): void {
    if (attempt.phase === "map") this.disk.get(attempt.job)?.delete(diskKey(attempt.task, attempt.attempt));
  }

  #forget(attempt: AttemptRef): void {
    if (this.#workerOf(attempt) !== undefined) this.remove(attempt);
  }

  #workerOf(ref: AttemptRef): SimWorker | undefined {
    return this.workers.find((worker) => worker.runs(ref));
  }

  /** Repeated until the first answer would come: joining must not be lost. */
  #join(): void {
    const event: SchedulerEvent = { kind: "nodeJoined", ...this.ref, slots: this.plan.slots };
    for (let i = 0; i < 3; i++) this.later(i * 300, this.incarnation, () => this.say(event));
  }

  #heartbeat(incarnation: number): void {
    const { heartbeatMs } = this.world.plan;
    this.later(heartbeatMs * (0.9 + 0.2 * this.random.next()), incarnation, () => {
      const running = this.workers.flatMap((worker) => worker.unreported ?? []);
      if (this.draining) this.say({ kind: "nodeDraining", ...this.ref, draining: true });
      this.say({ kind: "nodeHeartbeat", ...this.ref, running });
      for (const worker of this.workers) worker.sayProgress();
      this.#heartbeat(incarnation);
    });
  }
}

const ATTEMPTS = 1_024;

function diskKey(task: number, attempt: number): number {
  return task * ATTEMPTS + attempt;
}
