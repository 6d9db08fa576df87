import { describeThrown, unreachable } from "../base/errors.ts";
import { pauseMs, pauseOrAbort } from "../base/retry.ts";
import type { Heartbeat, HeartbeatAnswer, Order } from "../protocol/agent-messages.ts";
import type { TaskOrder } from "../protocol/task-messages.ts";
import { formatAttempt } from "../scheduler/ids.ts";
import type { AttemptRef } from "../scheduler/ids.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import type { PoolListener } from "../worker/pool.ts";
import type { StartWorker } from "../worker/worker.ts";
import type { AgentOptions, AgentParts, LifeWorld } from "./agent-options.ts";
import { AttemptRun } from "./attempt-run.ts";
import { BlobStore } from "./blob-store.ts";
import { ErrandRunner } from "./errands.ts";
import { NodeJobs } from "./node-jobs.ts";
import { SlotLoop } from "./slot-loop.ts";
import { TaskLogs } from "./task-logs.ts";
import { WorkerSlots } from "./worker-processes.ts";

export interface WorkSetting {
  readonly world: LifeWorld;
  readonly options: AgentOptions;
  readonly parts: AgentParts;
  readonly startWorker: StartWorker;
  isLeaving(): boolean;
  /** The coordinator's answer is no success. */
  refused(error: unknown): void;
  /** Something has begun or ended that heartbeats tell of. */
  changed(): void;
}

/** What an agent does in one life: attempts in its slots, errands, and what the coordinator orders. */
export class AgentWork {
  readonly #setting: WorkSetting;
  readonly #world: LifeWorld;
  /** Attempts whose end the coordinator has not taken in, also when only their report is on its way. */
  readonly #runs = new Map<number, AttemptRun>();
  readonly #slots = new WorkerSlots();
  readonly #jobs: NodeJobs;
  readonly #logs: TaskLogs;
  readonly #errands: ErrandRunner;
  readonly #blobs: BlobStore;
  readonly #forgetting = new Set<string>();
  #nextId = 1;

