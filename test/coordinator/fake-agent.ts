import { crc32c } from "@node-rs/crc32";
import { Readable } from "node:stream";
import type { ErrorCode } from "#src/base/errors.js";
import type { Coordinator } from "#src/coordinator/coordinator.js";
import type { Errand, ErrandResult, Order, Registered, Running } from "#src/protocol/agent-messages.js";
import type { MapOutputs, TaskAnswer, TaskReport } from "#src/protocol/task-messages.js";
import { TASK_STATUS } from "#src/protocol/version.js";
import { type AttemptRef, formatAttempt } from "#src/scheduler/ids.js";
import type { Split } from "#src/task/split.js";
import { taskFailure } from "#src/worker/failure.js";

export type TaskOrder = NonNullable<TaskAnswer["order"]>;

/** What an agent does of its own: tests put other things in its place. */
export interface FakeWork {
  task(order: TaskOrder, agent: FakeAgent): Promise<TaskReport | null>;
  errand(errand: Errand, agent: FakeAgent): Promise<ErrandResult | null>;
}

/** A page of the list of map outputs. */
export function readOutputs(page: Buffer): MapOutputs {
  return JSON.parse(page.toString("utf8")) as MapOutputs;
}

/** Holds an agent's reduces until they are let go, or its life is over. */
export class HeldReduces {
  #isHeld = true;

  letGo(): void {
    this.#isHeld = false;
  }

  async pass(order: TaskOrder, agent: FakeAgent): Promise<void> {
    while (this.#isHeld && agent.isAlive && order.work.kind === "reduce")
      await new Promise((resolve) => setImmediate(resolve));
  }

  /** Of an agent that does nothing else of its own. */
  get work(): Pick<FakeWork, "task"> {
    return {
      task: async (order, agent) => {
        await this.pass(order, agent);
        return agent.succeed(order);
      },
    };
  }
}

export const noStats = {
  recordsIn: 10,
  bytesIn: 100,
  recordsOut: 5,
  bytesOut: 50,
  emitted: 10,
  shuffleBytes: 20,
  spills: 1,
  badRecords: 0,
  groups: 5,
  elapsedMs: 1,
  cpuMs: 1,
} as const;

/** An agent that speaks to the coordinator as the real one does, without processes, files and HTTP. */
export class FakeAgent {
  readonly name: string;
  readonly slots: number;
  readonly #coordinator: () => Coordinator;
  readonly #roots: string[];
  readonly #work: FakeWork;
  readonly running = new Map<string, Running>();
  readonly jobs = new Set<string>();
  /** Orders it has had, in order. */
  readonly had: Order[] = [];
  /** Attempts it was told to run, by name: how often. */
  readonly ran = new Map<string, number>();
  incarnation = 1;
  /** What its state directory says of it. */
  identity = { key: "key-of-it", previous: 0, life: "life-1", place: "boot-1:1:1" };
  utility = 100;
  draining = false;
  /** As its heartbeats tell them. */
  errands: { id: string; beat: number }[] = [];
  #life = new AbortController();
  #asks: number[] = [];

  constructor(
    coordinator: () => Coordinator,
    name: string,
    slots: number,
    roots: string[],
    work: Partial<FakeWork>,
  ) {
    this.#coordinator = coordinator;
    this.name = name;
    this.slots = slots;
    this.#roots = roots;
    this.#work = { task: (order) => this.succeed(order), errand: (errand) => this.answer(errand), ...work };
  }

  get isAlive(): boolean {
    return !this.#life.signal.aborted;
  }

  get coordinator(): Coordinator {
    return this.#coordinator();
  }

  /** Begins a life: registers, and asks for orders and work. */
  join(): void {
    this.#life = new AbortController();
    this.register();
    const { signal } = this.#life;
    void this.#takeOrders(signal);
    for (let slot = 0; slot < this.slots; slot++) void this.#serve(slot, signal);
  }

  register(): Registered {
    return this.coordinator.agents.register({
      protocol: 1,
      version: "0.0.0-test",
      agent: this.name,
      incarnation: this.incarnation,
      identity: this.identity,
      host: `host-of-${this.name}`,
      pid: 1,
      address: `http://127.0.0.1/${this.name}`,
      slots: this.slots,
      memoryBytes: 8 << 20,
      utility: { cpuIdle: 100, diskIdle: 100, utility: this.utility, freeMemoryBytes: 1 },
      roots: this.#roots,
    });
  }

