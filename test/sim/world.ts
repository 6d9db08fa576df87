import type { Clock } from "#src/base/clock.js";
import { hashText, type Random, seededRandom } from "#src/base/random.js";
import type { Fact } from "#src/scheduler/facts.js";
import type { AttemptRef } from "#src/scheduler/ids.js";
import type { Command, SchedulerEvent } from "#src/scheduler/messages.js";
import { standardRules } from "#src/scheduler/rules.js";
import type { Scheduler } from "#src/scheduler/scheduler.js";
import type { Rules } from "#src/scheduler/state.js";
import { type FinishedOutput, viewOutputs } from "#src/scheduler/view.js";
import { keyOf } from "./attempt-key.js";
import { EventQueue } from "./event-queue.js";
import { FaultLog } from "./fault-log.js";
import { Monitor } from "./monitor.js";
import { Network } from "./network.js";
import { plague, waitMs } from "./plague.js";
import { type CrashPoint, SimCoordinator, someCrashPoint } from "./sim-coordinator.js";
import { SimNode } from "./sim-node.js";
import { chance, type FaultRates, type SimJob, someGrants, type WorldPlan } from "./world-plan.js";

export interface WorldOptions {
  readonly rules?: Rules;
  /** Called with a line for everything the scheduler hears and says. */
  readonly trace?: (line: string) => void;
  /** Measures the scheduler's own cost; left out, nothing is measured. */
  readonly clock?: Clock;
  /** See CoordinatorOptions. */
  readonly tamper?: (fact: Fact) => Fact | null;
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
  readonly coordinator: SimCoordinator;
  readonly monitor: Monitor;
  readonly nodes = new Map<string, SimNode>();
  readonly jobs = new Map<string, SimJob>();
  /** False once all jobs have ended: nothing goes wrong any more. */
  faulty = true;
  steps = 0;
  /** Where the coordinator dies when it is next told something, or has next something to do. */
  #doom: CrashPoint | null = null;
  /** Commits that are being made, and whether they are going to fail. */
  readonly #commits = new Map<string, boolean>();
  readonly #random: Random;
  readonly #network: Network;
  readonly #options: WorldOptions;
  /** What each reduce attempt was told to read. */
  readonly #inputs = new Map<string, readonly FinishedOutput[]>();

  constructor(plan: WorldPlan, options: WorldOptions = {}) {
    this.plan = plan;
    this.rates = plan.rates;
    this.#options = options;
    this.#random = seededRandom(`run ${plan.seed}`);
    this.#network = new Network(this.queue, this.#random, plan.rates, this.log);
    const { rules = standardRules, clock, tamper } = options;
    this.coordinator = new SimCoordinator({
      rules,
      leaseMs: plan.leaseMs,
      ...(clock && { clock }),
      ...(tamper && { tamper }),
    });
    this.monitor = new Monitor(this);
    for (const job of plan.jobs) this.jobs.set(job.plan.id, job);
    for (const node of plan.nodes) {
      const random = seededRandom(`run ${plan.seed} node ${node.id}`);
      this.nodes.set(node.id, new SimNode(this, node, random));
    }
  }

  get scheduler(): Scheduler {
    return this.coordinator.scheduler;
  }

