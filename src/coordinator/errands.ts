import type { Clock } from "../base/clock.ts";
import type { Errand, ErrandResult, Heartbeat, SplitPage } from "../protocol/agent-messages.ts";
import type { AgentRecord, Agents } from "./agents.ts";

/** What becomes of an errand; one of the first three is called, once. */
export interface ErrandEnd {
  done(result: ErrandResult): void;
  /** The agent is lost. What it has done of it, if anything, is not known. */
  lost(): void;
  /** The agent lives, and nothing has moved for so long. Left out: that may take as long as it likes. */
  stalled?(stillMs: number): void;
  /** A part of the result has come ahead of it. */
  page?(page: SplitPage): void;
}

interface Given {
  readonly errand: Errand;
  readonly agent: string;
  readonly incarnation: number;
  readonly end: ErrandEnd;
  /** As the agent told last; null: nothing yet. */
  beat: number | null;
  /** When it moved on last. */
  movedMs: number;
}

/** What agents were asked to do beside tasks, until they answer or are lost. */
export class GivenErrands {
  readonly #agents: Agents;
  readonly #clock: Clock;
  readonly #given = new Map<string, Given>();

  constructor(agents: Agents, clock: Clock) {
    this.#agents = agents;
    this.#clock = clock;
  }

  give(agent: AgentRecord, errand: Errand, end: ErrandEnd): void {
    const { name, register } = agent;
    const { incarnation } = register;
    const movedMs = this.#clock.nowMs();
    this.#given.set(errand.id, { errand, agent: name, incarnation, end, beat: null, movedMs });
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

  /** As `done`, of a part of the result. */
  page(id: string, page: SplitPage): void {
    const given = this.#given.get(id);
    if (given === undefined || given.agent !== page.agent || given.incarnation !== page.incarnation) return;
    given.movedMs = this.#clock.nowMs();
    given.end.page?.(page);
  }

  /**
   * What a life of an agent says it is at.
   * @returns errands among it that nobody waits for
   */
  heard(agent: string, { incarnation, errands = [] }: Pick<Heartbeat, "incarnation" | "errands">): string[] {
    const drop: string[] = [];
    for (const { id, beat } of errands) {
      const given = this.#given.get(id);
      if (given === undefined || given.agent !== agent || given.incarnation !== incarnation) drop.push(id);
      else if (given.beat !== beat) {
        given.beat = beat;
        given.movedMs = this.#clock.nowMs();
      }
    }
    return drop;
  }

  /** Gives up what has not moved on for so long. `absentMs`: nobody could be heard before this. */
  tick(stillMsMax: number, absentMs: number): void {
    const nowMs = this.#clock.nowMs();
    for (const given of this.#given.values()) {
      given.movedMs = Math.min(given.movedMs + absentMs, nowMs);
      const stillMs = nowMs - given.movedMs;
      if (given.end.stalled === undefined || stillMs < stillMsMax) continue;
      this.#close(given);
      given.end.stalled(Math.round(stillMs));
    }
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