  beat() {
    const answer = this.coordinator.agents.heartbeat(this.name, {
      incarnation: this.incarnation,
      running: [...this.running.values()],
      jobs: [...this.jobs],
      utility: { cpuIdle: 100, diskIdle: 100, utility: this.utility, freeMemoryBytes: 1 },
      draining: this.draining,
      errands: this.errands,
    });
    for (const job of answer.forget) this.jobs.delete(job);
    return answer;
  }

  /** Ends this life without a word. */
  stop(): void {
    this.#life.abort();
    this.running.clear();
  }

  /** Comes back as another life, without the files of the one before. */
  rejoin(): void {
    this.stop();
    const previous = this.incarnation++;
    this.identity = { ...this.identity, previous, life: `life-${this.incarnation}` };
    this.jobs.clear();
    this.#asks = [];
    this.join();
  }

  /** The plan: `maps` splits of one file each. */
  planned(errand: Errand, maps = 3, sample: readonly Split[] = []): ErrandResult {
    if (errand.kind !== "plan") throw new Error("no plan was asked for");
    const split = (index: number): Split => ({
      index,
      bytes: 10,
      pieces: [
        {
          kind: "file",
          path: `${this.#roots[0]}/in/${index}.txt`,
          name: `in/${index}.txt`,
          start: 0,
          end: 10,
          fileBytes: 10,
          mtimeMs: 1,
          compression: "none",
        },
      ],
    });
    const splits = Array.from({ length: maps }, (_, index) => split(index));
    const partitions = errand.options.partitions.map((count) => count ?? 1);
    const whole = { splits, sample: [...sample], files: maps, bytes: 10 * maps, partitions };
    return { kind: "planned", ...this.#self(), ...whole } as ErrandResult;
  }

  async answer(errand: Errand): Promise<ErrandResult> {
    switch (errand.kind) {
      case "plan":
        return this.planned(errand);
      case "commit": {
        const parts = (errand.results ?? []).flatMap((result) => result.parts);
        const named = parts.map(({ partition, bytes, records, crc32c: sum }, index) => ({
          file: `part-${String(index).padStart(5, "0")}`,
          collection: "",
          partition,
          bytes,
          records,
          crc32c: sum.toString(16).padStart(8, "0"),
        }));
        return { kind: "committed", ...this.#self(), parts: named };
      }
      case "discard":
        return { kind: "discarded", ...this.#self() };
      case "fold":
        return { kind: "folded", ...this.#self(), merged: "", collections: [], stop: false };
    }
  }

  failed(code: ErrorCode, message: string): ErrandResult {
    const failure = { ...taskFailure(code, message), log: [] };
    return { kind: "failed", ...this.#self(), failure };
  }

  /** Does the task as it should be done. */
  async succeed({ attempt, work }: TaskOrder): Promise<TaskReport> {
    const common = {
      kind: "success",
      stats: { ...noStats },
      counters: { [work.kind]: 1 },
      keys: [],
      pairs: [],
      hotKeys: [],
      badPath: null,
    } as const;
    if (work.kind !== "reduce") {
      const output = { task: attempt.task, attempt: attempt.attempt, path: "run" };
      const keys = work.kind === "sample" ? [["AAEC", "AAED"]] : [];
      const result = {
        ...common,
        keys,
        pairs: [],
        hotKeys: [],
        output,
        parts: [],
        partitionBytes: [[12, 8]],
      };
      const empty = { files: 2, names: [`blank-${attempt.task}.csv`, "none.csv"] };
      return {
        status: TASK_STATUS.FINISHED,
        attempt,
        result: { ...result, emptyFiles: empty },
        output: { bytes: 20, fingerprint: "f" },
      };
    }
    const { entries } = readOutputs(this.coordinator.agents.outputsPage(attempt.job, 0));
    const last = new Map(entries.map((entry) => [entry.task, entry]));
    const there = [...last.values()].filter(({ agent }) => agent !== null).length;
    const text = Buffer.from(`${work.partition}: ${there} maps\n`);
    const name = `part-${work.partition}.tsv`;
    const expected = { crc32c: crc32c(text), bytes: text.length };
    const preparation = this.coordinator.agents.preparation(attempt.job, this.name);
    const { output } = preparation;
    let path = name;
    if (output.kind === "shared") {
      const cut = output.path.lastIndexOf("/");
      const staging = `${output.path.slice(0, cut)}/.${output.path.slice(cut + 1)}.sheaf-job-${attempt.job}`;
      path = `${staging}/attempts/${formatAttempt(attempt)}/${name}`;
    } else {
      await this.upload(attempt, name, text);
    }
    const part = {
      kind: "output",
      collection: work.collection,
      partition: work.partition,
      roll: 0,
      path,
      extension: ".tsv",
      records: 1,
      ...expected,
    } as const;
    const result = {
      ...common,
      output: null,
      parts: [part],
      partitionBytes: [],
      pairs: [],
      hotKeys: [],
      keys: [],
    };
    return { status: TASK_STATUS.FINISHED, attempt, result };
  }

  /** A file that was sent to a coordinator that is gone by now is sent again. */
  async upload(attempt: AttemptRef, name: string, text: Buffer): Promise<void> {
    const { job } = attempt;
    const expected = { crc32c: crc32c(text), bytes: text.length };
    for (let to: Coordinator | null = null; to !== this.coordinator;) {
      to = this.coordinator;
      await to.agents.putResult(job, formatAttempt(attempt), name, expected, Readable.from([text]));
    }
  }

  fail({ attempt }: TaskOrder, message: string, code: "USER_CODE" | "WORKER_LOST" = "USER_CODE"): TaskReport {
    const blame = code === "USER_CODE" ? "user" : "system";
    const result = { ...taskFailure(code, message, { phase: attempt.phase, blame }), log: [] };
    return { status: TASK_STATUS.FAILED, attempt, result };
  }

  report(report: TaskReport, slot = 0, ask = 0) {
    const { job, phase, task } = report.attempt!;
    const type = ({ map: "mapper", reduce: "reducer", sample: "sampler" } as const)[phase];
    return this.coordinator.tasks.report(job, type, task, report, this.asker(slot, ask));
  }

  asker(slot: number, ask: number) {
    return {
      agent: this.name,
      incarnation: this.incarnation,
      slot,
      ask,
      workerPid: null,
      remote: "127.0.0.1",
    };
  }

  async #serve(slot: number, signal: AbortSignal): Promise<void> {
    let ask = this.#asks[slot] ?? 1;
    while (!signal.aborted) {
      const answer = await this.coordinator.tasks.askTask(this.asker(slot, ask), signal).catch(() => null);
      if (signal.aborted) return;
      if (answer?.order === null || answer === null) {
        if (answer?.ask_anew === true) ask++;
        await new Promise((resolve) => setImmediate(resolve));
        continue;
      }
      const { order } = answer;
      const name = formatAttempt(order.attempt);
      this.ran.set(`${order.attempt.job} ${name}`, (this.ran.get(`${order.attempt.job} ${name}`) ?? 0) + 1);
      this.jobs.add(order.attempt.job);
      const { attempt } = order;
      this.running.set(name, {
        attempt,
        beat: 1,
        recordsIn: 1,
        bytesIn: 1,
        recordsOut: 1,
        spillBytes: 0,
        fraction: 0.5,
      });
      const report = await this.#work.task(order, this).catch((error: unknown) => {
        if (!signal.aborted) throw error;
        return null;
      });
      if (signal.aborted) return;
      if (report !== null) await this.#insist(() => this.report(report, slot, ask), signal);
      this.running.delete(name);
      this.#asks[slot] = ++ask;
    }
  }

  async #takeOrders(signal: AbortSignal): Promise<void> {
    const heard = new Set<string>();
    while (!signal.aborted) {
      const question = { incarnation: this.incarnation, errands: [...heard] };
      const answer = await this.coordinator.agents.orders(this.name, question, signal).catch(() => null);
      if (signal.aborted) return;
      if (answer === null || answer.orders.length === 0)
        await new Promise((resolve) => setImmediate(resolve));
      for (const order of answer?.orders ?? []) {
        this.had.push(order);
        if (order.kind === "forget") this.jobs.delete(order.job);
        if (order.kind !== "errand") continue;
        const { errand } = order;
        heard.add(errand.id);
        void this.#work.errand(errand, this).then((result) => {
          if (result !== null && !signal.aborted) this.coordinator.agents.errandDone(errand.id, result);
          heard.delete(errand.id);
        });
      }
    }
  }

  /** Reports until it is heard: the coordinator may be away. */
  async #insist(report: () => Promise<unknown>, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const heard = await report().then(
        () => true,
        () => false,
      );
      if (heard) return;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #self() {
    return { agent: this.name, incarnation: this.incarnation };
  }
}
