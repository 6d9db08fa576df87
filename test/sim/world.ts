import type { Clock } from "#src/base/clock.js";
import { hashText, type Random, seededRandom } from "#src/base/random.js";
import type { Command } from "#src/scheduler/commands.js";
import type { SchedulerEvent } from "#src/scheduler/events.js";
import type { AttemptRef } from "#src/scheduler/ids.js";
import { type Rules, standardRules } from "#src/scheduler/rules.js";
import { Scheduler } from "#src/scheduler/scheduler.js";
import { type TaskOutput, viewOutputs } from "#src/scheduler/view.js";
import { keyOf } from "./attempt-key.js";
import { EventQueue } from "./event-queue.js";
import { FactStore } from "./fact-store.js";
import { FaultLog } from "./fault-log.js";
import { Monitor } from "./monitor.js";
import { Network } from "./network.js";
import { SimNode } from "./sim-node.js";
import { chance, type FaultRates, type SimJob, type WorldPlan } from "./world-plan.js";

export interface WorldOptions {
  readonly rules?: Rules;
  /** Called with a line for everything the scheduler hears and says. */
  readonly trace?: (line: string) => void;
  /** Measures the scheduler's own cost; left out, nothing is measured. */
  readonly clock?: Clock;
}

/**
 * The scheduler, its driver, the machines and the network between them, all in one thread and on one fake
 * clock.
 */
export class World {
  readonly plan: WorldPlan;
  readonly rates: FaultRates;
  readonly queue = new EventQueue();
  readonly log = new FaultLog();
  readonly scheduler: Scheduler;
  readonly monitor: Monitor;
  readonly store = new FactStore();
  readonly nodes = new Map<string, SimNode>();
  readonly jobs = new Map<string, SimJob>();
  /** False once all jobs have ended: nothing goes wrong any more. */
  faulty = true;
  steps = 0;
  stepMs = 0;
  readonly #random: Random;
  readonly #network: Network;
  readonly #options: WorldOptions;
  /** What each reduce attempt was told to read. */
  readonly #inputs = new Map<string, readonly TaskOutput[]>();

  constructor(plan: WorldPlan, options: WorldOptions = {}) {
    this.plan = plan;
    this.rates = plan.rates;
    this.#options = options;
    this.#random = seededRandom(`run ${plan.seed}`);
    this.#network = new Network(this.queue, this.#random, plan.rates, this.log);
    this.scheduler = new Scheduler(
      { leaseMs: plan.leaseMs, keepFacts: true },
      options.rules ?? standardRules,
    );
    this.monitor = new Monitor(this);
    for (const job of plan.jobs) this.jobs.set(job.plan.id, job);
    for (const node of plan.nodes) {
      const random = seededRandom(`run ${plan.seed} node ${node.id}`);
      this.nodes.set(node.id, new SimNode(this, node, random));
    }
  }

  begin(): void {
    for (const node of this.nodes.values()) {
      if (node.plan.bad) this.log.count("bad node");
      if (node.plan.slowness > 1) this.log.count("slow node");
      this.queue.after(node.plan.joinMs, () => node.start());
      this.#plague(node);
    }
    for (const job of this.jobs.values()) {
      this.queue.after(job.submitMs, () => this.hear({ kind: "jobSubmitted", job: job.plan }));
      if (job.cancelMs !== null && job.cancelMs >= 0)
        this.cancelLater(job.plan.id, job.submitMs + job.cancelMs);
    }
    this.#tick();
  }

  /** Lets everything come to rest: no more faults, nobody paused. */
  calm(): void {
    this.faulty = false;
    this.#network.faulty = false;
    for (const node of this.nodes.values()) {
      node.pausedUntilMs = this.queue.nowMs;
      if (!node.up && node.incarnation > 0) node.start();
    }
  }

  toCoordinator(event: SchedulerEvent): void {
    this.#network.send(() => this.hear(event));
  }