  begin(): void {
    for (const node of this.nodes.values()) {
      if (node.plan.bad) this.log.count("bad node");
      if (node.plan.slowness > 1) this.log.count("slow node");
      this.queue.after(node.plan.joinMs, () => node.start());
      plague(this, node, this.#random);
    }
    for (const job of this.jobs.values()) {
      this.queue.after(job.submitMs, () => this.#submit(job));
      if (job.regrantMs > 0) this.#regrantLater(job);
      if (job.cancelMs !== null && job.cancelMs >= 0)
        this.cancelLater(job.plan.id, job.submitMs + job.cancelMs);
      if (job.failureMs !== null && job.failureMs >= 0)
        this.#failLater(job.plan.id, job.submitMs + job.failureMs);
    }
    if (this.rates.coordinatorCrashMs > 0) this.#doomLater();
    this.#tick();
  }

  /** Lets everything come to rest: no more faults, nobody paused. */
  calm(): void {
    this.faulty = false;
    this.#network.faulty = false;
    this.#doom = null;
    if (!this.coordinator.up) this.#restart();
    for (const node of this.nodes.values()) {
      const { nowMs } = this.queue;
      node.pausedUntilMs = nowMs;
      node.muteUntilMs = nowMs;
      node.deafUntilMs = nowMs;
      this.hear({ kind: "nodeAdmittedByHand", node: node.plan.id });
      if (!node.up && node.incarnation > 0) node.start();
      else if (node.draining) node.drain(false);
    }
  }

  toCoordinator(event: SchedulerEvent, node: SimNode): void {
    this.#network.send(
      () => this.hear(event),
      () => this.queue.nowMs < node.muteUntilMs,
    );
  }

  /** A report whose receipt is confirmed: `heard` runs on the node when the confirmation gets through. */
  report(event: SchedulerEvent, node: SimNode, heard: () => void): void {
    const { incarnation } = node;
    const isMute = (): boolean => this.queue.nowMs < node.muteUntilMs;
    const isDeaf = (): boolean => this.queue.nowMs < node.deafUntilMs;
    this.#network.send(() => {
      if (this.hear(event)) this.#network.send(() => node.awake(incarnation, heard), isDeaf);
    }, isMute);
  }

  /** The coordinator takes in an event and does what it is told; false: it did not get to answering. */
  hear(event: SchedulerEvent): boolean {
    const { coordinator, queue, monitor } = this;
    if (!coordinator.up) return false;
    const { nowMs } = queue;
    const dies = event.kind === "tick" ? null : this.#doom;
    if (dies === "before facts are written") {
      this.#die(dies, event);
      return false;
    }
    this.#trace(">", event);
    monitor.before(event);
    const commands = coordinator.step(event, nowMs);
    this.steps++;
    for (const command of commands) this.#trace("<", command);
    monitor.after(event, commands);
    if (dies === null || commands.length === 0) {
      for (const command of commands) this.#carryOut(command);
      return true;
    }
    const sent = dies === "between commands" ? this.#random.below(commands.length + 1) : 0;
    for (const command of commands.slice(0, sent)) this.#carryOut(command);
    this.#die(dies, null);
    return false;
  }

  canFetch(job: string, input: FinishedOutput): boolean {
    if (this.jobs.get(job)!.plan.policy?.outputsSurviveNode === true) return true;
    const node = this.nodes.get(input.node)!;
    const ref: AttemptRef = { job, phase: "map", task: input.task, attempt: input.attempt };
    const reachableMs = Math.max(node.pausedUntilMs, node.muteUntilMs, node.deafUntilMs);
    return node.up && this.queue.nowMs >= reachableMs && node.has(ref);
  }

  consumed(attempt: AttemptRef, inputs: readonly FinishedOutput[]): void {
    this.monitor.consumed(attempt, inputs);
  }

  published(attempt: AttemptRef, granted: boolean): void {
    this.monitor.published(attempt, granted);
  }

  isPoisoned(attempt: AttemptRef): boolean {
    return this.jobs.get(attempt.job)!.poisoned.has(`${attempt.phase}/${attempt.task}`);
  }

  /** Ends the workers that run it. */
  isDeadly(attempt: AttemptRef): boolean {
    return this.jobs.get(attempt.job)!.deadly.has(`${attempt.phase}/${attempt.task}`);
  }

  /** Meets a bad record that no attempt has met before. */
  meetsBadRecord({ job, phase, task, attempt }: AttemptRef): boolean {
    return attempt <= (this.jobs.get(job)!.badRecords.get(`${phase}/${task}`) ?? 0);
  }

  emitsLate(attempt: AttemptRef, random: Random, times = 1): boolean {
    return this.faulty && chance(random, times * this.jobs.get(attempt.job)!.lateEmit);
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

  /** What a map attempt says of its output; null: nothing. */
  fingerprintOf(attempt: AttemptRef): string | null {
    const { maps } = this.jobs.get(attempt.job)!;
    if (attempt.phase !== "map" || maps === "silent") return null;
    const print = `${attempt.job} ${attempt.task}`;
    const odd = maps === "different each time" && hashText(`${print} ${attempt.attempt}`) % 3 === 0;
    return odd ? `${print}, another` : print;
  }

  /** A drained node goes, and perhaps comes back. */
  leave(node: SimNode): void {
    node.crash();
    this.queue.after(500 + this.#random.next() * 20_000, () => node.up || node.start());
  }

  cancelLater(job: string, delayMs: number): void {
    this.queue.after(delayMs, () => {
      if (!this.faulty) return;
      this.log.count("cancel");
      this.hear({ kind: "jobCancelled", job, reason: "asked to" });
    });
  }

  #failLater(job: string, delayMs: number): void {
    this.queue.after(delayMs, () => {
      if (!this.faulty) return;
      this.log.count("job failure");
      this.hear({
        kind: "jobFailed",
        job,
        blame: "data",
        code: "BAD_BUDGET",
        message: "too many bad records",
      });
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
      case "nodeDrained":
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
      case "sampleReady":
      case "jobEnded":
      // Its maps are not cut.
      case "handOver":
        return;
    }
  }

  #toNode(command: Extract<Command, { node: string; incarnation: number }>): void {
    const node = this.nodes.get(command.node)!;
    const isDeaf = (): boolean => this.queue.nowMs < node.deafUntilMs;
    const inputs = command.kind === "startAttempt" ? this.#inputs.get(keyOf(command.attempt)) : undefined;
    const obey = (): void => node.obey(command, inputs ?? []);
    this.#network.send(() => node.awake(command.incarnation, obey), isDeaf);
  }

  #commitJob(job: SimJob): void {
    const { id } = job.plan;
    if (job.cancelMs === -1) this.cancelLater(id, this.#random.next() * job.commitMs * 1.2);
    if (job.failureMs === -1) this.#failLater(id, this.#random.next() * job.commitMs);
    const done = this.monitor.commits.has(id);
    const fails = !done && this.faulty && chance(this.#random, this.rates.jobCommitFailure);
    if (fails) this.log.count("job commit failure");
    this.#commits.set(id, fails);
    const { life } = this.coordinator;
    this.queue.after(job.commitMs, () => {
      if (life !== this.coordinator.life) return;
      this.#commits.delete(id);
      const event: SchedulerEvent = fails
        ? { kind: "jobCommitFailed", job: id, blame: "system", code: "DISK_FULL", message: "ENOSPC" }
        : { kind: "jobCommitted", job: id };
      if (!fails && !done) this.monitor.committed(id);
      this.hear(event);
      if (chance(this.#random, this.rates.double)) this.queue.after(50, () => this.hear(event));
    });
  }

  #tick(): void {
    this.hear({ kind: "tick" });
    this.queue.after(this.plan.tickMs, () => this.#tick());
  }

  #trace(sign: string, what: unknown): void {
    this.#options.trace?.(`${this.queue.nowMs.toFixed(1)} ${sign} ${JSON.stringify(what)}`);
  }

  /** Until it is acknowledged, and once only: its coordinator looks up its id. */
  #submit(job: SimJob): void {
    if (this.monitor.submitted.has(job.plan.id)) return;
    this.hear({ kind: "jobSubmitted", job: job.plan });
    this.queue.after(400, () => this.#submit(job));
  }

  #regrantLater(job: SimJob): void {
    this.queue.after(waitMs(this.#random, job.regrantMs), () => {
      if (!this.faulty) return;
      const grants = this.#random.below(8) === 0 ? null : someGrants(this.#random, this.plan.nodes);
      this.hear({ kind: "jobGranted", job: job.plan.id, grants });
      this.#regrantLater(job);
    });
  }

  /** Dooms the coordinator again and again: it dies at what it does next, and comes back after a while. */
  #doomLater(): void {
    this.queue.after(waitMs(this.#random, this.rates.coordinatorCrashMs), () => {
      if (!this.faulty) return;
      this.#doom = someCrashPoint(this.#random);
      this.#doomLater();
    });
  }

  #die(point: CrashPoint, event: SchedulerEvent | null): void {
    this.#trace("!", `the coordinator dies ${point}`);
    this.log.count(`coordinator killed ${point}`);
    this.#doom = null;
    this.coordinator.die(event, this.queue.nowMs);
    this.#inputs.clear();
    for (const [job, fails] of this.#commits)
      if (!fails && !this.monitor.commits.has(job) && this.#random.below(2) === 0)
        this.monitor.committed(job);
    this.#commits.clear();
    this.queue.after(this.#random.next() * this.rates.coordinatorAwayMs, () => this.#restart());
  }

  #restart(): void {
    if (this.coordinator.up) return;
    const commands = this.coordinator.restart(this.queue.nowMs);
    this.#trace("!", "the coordinator is back");
    this.monitor.restored(commands);
    for (const command of commands) this.#carryOut(command);
  }
}
