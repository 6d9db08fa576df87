import { availableParallelism, hostname } from "node:os";
import type { Clock } from "../base/clock.ts";
import { SheafError } from "../base/errors.ts";
import { limits, settings } from "../base/limits.ts";
import type { ApiClient } from "../client/api-client.ts";
import type { ClientTls } from "../client/http.ts";
import type { ShuffleNode } from "../exchange/shuffle-node.ts";
import type { StoreAccess, StoreLink } from "../storage/stores.ts";
import type { AgentDirectory } from "./agent-directory.ts";

/** What an agent is started with. */
export interface AgentOptions {
  /** URL of the coordinator. */
  readonly join: string;
  /** The agents' token; null: none is sent. */
  readonly token: string | null;
  /** Certificates, for its own server and for speaking to others: what loadTls of security/ gives. */
  readonly tls?: { readonly server: object; readonly client: ClientTls } | null;
  /** The agent's own directory, made when missing; one agent each. */
  readonly stateDirectory: string;
  /** sheaf's own, for people. */
  readonly version: string;
  /** Unique in the cluster. Default: from the name of this machine. */
  readonly name?: string;
  /** Attempts run at a time. Default: one less than there are processors, at least 1. */
  readonly slots?: number;
  /** Where its shuffle server listens. Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: any free one. */
  readonly port?: number;
  /** URL at which other agents reach that server. Default: the address it listens on. */
  readonly advertise?: string;
  /** Directories whose files jobs may read and write by path. Default: none. */
  readonly roots?: readonly string[];
  /** With what workers read storages: see StoreSettings. Default: nothing of a storage is read. */
  readonly storage?: StoreAccess;
  /** Storages of users that jobs may use. Default: none. */
  readonly stores?: readonly StoreLink[];
  /** Time between heartbeats, ms. Default: what the coordinator says. */
  readonly heartbeatMs?: number;
  /** How long `stop` waits for what runs, ms. Default 30,000. */
  readonly graceMs?: number;
  /** A coordinator that does not answer for so long is given up, ms. Default: an agent waits without end. */
  readonly giveUpMs?: number;
  /** Heap of each worker where the job does not say, bytes; null: Node's own limit. Default null. */
  readonly workerHeapBytes?: number | null;
  /** Memory a worker may have in all, bytes. Default: the job's memory and heap and what a process needs. */
  readonly workerMemoryBytes?: number | null;
  /** Environment of the workers: nothing else of this process's reaches user code. */
  readonly workerEnvironment: Readonly<Record<string, string>>;
  /** Starts the part that serves and fetches map outputs. Default: startShuffleNode. */
  readonly startShuffle?: (start: ShuffleStart) => Promise<ShuffleNode>;
  /** The coordinator has ordered it to drain, or no more. Default: it stays, without tasks. */
  readonly drainOrdered?: (draining: boolean) => void;
  readonly log?: AgentLog;
  readonly clock?: Clock;
  /** Uniform in [0, 1). Default Math.random. */
  readonly random?: () => number;
}

/** What the shuffle part is told by the agent it belongs to. */
export interface ShuffleStart {
  readonly agent: string;
  /** The life the agent is in now. */
  incarnation(): number;
  readonly world: AgentWorld;
}

const nameForm = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/**
 * The agent's name: what was given, or the machine's as far as it can be one.
 * @throws SheafError USAGE
 */
export function agentName(given: string | undefined, machine: string = hostname()): string {
  if (given === undefined) {
    const near = machine.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[._-]+/, "");
    return near === "" ? "agent" : near.slice(0, limits.agentNameCharsMax);
  }
  if (given.length <= limits.agentNameCharsMax && nameForm.test(given)) return given;
  throw new SheafError("USAGE", `"${given}" cannot be the name of an agent`, {
    hint: `Use up to ${limits.agentNameCharsMax} letters, digits, dots, underscores and hyphens, a letter or digit first.`,
  });
}

/** @throws SheafError USAGE */
export function agentSlots(given: number | undefined, processors: number = availableParallelism()): number {
  const { min, max } = settings.slots;
  if (given === undefined) return Math.min(max, Math.max(min, processors - 1));
  if (Number.isInteger(given) && given >= min && given <= max) return given;
  throw new SheafError("USAGE", `an agent cannot have ${given} slots`, {
    hint: `Give a whole number from ${min} to ${max}.`,
  });
}

type LogLevel = "info" | "warn" | "error";

/** One thing an agent has to say, for its log: plain data. */
export type AgentLog = (
  level: LogLevel,
  message: string,
  fields?: Readonly<Record<string, string | number | boolean | null>>,
) => void;

/** What the parts of an agent have in common. */
export interface AgentWorld {
  /** Its calls are repeated until they are answered: an agent outlives its coordinator's absence. */
  readonly api: ApiClient;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly log: AgentLog;
}

/** One life of an agent, for its parts. */
export interface LifeWorld extends AgentWorld {
  readonly agent: string;
  readonly incarnation: number;
  /** Directories whose files jobs may read and write by path. */
  readonly roots: readonly string[];
  readonly storage: StoreAccess;
  readonly stores: readonly StoreLink[];
  /** Aborted when the life is over. */
  readonly signal: AbortSignal;
}

/** What an agent has through all its lives. */
export interface AgentParts {
  readonly name: string;
  readonly slots: number;
  readonly world: AgentWorld;
  readonly directory: AgentDirectory;
  readonly shuffle: ShuffleNode;
}
