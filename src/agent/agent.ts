import { systemClock } from "../base/clock.ts";
import type { Clock } from "../base/clock.ts";
import { ApiClient } from "../client/api-client.ts";
import { AgentDirectory } from "./agent-directory.ts";
import { AgentLife } from "./agent-life.ts";
import { agentName, slotCount } from "./agent-options.ts";
import type { AgentOptions } from "./agent-options.ts";
import type { AgentLog, AgentWorld } from "./agent-world.ts";
import { Heart } from "./heart.ts";
import type { ShuffleNode } from "./shuffle-port.ts";
import { UtilityMeter } from "./utility-meter.ts";
import { WorkerProcesses } from "./worker-processes.ts";

const graceMsDefault = 30_000;

/** An agent that runs in this process. */
export interface Agent {
  readonly name: string;
  readonly slots: number;
  /** Where other agents reach it. */
  readonly address: string;
  /** Resolves when the coordinator has taken it in for the first time. */
  readonly joined: Promise<void>;
  /**
   * Resolves when it has ended and nothing is left of it. Rejects when the coordinator refuses it:
   * VERSION_MISMATCH, UNAUTHORIZED, FORBIDDEN.
   */
  readonly ended: Promise<void>;
  /** Drains it: finishes what runs within the grace time, hands back the rest, then ends. */
  stop(): Promise<void>;
  /** Ends it at once; a coordinator learns of it by its silence. */
  end(): Promise<void>;
}

/**
 * Starts an agent and lets it join. While the coordinator does not answer it goes on trying.
 * @throws SheafError STATE_LOCKED when another agent uses the directory; USAGE; LISTEN errors of the shuffle
 */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const name = agentName(options.name);
  const slots = slotCount(options.slots);
  const log: AgentLog = options.log ?? (() => undefined);
  const directory = new AgentDirectory(options.stateDirectory);
  let agent: LocalAgent | null = null;
  try {
    await directory.clearJobs();
    const incarnation = (): number => agent?.incarnation ?? 0;
    const shuffle = await options.startShuffle({ agent: name, incarnation, log });
    agent = new LocalAgent(options, { name, slots, log, directory, shuffle });
    return agent;
  } catch (error) {
    directory.release();
    throw error;
  }
}

interface Parts {
  readonly name: string;
  readonly slots: number;
  readonly log: AgentLog;
  readonly directory: AgentDirectory;
  readonly shuffle: ShuffleNode;
}

class LocalAgent implements Agent {
  readonly name: string;
  readonly slots: number;
  readonly address: string;
  readonly joined: Promise<void>;
  readonly ended: Promise<void>;
  incarnation = 0;
  readonly #options: AgentOptions;
  readonly #parts: Parts;
  readonly #clock: Clock;
  readonly #world: AgentWorld;
  readonly #heart: Heart;
  readonly #meter: UtilityMeter;
  readonly #processes: WorkerProcesses;
  #joined!: () => void;
  #life: AgentLife | null = null;
  #leaving = false;

  constructor(options: AgentOptions, parts: Parts) {
    this.#options = options;
    this.#parts = parts;
    this.name = parts.name;
    this.slots = parts.slots;
    this.address = options.advertise ?? parts.shuffle.address;
    const { join: url, token, tls } = options;
    this.#clock = options.clock ?? systemClock;
    const random = options.random ?? Math.random;
    const api = new ApiClient({
      url,
      token,
      clock: this.#clock,
      random,
      ...(tls === undefined ? {} : { tls }),
    });
    this.#world = { api, clock: this.#clock, random, log: parts.log };
    this.#meter = new UtilityMeter(this.#clock);
    this.#processes = new WorkerProcesses({
      environment: options.workerEnvironment,
      heapBytes: options.workerHeapBytes ?? null,
    });
    this.#heart = new Heart({ url, token, tls: tls ?? null, agent: this.name }, parts.log, (news) =>
      this.#life?.heard(news),
    );
    this.joined = new Promise<void>((resolve) => (this.#joined = resolve));
    this.ended = this.#live();
    this.ended.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#leaving = true;
    await this.#life?.drain(this.#options.graceMs ?? graceMsDefault);
    await this.ended;
  }

  async end(): Promise<void> {
    this.#leaving = true;
    this.#life?.leave();
    await this.ended;
  }

  async #live(): Promise<void> {
    this.#processes.warm();
    try {
      let above = 0;
      while (!this.#leaving) {
        this.incarnation = this.#parts.directory.beginLife(this.#clock.wallMs(), above);
        this.#life = this.#begin();
        const end = await this.#life.run();
        if (end.kind === "left") return;
        above = end.above;
      }
    } finally {
      await this.#close();
    }
  }

  #begin(): AgentLife {
    const { directory, shuffle, name, slots } = this.#parts;
    const options = this.#options;
    return new AgentLife({
      world: this.#world,
      agent: name,
      version: options.version,
      incarnation: this.incarnation,
      slots,
      address: this.address,
      roots: options.roots ?? [],
      directory,
      shuffle,
      startWorker: this.#processes.start,
      workerHeapBytes: options.workerHeapBytes ?? null,
      workerMemoryBytes: options.workerMemoryBytes ?? null,
      heartbeatMs: options.heartbeatMs ?? null,
      measure: () => this.#meter.measure(),
      tell: (state) => this.#heart.tell(state),
      joined: () => this.#joined(),
    });
  }

  async #close(): Promise<void> {
    this.#processes.close();
    await this.#heart.end();
    await this.#parts.shuffle.close();
    await this.#world.api.close();
    await this.#parts.directory.clearJobs();
    this.#parts.directory.release();
  }
}
