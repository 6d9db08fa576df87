import { SheafError } from "../base/errors.ts";
import { suggest } from "../base/suggest.ts";
import type { EngineScheduler } from "../engine/loop.ts";
import type { Heartbeat, Register } from "../protocol/agent-messages.ts";
import type { NodeView } from "../protocol/job-view.ts";
import type { KeptOutput } from "./kept-output.ts";
import { Mailbox } from "./mailbox.ts";
import { isInside } from "./paths.ts";
import { livesOver } from "./recover.ts";
import type { StateStore } from "./store.ts";

/** One agent as it is known: its last life. */
export interface AgentRecord {
  readonly name: string;
  register: Register;
  heardMs: number;
  utility: Register["utility"];
  /** Jobs of which it said to have files. */
  jobs: ReadonlySet<string>;
  mailbox: Mailbox;
  /** Errands it was given and has not answered. */
  errands: number;
}

/** Machines, by name. Who is alive, draining or barred is the scheduler's to say. */
export class Agents {
  readonly #store: StateStore;
  readonly #all = new Map<string, AgentRecord>();

  /** This life of an agent and all before it are over, whoever's it is; -1: none. */
  readonly livesOver: number;

  constructor(store: StateStore, nowMs: number) {
    this.#store = store;
    this.livesOver = livesOver(store);
    for (const { text } of store.all("agents")) {
      const register = JSON.parse(text) as Register;
      this.#all.set(register.agent, newAgent(register, nowMs));
    }
  }

  /** A life that was registered, or repeated that it was. */
  registered(register: Register, nowMs: number): void {
    const known = this.#all.get(register.agent);
    if (known !== undefined && known.register.incarnation === register.incarnation) {
      known.register = register;
      known.heardMs = nowMs;
    } else {
      known?.mailbox.close();
      this.#all.set(register.agent, newAgent(register, nowMs));
    }
    this.#store.put("agents", register.agent, JSON.stringify(register));
  }

  heard(agent: AgentRecord, heartbeat: Heartbeat, nowMs: number): void {
    agent.heardMs = nowMs;
    agent.utility = heartbeat.utility;
    agent.jobs = new Set(heartbeat.jobs);
  }

  get(name: string): AgentRecord | undefined {
    return this.#all.get(name);
  }

  /** Another agent of the name that is alive: the one that registers must not take its place. */
  namesake(register: Register, scheduler: EngineScheduler<KeptOutput>): AgentRecord | undefined {
    const known = this.#all.get(register.agent);
    const alive = scheduler.state.nodes.get(register.agent);
    if (known === undefined || alive?.incarnation !== known.register.incarnation) return undefined;
    return mayFollow(known.register, register) ? undefined : known;
  }

  /** That life of the agent; undefined when it is another one, or unknown. */
  life(name: string, incarnation: number): AgentRecord | undefined {
    const agent = this.#all.get(name);
    return agent?.register.incarnation === incarnation ? agent : undefined;
  }

  isOver(incarnation: number): boolean {
    return incarnation <= this.livesOver;
  }

  /** @throws SheafError FENCED for a life that is over */
  refuseFenced(name: string, incarnation: number, { state }: EngineScheduler<KeptOutput>): void {
    const isOver = this.isOver(incarnation);
    const known = isOver ? this.livesOver : state.incarnations.get(name);
    if (known === undefined || incarnation > known) return;
    if (!isOver && state.nodes.get(name)?.incarnation === incarnation) return;
    throw new SheafError("FENCED", `life ${incarnation} of agent ${name} is over`, {
      hint: `Register with an incarnation above ${known}.`,
    });
  }

  /** @throws SheafError FENCED for a life that is over, NOT_FOUND for an agent that has not joined */
  checkLife(name: string, incarnation: number, scheduler: EngineScheduler<KeptOutput>): void {
    this.refuseFenced(name, incarnation, scheduler);
    const alive = scheduler.state.nodes.get(name)?.incarnation === incarnation;
    if (alive && this.life(name, incarnation) !== undefined) return;
    throw new SheafError("NOT_FOUND", `agent ${name} (${incarnation}) has not joined`, {
      hint: "Register first: POST /agents.",
    });
  }

