import { SheafError } from "../base/errors.ts";
import type { Registered } from "../protocol/agent-messages.ts";
import type { AgentWorld } from "./agent-options.ts";

/** So long an agent asks again for a name that is taken: one that died without a word keeps it a lease. */
const leasesWaited = 1.5;

/** An agent's claim to its name, while another agent of that name may be alive. */
export class NameClaim {
  readonly #world: AgentWorld;
  readonly #agent: string;
  readonly #stateDirectory: string;
  #sinceMs: number | null = null;

  constructor(world: AgentWorld, agent: string, stateDirectory: string) {
    this.#world = world;
    this.#agent = agent;
    this.#stateDirectory = stateDirectory;
  }

  /**
   * The coordinator says that the name is taken: it is asked again until the other one's lease must be over.
   * @throws SheafError NAME_TAKEN when it still is taken then
   */
  taken({ host, address }: NonNullable<Registered["taken"]>, leaseMs: number): void {
    const { clock, log } = this.#world;
    const said = `another agent named "${this.#agent}" is alive, on ${host} (${address})`;
    if (this.#sinceMs === null) {
      this.#sinceMs = clock.nowMs();
      log("warn", `${said}: this one waits for the end of its lease`, { leaseMs });
    }
    if (clock.nowMs() - this.#sinceMs < leasesWaited * leaseMs) return;
    throw new SheafError("NAME_TAKEN", said, {
      hint:
        "Start this one with another --name. If its machine or state directory is a copy of that one's, " +
        `also remove the directory ${this.#stateDirectory}: what is in it is the other agent's.`,
      details: { agent: this.#agent, host, address },
    });
  }
}
