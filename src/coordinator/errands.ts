import type { Errand, ErrandResult } from "../protocol/agent-messages.ts";
import type { Agent, Agents } from "./agents.ts";

/** What becomes of an errand; one of them is called, once. */
export interface ErrandEnd {
  done(result: ErrandResult): void;
  /** The agent is lost. What it has done of it, if anything, is not known. */
  lost(): void;
}

interface Given {
  readonly errand: Errand;
  readonly agent: string;
  readonly incarnation: number;
  readonly end: ErrandEnd;
}

/** What agents were asked to do beside tasks, until they answer or are lost. */
export class Errands {
  readonly #agents: Agents;
  readonly #given = new Map<string, Given>();

  constructor(agents: Agents) {
    this.#agents = agents;
  }

  give(agent: Agent, errand: Errand, end: ErrandEnd): void {
    const { name, register } = agent;
    this.#given.set(errand.id, { errand, agent: name, incarnation: register.incarnation, end });
    agent.errands++;
    agent.mailbox.give(errand);
  }

  /** An answer that comes twice, or from an agent that was given up, changes nothing. */
  done(id: string, result: ErrandResult): void {
    const given = this.#given.get(id);
    if (given === undefined || given.agent !== result.agent || given.incarnation !== result.incarnation)
      return;
    this.#close(given);
    given.end.done(result);
  }

  /** That life of the agent, and those before it, are over. */
  lost(agent: string, incarnation: number): void {
    // What is given anew meanwhile is given to others.
    for (const given of this.#given.values()) {
      if (given.agent !== agent || given.incarnation > incarnation) continue;
      this.#close(given);
      given.end.lost();
    }
  }

  /** How many of the job are not answered. */
  of(job: string): number {
    let count = 0;
    for (const { errand } of this.#given.values()) if (errand.job === job) count++;
    return count;
  }

  /** Nobody waits for them any more. */
  drop(job: string): void {
    for (const given of this.#given.values()) if (given.errand.job === job) this.#close(given);
  }

  #close({ errand, agent, incarnation }: Given): void {
    this.#given.delete(errand.id);
    const life = this.#agents.life(agent, incarnation);
    if (life === undefined) return;
    life.errands--;
    life.mailbox.take(errand.id);
  }
}