  all(): Iterable<AgentRecord> {
    return this.#all.values();
  }

  /** Names of those on these hosts, in the order of their names. */
  on(hosts: ReadonlySet<string>): string[] {
    if (hosts.size === 0) return [];
    return [...this.#all.values()]
      .filter((agent) => isOn(agent, hosts))
      .map(({ name }) => name)
      .sort();
  }

  /** @throws SheafError NOT_FOUND */
  find(name: string): AgentRecord {
    const agent = this.#all.get(name);
    if (agent !== undefined) return agent;
    const near = suggest(name, this.#all.keys());
    throw new SheafError("NOT_FOUND", `no agent "${name}" has ever joined`, {
      hint: near === undefined ? "`sheaf nodes` lists the agents." : `Did you mean "${near}"?`,
    });
  }

  /** Those that live, and neither drain nor are barred by hand, in the order of their names. */
  usable(scheduler: EngineScheduler<KeptOutput>): AgentRecord[] {
    const { nodes } = scheduler.state;
    return [...this.#all.values()]
      .filter(({ name, register }) => {
        const node = nodes.get(name);
        return (
          node !== undefined && node.incarnation === register.incarnation && !isHeldBack(scheduler, name)
        );
      })
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  tick(nowMs: number): void {
    for (const { mailbox } of this.#all.values()) mailbox.tick(nowMs);
  }

  view(agent: AgentRecord, scheduler: EngineScheduler<KeptOutput>, nowMs: number): NodeView {
    const { name, register, utility, heardMs } = agent;
    const node = scheduler.state.nodes.get(name);
    const alive = node?.incarnation === register.incarnation ? node : undefined;
    return {
      agent: name,
      incarnation: register.incarnation,
      host: register.host,
      address: register.address,
      state: alive === undefined ? "lost" : alive.draining ? "draining" : "up",
      barred: scheduler.state.handBars.get(name) ?? null,
      slots: register.slots,
      busy: alive?.slots.filter(({ state }) => state.kind === "BUSY").length ?? 0,
      utility,
      silentMs: Math.max(0, nowMs - heardMs),
      version: register.version,
      roots: [...register.roots],
    };
  }
}

function isHeldBack(scheduler: EngineScheduler<KeptOutput>, name: string): boolean {
  return scheduler.state.handBars.has(name) || scheduler.state.nodes.get(name)?.draining === true;
}

/** Those whose errands for the job have not stood still; all of them when there are no others. */
export function unlessStalled(
  stalled: { readonly agents: ReadonlySet<string> },
  agents: readonly AgentRecord[],
): readonly AgentRecord[] {
  const others = agents.filter(({ name }) => !stalled.agents.has(name));
  return others.length > 0 ? others : agents;
}

/** Whether jobs may read and write the path on the agent, as far as its registration tells. */
export function mayUse(agent: AgentRecord, path: string): boolean {
  return agent.register.roots.some((root) => isInside(path, root));
}

/**
 * Whether a life may take the place of one that is alive. It may when it is the same one, told again; or a
 * later one of the same agent, which was started anew: of the same key, in the same place, and its state
 * directory has seen the life that is alive. Two that have one key are copies.
 */
function mayFollow(alive: Register, next: Register): boolean {
  const { identity } = next;
  const { key, life, place } = alive.identity;
  if (identity.key !== key) return false;
  // Lives that are over are fenced, whose they were.
  if (next.incarnation < alive.incarnation) return true;
  if (next.incarnation === alive.incarnation) return identity.life === life;
  return identity.previous >= alive.incarnation && identity.place === place;
}

function newAgent(register: Register, nowMs: number): AgentRecord {
  const { agent: name, utility } = register;
  return { name, register, heardMs: nowMs, utility, jobs: new Set(), mailbox: new Mailbox(), errands: 0 };
}

/** By the name of its machine, the address it is reached at, or its own name. */
function isOn({ name, register }: AgentRecord, hosts: ReadonlySet<string>): boolean {
  const address = URL.canParse(register.address) ? new URL(register.address).hostname : "";
  return hosts.has(register.host) || hosts.has(address) || hosts.has(name);
}
