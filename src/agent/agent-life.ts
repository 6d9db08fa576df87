import { hostname, totalmem } from "node:os";
import { SheafError, describeThrown, isSheafError, unreachable } from "../base/errors.ts";
import { pauseFor, pauseMs } from "../base/retry.ts";
import type { HeartbeatAnswer, Identity, Order, Register, Utility } from "../protocol/agent-messages.ts";
import type { TaskOrder } from "../protocol/task-messages.ts";
import { PROTOCOL_VERSION } from "../protocol/version.ts";
import type { PoolListener } from "../worker/pool.ts";
import type { StartWorker } from "../worker/worker.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import type { AgentDirectory } from "./agent-directory.ts";
import { untilAnswered } from "./agent-options.ts";
import type { AgentWorld } from "./agent-options.ts";
import { AttemptRun } from "./attempt-run.ts";
import { AttemptTable } from "./attempt-table.ts";
import { BlobStore } from "./blob-store.ts";
import { Errands } from "./errands.ts";
import type { HeartbeatNews, HeartbeatState } from "./heartbeat-thread.ts";
import { NameClaim } from "./name-claim.ts";
import { NodeJobs } from "./node-jobs.ts";
import type { ShuffleNode } from "../exchange/shuffle-node.ts";
import { SlotLoop } from "./slot-loop.ts";
import { TaskLogs } from "./task-logs.ts";
import { WorkerSlots } from "./worker-processes.ts";

export interface LifeOptions {
  readonly world: AgentWorld;
  readonly agent: string;
  readonly version: string;
  readonly incarnation: number;
  readonly identity: Identity;
  readonly slots: number;
  readonly address: string;
  readonly roots: readonly string[];
  readonly directory: AgentDirectory;
  readonly shuffle: ShuffleNode;
  readonly startWorker: StartWorker;
  readonly workerHeapBytes: number | null;
  readonly workerMemoryBytes: number | null;
  /** Time between heartbeats, ms; null: what the coordinator says. */
  readonly heartbeatMs: number | null;
  /** A coordinator that is silent for so long is given up, ms; Infinity: never. */
  readonly giveUpMs: number;
  measure(): Utility;
  /** Has heartbeats say this from now on. */
  tell(state: HeartbeatState): void;
  /** Called at each registration. */
  joined(): void;
  readonly drainOrdered: ((draining: boolean) => void) | undefined;
}

/** How a life ended: the agent leaves, for good, or begins another with a number above `above`. */
export type LifeEnd =
  | { readonly kind: "left" }
  | { readonly kind: "fenced"; readonly above: number }
  /** The coordinator does not answer any more. */
  | { readonly kind: "gone"; readonly error: SheafError };

const lookMs = 250;
/** What an agent that leaves waits at most for the answers to its last reports. */
const handBackMsMax = 3_000;
/** And for the answer to its leaving. */
const leaveMsMax = 2_000;

/**
 * One life of an agent, under one incarnation: registers, has its slots ask for tasks, obeys orders. When the
 * coordinator has given it up, everything in it is void.
 */
export class AgentLife {
  readonly #options: LifeOptions;
  readonly #over = new AbortController();
  readonly #table = new AttemptTable(() => this.#changed());
  readonly #slots = new WorkerSlots();
  readonly #jobs: NodeJobs;
  readonly #logs: TaskLogs;
  readonly #errands: Errands;
  readonly #blobs: BlobStore;
  readonly #name: NameClaim;
  readonly #forgetting = new Set<string>();
  #end!: (end: LifeEnd) => void;
  #ended = new Promise<LifeEnd>((resolve) => (this.#end = resolve));
  #timing: { readonly heartbeatMs: number; readonly leaseMs: number } | null = null;
  #registering = false;
  #draining = false;
  /** The coordinator knows that it drains, or is not there to be told. */
  #drainingHeard = false;
  /** It drains, and the coordinator has said that nothing of what is here is needed. */
  #mayLeave = false;
  #silent = false;
  #silentSinceMs = 0;
  #nextId = 1;
  #waiting: (() => void)[] = [];

