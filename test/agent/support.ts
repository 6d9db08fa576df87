import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import type { AgentOptions } from "#src/agent/agent-options.js";
import { startAgent } from "#src/agent/agent.js";
import type { Agent } from "#src/agent/agent.js";
import { bundleJob } from "#src/bundle/bundle-job.js";
import type { ErrandResult } from "#src/protocol/agent-messages.js";
import type { JobOptions, OutputTarget, Submission } from "#src/protocol/submission.js";
import type { Preparation, TaskOrder } from "#src/protocol/task-messages.js";
import { FakeCoordinator } from "./fake-coordinator.js";
import { OwnShuffle } from "./own-shuffle.js";

export const job = "20260101-101010123-words-abcd";

export const wordsOutline: Submission["outline"] = {
  name: "words",
  input: {
    kind: "text",
    framing: { kind: "delimiter", delimiter: Buffer.from("\n").toString("base64") },
    needsHeader: false,
    compression: "auto",
    recordBytesMax: null,
  },
  collections: [{ name: "", partitions: null, order: "hash", mapOnly: false }],
  params: {},
  aux: [],
  hasExpect: false,
  seed: 0,
};

export const jobOptions: JobOptions = {
  partitions: [2],
  splitBytes: 16,
  memoryBytes: 8 * 1024 * 1024,
  heapBytes: null,
  sample: 1,
  params: {},
  badBudget: null,
  attempts: 4,
  failedTasksShare: 0,
  noProgressMs: 60_000,
  partBytes: 64 * 1024 * 1024,
  cores: null,
  priority: 0,
  speculation: false,
  queueTimeoutMs: null,
  mappers: null,
};

export const collected: OutputTarget = { kind: "collect", write: true, collect: false };
export const text = "to be or\nnot to be\nthat is\nthe question\n";
export const counted = ["be\t2", "is\t1", "not\t1", "or\t1", "question\t1", "that\t1", "the\t1", "to\t2"];

/** A word count whose map and reduce first run the given statements. */
export function wordCount(
  parts: { map?: string; reduce?: string; top?: string; more?: string } = {},
): string {
  return `
    import { job, text } from "sheaf";
    ${parts.top ?? ""}
    export default job({
      input: text(),
      map(line, emit, ctx) {
        ctx.count("lines");
        ${parts.map ?? ""}
        for (const word of line.split(" ")) emit(word, 1);
      },
      reduce(key: string, values: Iterable<number>, ctx) {
        ${parts.reduce ?? ""}
        let sum = 0;
        for (const value of values) sum += value;
        return sum;
      },
      ${parts.more ?? ""}
    });
  `;
}

type Planned = Extract<ErrandResult, { kind: "planned" }>;
export type Split = Planned["splits"][number];

interface PlanMore {
  readonly agentLocal?: boolean;
  readonly options?: Partial<JobOptions>;
  readonly outline?: Partial<Submission["outline"]>;
}

/** An agent with a coordinator played by the test, in a directory of the test's own. */
export class Stage {
  readonly root: string;
  readonly coordinator = new FakeCoordinator();
  readonly shuffle = new OwnShuffle();
  readonly said: string[] = [];
  agent!: Agent;

  constructor(t: TestContext) {
    this.root = mkdtempSync(join(tmpdir(), "sheaf-agent-test-"));
    t.after(async () => {
      await this.agent?.end().catch(() => undefined);
      await this.coordinator.stop();
      rmSync(this.root, { recursive: true, force: true });
    });
  }

  get state(): string {
    return join(this.root, "state");
  }

  file(name: string, content: string): string {
    const path = join(this.root, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    return path;
  }

  /** Starts both; resolves when the agent has joined. */
  async start(options: Partial<AgentOptions> = {}): Promise<Agent> {
    await this.coordinator.start();
    this.agent = await startAgent(this.options(options));
    await this.agent.joined;
    return this.agent;
  }

  options(options: Partial<AgentOptions> = {}): AgentOptions {
    return {
      join: this.coordinator.url,
      token: "sheaf_a_token",
      version: "0.0.0",
      stateDirectory: this.state,
      name: "a1",
      slots: 1,
      roots: [this.root],
      graceMs: 5_000,
      workerEnvironment: { PATH: process.env["PATH"] ?? "" },
      startShuffle: async () => this.shuffle,
      log: (level, message) => this.said.push(`${level}: ${message}`),
      random: () => 1,
      ...options,
    };
  }

  /** Has the coordinator know the job; its code is this text. */
  async prepare(code: string, more: Partial<Preparation> = {}, settings: object = {}): Promise<Preparation> {
    const file = this.file("job.ts", code);
    const bundle = await bundleJob(file, { outDirectory: join(this.root, "bundles"), cache: false });
    const preparation: Preparation = {
      job,
      name: "words",
      version: 1,
      settings: {
        memoryBytes: jobOptions.memoryBytes,
        partitions: [2],
        bounds: [null],
        sample: 1,
        seed: 0,
        params: {},
        keepBad: false,
        collect: false,
        output: "write",
        partBytes: jobOptions.partBytes,
        ...settings,
      },
      bundle: this.coordinator.blob(readFileSync(bundle.path)),
      sourceMap: null,
      aux: [],
      heapBytes: null,
      noProgressMs: 60_000,
      keepBad: false,
      faults: [],
      output: collected,
      shuffleKey: "key",
      expected: [],
      maps: 1,
      ...more,
    };
    this.coordinator.preparations.set(job, preparation);
    return preparation;
  }

  async plan(inputs: string[], output: OutputTarget = collected, more: PlanMore = {}): Promise<Planned> {
    const result = await this.tryPlan(inputs, output, more);
    if (result.kind !== "planned") throw new Error(JSON.stringify(result));
    return result;
  }

  tryPlan(inputs: string[], output: OutputTarget = collected, more: PlanMore = {}): Promise<ErrandResult> {
    return this.coordinator.errand({
      kind: "plan",
      id: `plan-${this.coordinator.errandResults.length}`,
      job,
      outline: { ...wordsOutline, ...more.outline },
      inputs,
      options: { ...jobOptions, ...more.options },
      agentLocal: more.agentLocal ?? false,
      workers: 1,
      output,
    });
  }

  /** Names of the directories of attempts that the agent has. */
  attempts(): string[] {
    return readdirSync(join(this.state, "jobs", job, "attempts")).sort();
  }

  /** Input of one map task: a file of this text. */
  split(content: string = text, index = 0): Split {
    const path = this.file(`input-${index}.txt`, content);
    const { size, mtimeMs } = statSync(path);
    const place = { kind: "file", path, name: path, start: 0, end: size } as const;
    const piece = { ...place, fileBytes: size, mtimeMs, compression: "none" } as const;
    return { index, pieces: [piece], bytes: size };
  }
}

export function mapOrder(split: Split, attempt = 1, skip: [] | null = null): TaskOrder {
  return {
    attempt: { job, phase: "map", task: split.index, attempt },
    backup: false,
    settings: 1,
    work: { kind: "map", split, skip },
  };
}

export function reduceOrder(partition: number, attempt = 1): TaskOrder {
  return {
    attempt: { job, phase: "reduce", task: partition, attempt },
    backup: false,
    settings: 1,
    work: { kind: "reduce", collection: 0, partition, outputs: 0 },
  };
}
