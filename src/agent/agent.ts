import { randomUUID } from "node:crypto";
import { systemClock } from "../base/clock.ts";
import { settings } from "../base/limits.ts";
import type { ClientTls } from "../client/http.ts";
import { startShuffleNode } from "../exchange/shuffle-node.ts";
import type { ShuffleNode } from "../exchange/shuffle-node.ts";
import { requireProcesses } from "../worker/worker-process.ts";
import { AgentDirectory } from "./agent-directory.ts";
import type { BegunLife } from "./agent-directory.ts";
import { AgentLife } from "./agent-life.ts";
import { agentName, agentSlots } from "./agent-options.ts";
import type { AgentOptions, ShuffleStart, AgentWorld, AgentParts } from "./agent-options.ts";
import { CheckedApi } from "./checked-api.ts";
import { HeartbeatThread } from "./heartbeat-thread.ts";
import { UtilityMeter } from "./utility.ts";
import { WorkerProcesses } from "./worker-processes.ts";

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
   * VERSION_MISMATCH, UNAUTHORIZED, FORBIDDEN, or NAME_TAKEN while another agent of its name is alive.
   * UNREACHABLE when the coordinator was silent for `giveUpMs`.
   */
  readonly ended: Promise<void>;
  /** Drains it: finishes what runs within the grace time, hands back the rest, then ends. */
  stop(): Promise<void>;
  /** Ends it at once; a coordinator learns of it by its silence. */
  end(): Promise<void>;
}

/**
 * Starts an agent and lets it join. While the coordinator does not answer it goes on trying.
 * @throws SheafError STATE_LOCKED when another agent uses the directory; USAGE for a name, a number of slots
 * or an address that makes no sense; OUTPUT_UNWRITABLE, DISK_FULL
 */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  requireProcesses();
  const name = agentName(options.name);
  const slots = agentSlots(options.slots);
  const world = worldOf(options);
  const directory = new AgentDirectory(options.stateDirectory);
  let agent: LocalAgent | null = null;
  try {
    await directory.clearJobs();
    const start = { agent: name, incarnation: () => agent?.incarnation ?? 0, world };
    const shuffle = await (options.startShuffle?.(start) ?? startShuffle(options, start));
    agent = new LocalAgent(options, { name, slots, world, directory, shuffle });
    return agent;
  } catch (error) {
    directory.release();
    await world.api.close();
    throw error;
  }
}

function worldOf(options: AgentOptions): AgentWorld {
  const { join: url, token, tls, clock = systemClock, random = Math.random, log = () => undefined } = options;
  const certificates = tls === undefined || tls === null ? {} : { tls: tls.client };
  const api = new CheckedApi({
    url,
    token,
    clock,
    random,
    retryMs: Number.POSITIVE_INFINITY,
    ...certificates,
  });
  return { api, clock, random, log };
}

function startShuffle(
  options: AgentOptions,
  { agent, incarnation, world }: ShuffleStart,
): Promise<ShuffleNode> {
  const { host, port, advertise, tls } = options;
  const { api, clock, random, log } = world;
  return startShuffleNode({
    agent,
    incarnation,
    ...(host === undefined ? {} : { host }),
    ...(port === undefined ? {} : { port }),
    names: advertise === undefined ? [] : [advertise],
    tls: tls ?? null,
    outputs: (job, after, signal) => api.outputs(job, after, { signal }),
    clock,
    random,
    log,
  });
}

class LocalAgent implements Agent {
  readonly name: string;
  readonly slots: number;
  readonly address: string;
  readonly joined: Promise<void>;
  readonly ended: Promise<void>;
  incarnation = 0;
  readonly #options: AgentOptions;
  readonly #parts: AgentParts;
  readonly #heartbeats: HeartbeatThread;
  readonly #meter: UtilityMeter;
  readonly #processes: WorkerProcesses;
  #joined!: () => void;
  #life: AgentLife | null = null;
  #leaving = false;

  constructor(options: AgentOptions, parts: AgentParts) {
    this.#options = options;
    this.#parts = parts;
    this.name = parts.name;
    this.slots = parts.slots;
    this.address = options.advertise ?? parts.shuffle.address;
    const { join: url, token, tls } = options;
    const { clock, log } = parts.world;
    this.#meter = new UtilityMeter(clock);
    this.#processes = new WorkerProcesses({
      environment: options.workerEnvironment,
      heapBytes: options.workerHeapBytes ?? null,
      slots: parts.slots,
    });
    const certificates = tls === undefined || tls === null ? null : cloneable(tls.client);
    this.#heartbeats = new HeartbeatThread({ url, token, tls: certificates, agent: this.name }, log, (news) =>
      this.#life?.heard(news),
    );
    this.joined = new Promise<void>((resolve) => (this.#joined = resolve));
    this.ended = this.#live();
    this.ended.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#leaving = true;
    await this.#life?.drain(this.#options.graceMs ?? settings.graceMs.default);
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
        const begun = this.#parts.directory.beginLife(this.#parts.world.clock.wallMs(), above);
        this.incarnation = begun.incarnation;
        this.#life = this.#begin(begun);
        const end = await this.#life.run();
        if (end.kind === "left") return;
        if (end.kind === "gone") throw end.error;
        above = end.above;
      }
    } finally {
      await this.#close();
    }
  }

  #begin({ incarnation, key, previous }: BegunLife): AgentLife {
    return new AgentLife({
      options: this.#options,
      parts: this.#parts,
      incarnation,
      identity: { key, previous, life: randomUUID(), place: this.#parts.directory.place },
      address: this.address,
      startWorker: this.#processes.start,
      measure: () => this.#meter.measure(),
      tell: (state) => this.#heartbeats.tell(state),
      joined: () => this.#joined(),
    });
  }

  async #close(): Promise<void> {
    this.#processes.close();
    await this.#heartbeats.end();
    await this.#parts.shuffle.close();
    await this.#parts.world.api.close();
    await this.#parts.directory.clearJobs();
    this.#parts.directory.release();
  }
}

/** Without functions, which cannot be sent to a thread. */
function cloneable(tls: ClientTls): ClientTls {
  return Object.fromEntries(Object.entries(tls).filter(([, value]) => typeof value !== "function"));
}
