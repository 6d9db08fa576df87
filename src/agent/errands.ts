import { unreachable } from "../base/errors.ts";
import type { Errand, ErrandResult } from "../protocol/agent-messages.ts";
import { failureOfThrown } from "../worker/failure.ts";
import { untilAnswered } from "./agent-world.ts";
import type { AgentWorld } from "./agent-world.ts";
import { commitErrand } from "./commit-errand.ts";
import type { NodeJobs } from "./node-jobs.ts";
import { planErrand } from "./plan-errand.ts";
import { removeStaging, stagingOf } from "./shared-output.ts";

export interface ErrandSetting {
  readonly world: AgentWorld;
  readonly agent: string;
  readonly incarnation: number;
  readonly roots: readonly string[];
  readonly jobs: NodeJobs;
  /** Of the agent's life. */
  readonly signal: AbortSignal;
}

/** Results kept, for errands that are given again because the answer was lost. */
const resultsKept = 32;

/**
 * What the coordinator has this agent do beside tasks. Each errand is done once at a time and answered until
 * the answer is taken; one that is given again after that is answered from memory, or done again.
 */
export class Errands {
  readonly #setting: ErrandSetting;
  readonly #pending = new Set<string>();
  readonly #results = new Map<string, ErrandResult>();

  constructor(setting: ErrandSetting) {
    this.#setting = setting;
  }

  /** Errands it has heard of and not yet answered. */
  get pending(): string[] {
    return [...this.#pending];
  }

  /** Begins the errand, unless it is being done. */
  give(errand: Errand): void {
    if (this.#pending.has(errand.id)) return;
    this.#pending.add(errand.id);
    void this.#carryOut(errand).finally(() => this.#pending.delete(errand.id));
  }

  async #carryOut(errand: Errand): Promise<void> {
    const { world, signal } = this.#setting;
    const result = this.#results.get(errand.id) ?? (await this.#resultOf(errand));
    if (signal.aborted) return;
    this.#remember(errand.id, result);
    try {
      await world.api.errandDone(errand.id, result, { signal, ...untilAnswered });
    } catch (error) {
      if (signal.aborted) return;
      world.log("warn", `the result of ${errand.kind} was not taken: ${String(error)}`, { job: errand.job });
    }
  }

  async #resultOf(errand: Errand): Promise<ErrandResult> {
    const { agent, incarnation, world } = this.#setting;
    const who = { agent, incarnation };
    try {
      return { ...who, ...(await this.#done(errand)) };
    } catch (error) {
      const failure = failureOfThrown(error, errand.kind, "INTERNAL", "system");
      world.log("warn", `${errand.kind} failed: ${failure.message}`, { job: errand.job });
      return { ...who, kind: "failed", failure: { ...failure, log: [...failure.log] } };
    }
  }

  async #done(errand: Errand) {
    const { agent, roots, jobs } = this.#setting;
    switch (errand.kind) {
      case "plan":
        return planErrand(errand, agent, roots);
      case "commit":
        return commitErrand(errand, jobs, roots);
      case "discard":
        if (errand.output.kind === "shared")
          await removeStaging(await stagingOf(errand.output.path, errand.job, roots));
        return { kind: "discarded" } as const;
      default:
        return unreachable(errand);
    }
  }

  #remember(id: string, result: ErrandResult): void {
    this.#results.delete(id);
    this.#results.set(id, result);
    const oldest = this.#results.keys().next().value;
    if (this.#results.size > resultsKept && oldest !== undefined) this.#results.delete(oldest);
  }
}