  /** A report whose receipt is confirmed: `heard` runs on the node when the confirmation gets through. */
  report(event: SchedulerEvent, node: SimNode, heard: () => void): void {
    const { incarnation } = node;
    this.#network.send(() => {
      this.hear(event);
      this.#network.send(() => node.awake(incarnation, heard));
    });
  }

  /** The coordinator takes in an event and does what it is told. */
  hear(event: SchedulerEvent): void {
    const { clock, trace } = this.#options;
    const { nowMs } = this.queue;
    trace?.(`${nowMs.toFixed(1)} > ${JSON.stringify(event)}`);
    this.monitor.before(event);
    const begunMs = clock?.nowMs() ?? 0;
    const commands = this.scheduler.step(event, nowMs);
    if (clock !== undefined) this.stepMs += clock.nowMs() - begunMs;
    this.steps++;
    if (trace !== undefined)
      for (const command of commands) trace(`${nowMs.toFixed(1)} < ${JSON.stringify(command)}`);
    this.store.write(this.scheduler.takeFacts());
    this.monitor.after(event, commands);
    for (const command of commands) this.#carryOut(command);
  }

  inputsOf(attempt: AttemptRef): readonly TaskOutput[] {
    return this.#inputs.get(keyOf(attempt)) ?? [];
  }

  canFetch(job: string, input: TaskOutput): boolean {
    if (this.jobs.get(job)!.plan.policy?.outputsSurviveNode === true) return true;
    const node = this.nodes.get(input.node)!;
    const ref: AttemptRef = { job, phase: "map", task: input.task, attempt: input.attempt };
    return node.up && this.queue.nowMs >= node.pausedUntilMs && node.has(ref);
  }

  consumed(attempt: AttemptRef, inputs: readonly TaskOutput[]): void {
    this.monitor.consumed(attempt, inputs);
  }

  published(attempt: AttemptRef, granted: boolean): void {
    this.monitor.published(attempt, granted);
  }

  isPoisoned(attempt: AttemptRef): boolean {
    return this.jobs.get(attempt.job)!.poisoned.has(`${attempt.phase}/${attempt.task}`);
  }

  asksToCommit(attempt: AttemptRef): boolean {
    if (attempt.phase !== "map") return attempt.phase === "reduce";
    const { mapsAsk } = this.jobs.get(attempt.job)!;
    return mapsAsk === "always" || (mapsAsk === "sometimes" && attempt.attempt % 2 === 1);
  }

  /** How long an attempt takes to make its output final. */
  publishMsOf(attempt: AttemptRef, random: Random): number {
    return this.plan.faultless ? 20 : random.next() * this.jobs.get(attempt.job)!.publishMs;
  }

  durationOf(attempt: AttemptRef, random: Random): number {
    return this.jobs.get(attempt.job)!.taskMs * (0.85 + 0.3 * random.next());
  }

  /** The same in every attempt of a task. */
  countersOf(attempt: AttemptRef): Record<string, number> {
    const records = hashText(`${attempt.job} ${attempt.phase} ${attempt.task}`) % 1_000;
    return { [`${attempt.phase} records`]: records, [`odd ${attempt.task % 3}`]: 1 };
  }

  cancelLater(job: string, delayMs: number): void {
    this.queue.after(delayMs, () => {
      if (!this.faulty) return;
      this.log.count("cancel");
      this.hear({ kind: "jobCancelled", job, reason: "asked to" });
    });
  }

  #carryOut(command: Command): void {
    switch (command.kind) {
      case "startAttempt":
        if (command.attempt.phase === "reduce" && !this.#inputs.has(keyOf(command.attempt))) {
          this.#inputs.set(keyOf(command.attempt), [
            ...viewOutputs(this.scheduler, command.attempt.job, "map"),
          ]);
        }
        this.#toNode(command);
        return;
      case "askAnew":
      case "killAttempt":
      case "grantCommit":
      case "denyCommit":
      case "fenceNode":
      case "inviteNode":
        this.#toNode(command);
        return;
      case "discardOutput":
        for (const node of this.nodes.values()) if (node.has(command.attempt)) node.remove(command.attempt);
        return;
      case "commitJob":
        this.#commitJob(this.jobs.get(command.job)!);
        return;
      case "nodeBarred":
      case "nodeAdmitted":
      case "nodeDrained":
      case "sampleReady":
      case "jobEnded":
        return;
    }
  }

  #toNode(command: Extract<Command, { node: string; incarnation: number }>): void {
    const node = this.nodes.get(command.node)!;
    this.#network.send(() => node.awake(command.incarnation, () => node.obey(command)));
  }

  #commitJob(job: SimJob): void {
    const { id } = job.plan;
    if (job.cancelMs === -1) this.cancelLater(id, this.#random.next() * job.commitMs * 1.2);
    const fails = this.faulty && chance(this.#random, this.rates.jobCommitFailure);
    if (fails) this.log.count("job commit failure");
    this.queue.after(job.commitMs, () => {
      const event: SchedulerEvent = fails
        ? { kind: "jobCommitFailed", job: id, blame: "system", code: "DISK_FULL", message: "ENOSPC" }
        : { kind: "jobCommitted", job: id };
      this.monitor.committed(id, !fails);
      this.hear(event);
      if (chance(this.#random, this.rates.double)) this.queue.after(50, () => this.hear(event));
    });
  }

  #tick(): void {
    this.hear({ kind: "tick" });
    this.queue.after(this.plan.tickMs, () => this.#tick());
  }

  /** Crashes and pauses of one node, as long as there are faults. */
  #plague(node: SimNode): void {
    const { nodeCrashMs, nodePauseMs, pauseMaxMs } = this.rates;
    const wait = (meanMs: number): number => -Math.log(1 - this.#random.next()) * meanMs;
    const crash = (): void => {
      if (!this.faulty) return;
      if (node.up) {
        this.log.count("node crash");
        const ref = node.ref;
        node.crash();
        if (this.#random.next() < 0.3)
          this.toCoordinator({ kind: "nodeLost", ...ref, reason: "connection reset" });
        const forGood = node.plan.id !== "n0" && this.#random.next() < 0.1;
        if (!forGood) this.queue.after(500 + this.#random.next() * 20_000, () => node.up || node.start());
      }
      this.queue.after(wait(nodeCrashMs), crash);
    };
    const pause = (): void => {
      if (!this.faulty) return;
      this.log.count("node pause");
      node.pausedUntilMs = this.queue.nowMs + this.#random.next() * pauseMaxMs;
      this.queue.after(wait(nodePauseMs) + pauseMaxMs, pause);
    };
    if (nodeCrashMs > 0) this.queue.after(wait(nodeCrashMs), crash);
    if (nodePauseMs > 0) this.queue.after(wait(nodePauseMs), pause);
  }
}