  constructor(options: LifeOptions) {
    this.#options = options;
    const { world, agent, incarnation, directory, shuffle, roots } = options;
    const { signal } = this.#over;
    this.#logs = new TaskLogs(world, agent, directory.logs, signal);
    this.#blobs = new BlobStore(world, directory.blobs);
    this.#name = new NameClaim(world, agent, directory.path);
    this.#jobs = new NodeJobs({
      world,
      agent,
      directory,
      blobs: this.#blobs,
      shuffle,
      slots: this.#slots,
      startWorker: options.startWorker,
      heapBytes: options.workerHeapBytes,
      signal,
      listener: (job) => this.#listener(job),
    });
    this.#errands = new Errands({ world, agent, incarnation, roots, jobs: this.#jobs, signal });
  }

  /**
   * Lives it to its end; then nothing of it is left running.
   * @throws SheafError when the coordinator refuses the first registration: VERSION_MISMATCH, UNAUTHORIZED;
   * NAME_TAKEN
   */
  async run(): Promise<LifeEnd> {
    let loops: Promise<void>[] = [];
    let timer: NodeJS.Timeout | undefined;
    try {
      await this.#blobs.prune();
      if (!(await this.#registerFirst())) return await this.#ended;
      timer = setInterval(() => this.#tick(), Math.min(lookMs, this.#timing!.heartbeatMs / 2));
      loops = [this.#obeyOrders(), ...this.#slotLoops()];
      return await this.#ended;
    } finally {
      this.#over.abort();
      this.#options.tell({ heartbeat: null, everyMs: 1_000, silentMsMax: 0, now: false });
      for (const run of this.#table.all()) run.cancel("this life of the agent is over");
      await Promise.all(loops);
      await this.#jobs.forgetAll();
      await this.#logs.written();
      clearInterval(timer);
    }
  }

  /** What the heartbeat thread has heard. */
  heard(news: HeartbeatNews): void {
    if (news.incarnation !== this.#options.incarnation || this.#over.signal.aborted) return;
    if (news.kind === "failed") {
      this.#silence(news.code === "UNREACHABLE", news.message);
      if (news.code === "FENCED") this.#fenced(this.#options.incarnation);
      if (this.#silent) this.#drainingHeard = this.#draining;
      return;
    }
    this.#silence(false, "");
    if (this.#draining && news.draining) this.#drainingHeard = true;
    this.#take(news.answer);
    this.#wake();
  }

  /**
   * Takes no new tasks and leaves when what runs is finished, or handed back because `graceMs` are over. So
   * long map outputs that are needed are served.
   */
  async drain(graceMs: number): Promise<void> {
    const { clock } = this.#options.world;
    const endMs = clock.nowMs() + graceMs;
    this.#draining = true;
    this.#tellHeartbeats(true);
    await this.#until(() => this.#table.size === 0 && (this.#drainingHeard || this.#timing === null), endMs);
    for (const run of this.#table.all()) run.cancel("the agent is leaving the cluster");
    await this.#until(() => this.#table.size === 0, clock.nowMs() + handBackMsMax);
    const isDone = (): boolean => this.#mayLeave || this.#options.shuffle.jobs().length === 0;
    await this.#until(() => isDone() && this.#errands.pending.length === 0, endMs);
    await this.#tellLeaving();
    this.leave();
  }

  /** So that the coordinator need not wait for the end of the lease. */
  async #tellLeaving(): Promise<void> {
    if (this.#timing === null || this.#over.signal.aborted) return;
    const { world, agent, incarnation } = this.#options;
    const call = { retryMs: 0, timeoutMs: leaveMsMax, signal: this.#over.signal };
    await world.api.leave(agent, incarnation, call).catch((error: unknown) => {
      world.log("warn", `the coordinator was not told that this agent leaves: ${describeThrown(error)}`);
    });
  }

  /** Ends everything at once. */
  leave(): void {
    this.#end({ kind: "left" });
  }

  async #registerFirst(): Promise<boolean> {
    const { world } = this.#options;
    for (let tries = 1; ; tries++) {
      const registered = this.#register();
      const ended = await Promise.race([registered, this.#ended.then(() => "ended" as const)]);
      if (ended === "ended") {
        this.#over.abort();
        await registered.catch(() => undefined);
        return false;
      }
      if (ended) return true;
      await pauseFor(pauseMs(tries, world.random), this.#over.signal).catch(() => undefined);
    }
  }

  /** False: fenced, and over; or its name is taken for now. @throws SheafError NAME_TAKEN */
  async #register(): Promise<boolean> {
    const { world, incarnation } = this.#options;
    const call = { signal: this.#over.signal, retryMs: this.#options.giveUpMs };
    const answer = await world.api.register(this.#registration(), call);
    if (answer.fencedBelow !== null) {
      this.#fenced(Math.max(answer.fencedBelow, incarnation));
      return false;
    }
    if (answer.taken !== undefined) {
      this.#name.taken(answer.taken, answer.leaseMs);
      return false;
    }
    const heartbeatMs = this.#options.heartbeatMs ?? answer.heartbeatMs;
    this.#timing = { heartbeatMs, leaseMs: answer.leaseMs };
    this.#options.joined();
    this.#tellHeartbeats(true);
    return true;
  }

  #registration(): Register {
    const { agent, version, incarnation, identity, slots, address, roots } = this.#options;
    return {
      protocol: PROTOCOL_VERSION,
      version,
      agent,
      incarnation,
      identity,
      host: hostname(),
      pid: process.pid,
      address,
      slots,
      memoryBytes: totalmem(),
      utility: this.#options.measure(),
      roots: [...roots],
    };
  }

  /** The coordinator does not know this life: it has forgotten, or was never told. */
  #rejoin(): void {
    if (this.#registering) return;
    this.#registering = true;
    this.#register()
      .catch((error: unknown) => {
        if (this.#over.signal.aborted) return;
        // The next life asks for the name again, and ends the agent if it does not get it.
        if (isSheafError(error) && error.code === "NAME_TAKEN")
          return this.#fenced(this.#options.incarnation);
        this.#options.world.log("error", `cannot join again: ${describeThrown(error)}`);
        return pauseFor(pauseMs(5, this.#options.world.random), this.#over.signal).catch(() => undefined);
      })
      .finally(() => (this.#registering = false));
  }

  #fenced(above: number): void {
    const { world, incarnation } = this.#options;
    if (this.#over.signal.aborted) return;
    world.log("warn", "the coordinator gave this agent up: what it had is void, it joins anew", {
      incarnation,
    });
    this.#end({ kind: "fenced", above });
  }

  #take(answer: HeartbeatAnswer): void {
    if (answer.standing === "fenced") return this.#fenced(this.#options.incarnation);
    if (answer.standing === "join") return this.#rejoin();
    if (this.#draining && answer.needed === 0) this.#mayLeave = true;
    for (const errand of answer.drop ?? []) this.#errands.drop(errand);
    for (const job of answer.forget) this.#forget(job);
    for (const [job, version] of Object.entries(answer.outputs)) {
      this.#options.shuffle.outputsGrew(job, version);
    }
  }

  #slotLoops(): Promise<void>[] {
    const { world, agent, incarnation, slots } = this.#options;
    const setting = {
      world,
      agent,
      incarnation,
      table: this.#table,
      logs: this.#logs,
      signal: this.#over.signal,
      make: (order: TaskOrder, slot: number) => this.#makeRun(order, slot),
      isDraining: () => this.#draining,
      refused: (error: unknown) => this.#refused(error),
      void: (run: AttemptRun) => this.#discard(run.ref),
    };
    return Array.from({ length: slots }, (_, slot) => new SlotLoop(slot, setting).run());
  }

  #makeRun(order: TaskOrder, slot: number): AttemptRun {
    const { world, shuffle, workerMemoryBytes, roots } = this.#options;
    const setting = { world, jobs: this.#jobs, shuffle, slots: this.#slots, workerMemoryBytes, roots };
    return new AttemptRun(order, slot, this.#nextId++, setting);
  }

  async #obeyOrders(): Promise<void> {
    const { world, agent, incarnation } = this.#options;
    const { signal } = this.#over;
    for (let idle = 0; !signal.aborted;) {
      const askedMs = world.clock.nowMs();
      try {
        const question = { incarnation, errands: this.#errands.pending };
        const { orders } = await world.api.orders(agent, question, { signal, ...untilAnswered });
        for (const order of orders) this.#obey(order);
        idle = orders.length > 0 || world.clock.nowMs() - askedMs > 100 ? 0 : idle + 1;
      } catch (error) {
        if (signal.aborted) return;
        this.#refused(error);
        idle++;
      }
      if (idle > 0) await pauseFor(pauseMs(idle, world.random), signal).catch(() => undefined);
    }
  }

  #obey(order: Order): void {
    switch (order.kind) {
      case "kill":
        this.#table.find(order.attempt)?.cancel(order.reason);
        return;
      case "discard":
        this.#table.find(order.attempt)?.cancel("its output is of no use");
        this.#discard(order.attempt).catch((error: unknown) => this.#cannotRemove(order.attempt.job, error));
        return;
      case "forget":
        this.#forget(order.job);
        return;
      case "errand":
        this.#errands.give(order.errand);
        return;
      case "outputs":
        this.#options.shuffle.outputsGrew(order.job, order.version);
        return;
      case "drain":
        // The coordinator gives no tasks to an agent it drains; the agent stays.
        this.#options.world.log("info", order.draining ? "draining, as ordered" : "no longer draining");
        this.#options.drainOrdered?.(order.draining);
        return;
      default:
        unreachable(order);
    }
  }

  async #discard(ref: AttemptRun["ref"]): Promise<void> {
    if (ref.phase === "map") this.#options.shuffle.drop(ref.job, ref.task, ref.attempt);
    await this.#jobs.discard(ref, this.#options.roots);
  }

  #forget(job: string): void {
    if (this.#forgetting.has(job)) return;
    this.#forgetting.add(job);
    for (const run of this.#table.ofJob(job)) run.cancel("the job is over");
    Promise.all(this.#table.ofJob(job).map((run) => run.over))
      .then(() => this.#jobs.forget(job))
      .then(() => this.#logs.forget(job))
      .catch((error: unknown) => this.#cannotRemove(job, error))
      .finally(() => {
        this.#forgetting.delete(job);
        this.#changed();
      });
  }

  /** What is left of a job whose files are not needed any more goes with the agent's next start. */
  #cannotRemove(job: string, error: unknown): void {
    this.#options.world.log("error", `files of ${job} cannot be removed: ${describeThrown(error)}`, { job });
  }

  /** What an answer other than success says about this life. */
  #refused(error: unknown): void {
    const code = isSheafError(error) ? error.code : "INTERNAL";
    if (code === "FENCED") this.#fenced(this.#options.incarnation);
    else if (code === "NOT_FOUND") this.#rejoin();
    else this.#options.world.log("error", `the coordinator refuses: ${describeThrown(error)}`);
  }

  #listener(job: string): PoolListener {
    /** The attempt that ended last in each slot. */
    const last = new Map<number, AttemptRun["ref"]>();
    return {
      attemptEnded: (slot, id, result) => {
        const run = this.#table.byId(id);
        if (run !== undefined) last.set(slot, run.ref);
        run?.ended(result);
      },
      log: (id, stream, text) => this.#logs.add(job, this.#table.byId(id)?.ref ?? null, stream, text),
      stray: (failure, slot) => {
        this.#logs.add(job, null, "log", `user code threw after its task was over: ${failure.message}`);
        const attempt = last.get(slot);
        if (failure.code === "EMIT_LATE" && attempt !== undefined) this.#tellStray(attempt, failure);
      },
    };
  }

  /** An emit that came too late: a result that was reported lacks it. */
  #tellStray(attempt: AttemptRun["ref"], failure: TaskFailure): void {
    const { world, agent, incarnation } = this.#options;
    const stray = { agent, incarnation, attempt, failure: { ...failure, log: [...failure.log] } };
    world.api.stray(attempt.job, stray, { signal: this.#over.signal, ...untilAnswered }).catch((error) => {
      const why = `the coordinator was not told of a late emit: ${describeThrown(error)}`;
      if (!this.#over.signal.aborted) world.log("warn", why, { job: attempt.job });
    });
  }

  #tick(): void {
    this.#table.look();
    this.#changed();
  }

  #changed(): void {
    this.#tellHeartbeats(false);
    this.#wake();
  }

  #tellHeartbeats(now: boolean): void {
    if (this.#timing === null || this.#over.signal.aborted) return;
    const { heartbeatMs, leaseMs } = this.#timing;
    this.#options.tell({
      heartbeat: {
        incarnation: this.#options.incarnation,
        running: this.#table.views(),
        jobs: this.#jobs.ids(),
        utility: this.#options.measure(),
        draining: this.#draining,
        errands: this.#errands.beats(),
      },
      everyMs: heartbeatMs,
      silentMsMax: 2 * leaseMs,
      now,
    });
  }

  #silence(silent: boolean, message: string): void {
    const { world, giveUpMs } = this.#options;
    const { log } = world;
    if (silent && this.#silent && world.clock.nowMs() - this.#silentSinceMs >= giveUpMs) {
      const said = `the coordinator has not answered for ${Math.round(giveUpMs / 1000)} s: ${message}`;
      const error = new SheafError("UNREACHABLE", said, { hint: "It has ended, or cannot be reached." });
      return this.#end({ kind: "gone", error });
    }
    if (silent === this.#silent) return;
    this.#silent = silent;
    this.#silentSinceMs = world.clock.nowMs();
    if (silent) log("warn", `the coordinator does not answer, work goes on: ${message}`);
    else log("info", "the coordinator answers again");
  }

  /** Resolves when the condition holds, or when the time is over. */
  async #until(condition: () => boolean, endMs: number): Promise<void> {
    const { clock } = this.#options.world;
    while (!condition() && clock.nowMs() < endMs && !this.#over.signal.aborted) {
      const stop = new AbortController();
      this.#waiting.push(() => stop.abort());
      await pauseFor(endMs - clock.nowMs(), AbortSignal.any([stop.signal, this.#over.signal])).catch(
        () => undefined,
      );
    }
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}