  constructor(setting: WorkSetting) {
    this.#setting = setting;
    const { world, options, parts, startWorker } = setting;
    const { directory, shuffle } = parts;
    this.#world = world;
    this.#logs = new TaskLogs(world, directory.logs);
    this.#blobs = new BlobStore(world, directory.blobs);
    this.#jobs = new NodeJobs({
      world,
      directory,
      blobs: this.#blobs,
      shuffle,
      slots: this.#slots,
      startWorker,
      heapBytes: options.workerHeapBytes ?? null,
      listener: (job) => this.#listener(job),
    });
    this.#errands = new ErrandRunner(world, this.#jobs);
  }

  /** Attempts the coordinator may still hear of. */
  get running(): number {
    return this.#runs.size;
  }

  get hasErrands(): boolean {
    return this.#errands.pending.length > 0;
  }

  /** Makes room on the disk. */
  async prepare(): Promise<void> {
    await this.#blobs.prune();
  }

  /** Asks for tasks and orders until the life is over. Never rejects. */
  async run(): Promise<void> {
    const { parts, options, isLeaving, refused, changed } = this.#setting;
    const { workerMemoryBytes = null } = options;
    const world = this.#world;
    const common = { world, jobs: this.#jobs, shuffle: parts.shuffle, slots: this.#slots, workerMemoryBytes };
    const loop = {
      world,
      logs: this.#logs,
      begin: (order: TaskOrder, slot: number): AttemptRun => {
        const run = new AttemptRun(order, slot, this.#nextId++, common);
        this.#runs.set(run.id, run);
        changed();
        return run;
      },
      over: (run: AttemptRun): void => {
        this.#runs.delete(run.id);
        changed();
      },
      isLeaving,
      refused,
      void: (run: AttemptRun) => this.#discard(run.ref),
    };
    const slots = Array.from({ length: parts.slots }, (_, slot) => new SlotLoop(slot, loop).run());
    await Promise.all([this.#obeyOrders(), ...slots]);
  }

  /** Once `run` has ended: removes what is here of jobs. */
  async clear(): Promise<void> {
    await this.#jobs.forgetAll();
    await this.#logs.written();
  }

  cancelAll(reason: string): void {
    for (const run of this.#runs.values()) run.cancel(reason);
  }

  /** Sees how far each attempt is; see AttemptRun. */
  look(): void {
    for (const run of this.#runs.values()) run.look();
  }

  /** For the heartbeat. */
  view(): Pick<Heartbeat, "running" | "jobs" | "errands"> {
    const running = [...this.#runs.values()].map((run) => run.view());
    return { running, jobs: this.#jobs.ids(), errands: this.#errands.beats() };
  }

  /** What the answer to a heartbeat says of its work. */
  take({ drop = [], forget, outputs }: HeartbeatAnswer): void {
    for (const errand of drop) this.#errands.drop(errand);
    for (const job of forget) this.#forget(job);
    for (const [job, version] of Object.entries(outputs)) {
      this.#setting.parts.shuffle.outputsGrew(job, version);
    }
  }

  async #obeyOrders(): Promise<void> {
    const { api, agent, incarnation, clock, random, signal } = this.#world;
    for (let idle = 0; !signal.aborted;) {
      const askedMs = clock.nowMs();
      try {
        const question = { incarnation, errands: this.#errands.pending };
        const { orders } = await api.orders(agent, question, { signal });
        for (const order of orders) this.#obey(order);
        idle = orders.length > 0 || clock.nowMs() - askedMs > 100 ? 0 : idle + 1;
      } catch (error) {
        if (signal.aborted) return;
        this.#setting.refused(error);
        idle++;
      }
      if (idle > 0) await pauseOrAbort(pauseMs(idle, random), signal);
    }
  }

  #obey(order: Order): void {
    switch (order.kind) {
      case "kill":
        this.#find(order.attempt)?.cancel(order.reason);
        return;
      case "stop":
        this.#find(order.attempt)?.stop();
        return;
      case "tell":
        this.#find(order.attempt)?.tellAgain();
        return;
      case "discard":
        this.#find(order.attempt)?.cancel("its output is of no use");
        this.#discard(order.attempt).catch((error: unknown) => this.#cannotRemove(order.attempt.job, error));
        return;
      case "forget":
        this.#forget(order.job);
        return;
      case "errand":
        this.#errands.give(order.errand);
        return;
      case "outputs":
        this.#setting.parts.shuffle.outputsGrew(order.job, order.version);
        return;
      case "drain":
        // The coordinator gives no tasks to an agent it drains; the agent stays.
        this.#world.log("info", order.draining ? "draining, as ordered" : "no longer draining");
        this.#setting.options.drainOrdered?.(order.draining);
        return;
      default:
        unreachable(order);
    }
  }

  #find(ref: AttemptRef): AttemptRun | undefined {
    const name = formatAttempt(ref);
    return this.#ofJob(ref.job).find((run) => formatAttempt(run.ref) === name);
  }

  #ofJob(job: string): AttemptRun[] {
    return [...this.#runs.values()].filter((run) => run.ref.job === job);
  }

  async #discard(ref: AttemptRef): Promise<void> {
    if (ref.phase === "map") this.#setting.parts.shuffle.drop(ref.job, ref.task, ref.attempt);
    await this.#jobs.discard(ref);
  }

  #forget(job: string): void {
    if (this.#forgetting.has(job)) return;
    this.#forgetting.add(job);
    const runs = this.#ofJob(job);
    for (const run of runs) run.cancel("the job is over");
    Promise.all(runs.map((run) => run.over))
      .then(() => this.#jobs.forget(job))
      .then(() => this.#logs.forget(job))
      .catch((error: unknown) => this.#cannotRemove(job, error))
      .finally(() => {
        this.#forgetting.delete(job);
        this.#setting.changed();
      });
  }

  /** What is left of a job whose files are not needed any more goes with the agent's next start. */
  #cannotRemove(job: string, error: unknown): void {
    this.#world.log("error", `files of ${job} cannot be removed: ${describeThrown(error)}`, { job });
  }

  #listener(job: string): PoolListener {
    /** The attempt that ended last in each slot. */
    const last = new Map<number, AttemptRef>();
    return {
      attemptEnded: (slot, id, result) => {
        const run = this.#runs.get(id);
        if (run !== undefined) last.set(slot, run.ref);
        run?.ended(result);
      },
      told: (_slot, { id, ...told }) => this.#runs.get(id)?.told(told),
      log: (id, stream, text) =>
        this.#logs.add(job, id === null ? null : (this.#runs.get(id)?.ref ?? null), stream, text),
      stray: (failure, slot) => {
        this.#logs.add(job, null, "log", `user code threw after its task was over: ${failure.message}`);
        const attempt = last.get(slot);
        if (failure.code === "EMIT_LATE" && attempt !== undefined) this.#tellStray(attempt, failure);
      },
    };
  }

  /** An emit that came too late: a result that was reported lacks it. */
  #tellStray(attempt: AttemptRef, failure: TaskFailure): void {
    const { api, agent, incarnation, signal, log } = this.#world;
    const stray = { agent, incarnation, attempt, failure: { ...failure, log: [...failure.log] } };
    api.stray(attempt.job, stray, { signal }).catch((error: unknown) => {
      const why = `the coordinator was not told of a late emit: ${describeThrown(error)}`;
      if (!signal.aborted) log("warn", why, { job: attempt.job });
    });
  }
}
