import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import type { TestContext } from "node:test";
import type { Clock } from "#src/base/clock.js";
import { seededRandom } from "#src/base/random.js";
import { Coordinator } from "#src/coordinator/coordinator.js";
import type { openDatabase } from "#src/coordinator/database.js";
import type { CoordinatorLimits, CoordinatorTimings, LogRecord } from "#src/coordinator/settings.js";
import type { RunEvent } from "#src/engine/events.js";
import type { Submission } from "#src/protocol/submission.js";
import { FakeAgent } from "./fake-agent.js";
import type { FakeWork } from "./fake-agent.js";

/** Time that stands still until it is told to go on. */
export class ManualClock implements Clock {
  #ms = 1_000;
  nowMs(): number {
    return this.#ms;
  }
  wallMs(): number {
    return 1_700_000_000_000 + this.#ms;
  }
  pass(ms: number): void {
    this.#ms += ms;
  }
}

export const client = { role: "client", remote: "127.0.0.1" } as const;

export interface StageOptions {
  readonly timings?: Partial<CoordinatorTimings>;
  readonly limits?: Partial<CoordinatorLimits>;
  readonly openDatabase?: typeof openDatabase;
}

/** A coordinator with its own state directory, clock and agents, all in this process. */
export class Stage {
  readonly root: string;
  readonly clock = new ManualClock();
  readonly logged: LogRecord[] = [];
  readonly #options: StageOptions;
  readonly #random = seededRandom("coordinator");
  #agents: FakeAgent[] = [];
  #lives = 0;
  coordinator: Coordinator;
  state: string;

  constructor(t: TestContext, options: StageOptions = {}) {
    this.root = mkdtempSync(join(tmpdir(), "sheaf-coordinator-test-"));
    this.#options = options;
    this.state = join(this.root, "state-0");
    mkdirSync(join(this.root, "data"));
    this.coordinator = this.open();
    t.after(() => {
      for (const agent of this.#agents) agent.stop();
      this.coordinator.close();
      rmSync(this.root, { recursive: true, force: true });
    });
  }

  /** A second coordinator on the same state, or on another one. */
  open(stateDirectory: string = this.state): Coordinator {
    return new Coordinator({
      stateDirectory,
      roots: [join(this.root, "data")],
      version: "0.0.0-test",
      clock: this.clock,
      random: () => this.#random.next(),
      log: (record) => this.logged.push(record),
      ...this.#options,
      // Tests let hours pass between two ticks.
      timings: { absentAfterMs: Number.POSITIVE_INFINITY, ...this.#options.timings },
    });
  }

  /**
   * kill -9 and a new start: the new one sees what was on disk at this moment, nothing of what the old one
   * had in memory or does from here on. Agents go on and talk to the new one.
   */
  restart(damage: (stateDirectory: string) => void = () => undefined): void {
    const after = join(this.root, `state-${++this.#lives}`);
    cpSync(this.state, after, { recursive: true });
    const old = this.coordinator;
    this.state = after;
    damage(after);
    this.coordinator = this.open();
    old.close();
  }

  agent(name: string, work: Partial<FakeWork> = {}, slots = 2, roots = [join(this.root, "data")]): FakeAgent {
    const agent = new FakeAgent(() => this.coordinator, name, slots, roots, work);
    this.#agents.push(agent);
    agent.join();
    return agent;
  }

  /** An agent of the name of another one, which has not joined. */
  namesake(first: FakeAgent, identity: FakeAgent["identity"], incarnation: number): FakeAgent {
    const second = new FakeAgent(() => this.coordinator, first.name, first.slots, [this.root], {});
    second.identity = identity;
    second.incarnation = incarnation;
    return second;
  }

  /** Uploads what the submission names, and submits it. */
  async submit(changes: Partial<Submission> = {}, key = "key"): Promise<string> {
    const submission = { ...(await this.submission()), ...changes };
    return this.coordinator.clients.submit(submission, key, client).job;
  }

  async submission(): Promise<Submission> {
    const bundle = Buffer.from("export default {};\n");
    const hash = createHash("sha256").update(bundle).digest("hex");
    await this.coordinator.clients.putBlob(hash, Readable.from([bundle]));
    return {
      protocol: 1,
      name: "words",
      submitter: "somebody",
      host: "desk",
      group: null,
      project: null,
      file: "words.ts",
      code: hash.slice(0, 16),
      bundle: hash,
      sourceMap: null,
      aux: [],
      outline: {
        name: null,
        input: {
          kind: "text",
          framing: { kind: "delimiter", delimiter: "Cg==" },
          needsHeader: false,
          compression: "auto",
          recordBytesMax: null,
        },
        collections: [{ name: "", partitions: 2, order: "hash", mapOnly: false }],
        params: {},
        hasExpect: false,
        aux: [],
        seed: 1,
      },
      inputs: [join(this.root, "data", "in")],
      options: {
        partitions: [2],
        splitBytes: null,
        memoryBytes: 8 << 20,
        heapBytes: null,
        sample: 1,
        params: {},
        badBudget: null,
        attempts: 4,
        failedTasksShare: 0,
        noProgressMs: 60_000,
        partBytes: 64 << 20,
        cores: null,
        priority: 0,
        speculation: false,
        queueTimeoutMs: null,
        mappers: null,
      },
      output: { kind: "collect", write: true, collect: false },
      attached: false,
      faults: [],
    };
  }

  get output(): string {
    return join(this.root, "data", "out");
  }

  /** Lets everybody act until the condition holds; time passes only when `passing` says so. */
  async until(what: string, condition: () => boolean, passing = 0): Promise<void> {
    for (let turn = 0; turn < 5_000; turn++) {
      if (condition()) return;
      await new Promise((resolve) => setImmediate(resolve));
      if (passing > 0) this.clock.pass(passing);
      if (turn % 10 === 9) this.beat();
    }
    assert.fail(`this never came true: ${what}`);
  }

  /** Time is looked at, and all agents that live say so. */
  beat(): void {
    this.coordinator.tick();
    for (const agent of this.#agents) if (agent.isAlive) agent.beat();
  }

  async ended(job: string, passing = 0): Promise<ReturnType<Coordinator["clients"]["job"]>> {
    const isOver = (): boolean =>
      ["SUCCEEDED", "FAILED", "CANCELLED"].includes(this.coordinator.clients.job(job).state);
    await this.until(`${job} ends`, isOver, passing);
    return this.coordinator.clients.job(job);
  }

  async events(job: string, after = 0): Promise<RunEvent[]> {
    const events: RunEvent[] = [];
    await new Promise<void>((resolve) => {
      this.coordinator.clients.listen(
        job,
        after,
        (_, event) => void events.push(JSON.parse(event) as RunEvent),
        resolve,
      );
    });
    return events;
  }
}
