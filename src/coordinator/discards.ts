import type { EngineScheduler, EventLoop } from "../engine/loop.ts";
import type { Errand } from "../protocol/agent-messages.ts";
import type { OutputTarget } from "../protocol/submission.ts";
import { mayUse } from "./agents.ts";
import type { Agents } from "./agents.ts";
import type { EpochClock } from "./epoch-clock.ts";
import type { GivenErrands } from "./errands.ts";
import type { KeptOutput } from "./kept-output.ts";
import { recoveredMs } from "./recover.ts";
import type { CoordinatorTimings } from "./settings.ts";
import type { StateStore } from "./store.ts";

/** `materialize`: likewise, see Submission. */
type Shared = Extract<OutputTarget, { kind: "shared" }> & { readonly materialize?: string | null };

interface Pending {
  readonly job: string;
  readonly output: Shared;
  /** An agent is at it. */
  given: boolean;
}

export interface DiscardParts {
  readonly store: StateStore;
  readonly scheduler: EngineScheduler<KeptOutput>;
  readonly agents: Agents;
  readonly clock: EpochClock;
  readonly loop: EventLoop<KeptOutput>;
  readonly timings: CoordinatorTimings;
}

/** Staging directories that have to go: remembered until an agent has said that one is gone. */
export class Discards {
  readonly #parts: DiscardParts;
  readonly #errands: GivenErrands;
  readonly #pending = new Map<string, Pending>();
  /** Who waits for one, and how long. */
  #waiting: { readonly job: string; readonly deadlineMs: number; readonly resolve: () => void }[] = [];

  /** Until then (EpochClock) agents that were given up may be at a commit; 0: none is. */
  #heldUntilMs: number;

  constructor(parts: DiscardParts, errands: GivenErrands) {
    this.#parts = parts;
    this.#errands = errands;
    const recovered = recoveredMs(parts.store);
    this.#heldUntilMs = recovered === null ? 0 : recovered + parts.timings.leaseMs;
    for (const { key, text } of parts.store.all("discards")) {
      this.#pending.set(key, { job: key, output: JSON.parse(text) as Shared, given: false });
    }
  }

  /** Resolves when it is gone; at the deadline also when it is not: it then goes when an agent can do it. */
  discard(job: string, output: Shared, deadlineMs: number): Promise<void> {
    const { store, loop } = this.#parts;
    const pending: Pending = { job, output, given: false };
    this.#pending.set(job, pending);
    store.put("discards", job, JSON.stringify(output));
    const gone = new Promise<void>((resolve) => this.#waiting.push({ job, deadlineMs, resolve }));
    loop.after(() => this.#send(pending));
    loop.settleQuietly();
    return gone;
  }

  /** Agents have come. */
  retry(): void {
    for (const pending of this.#pending.values()) if (!pending.given) this.#send(pending);
  }

  tick(): void {
    const nowMs = this.#parts.clock.nowMs();
    if (this.#heldUntilMs > 0 && nowMs >= this.#heldUntilMs) {
      this.#heldUntilMs = 0;
      this.retry();
    }
    this.#release(({ deadlineMs }) => nowMs >= deadlineMs);
  }

  #send(pending: Pending): void {
    const { agents, scheduler, store } = this.#parts;
    const { job, output: places } = pending;
    const { materialize = null, ...output } = places;
    if (this.#heldUntilMs > 0) return;
    const paths = [output.path, ...(materialize === null ? [] : [materialize])];
    const agent = agents.usable(scheduler).find((one) => paths.every((path) => mayUse(one, path)));
    // Nobody is there who could: a job's end does not wait for that.
    if (agent === undefined) return this.#release((one) => one.job === job);
    pending.given = true;
    const { name, register } = agent;
    const id = `${job}:discard:${name}:${register.incarnation}`;
    const more = materialize === null ? {} : { materialize };
    const errand: Errand = { kind: "discard", id, job, output, ...more };
    this.#errands.give(agent, errand, {
      done: (result) => {
        pending.given = false;
        this.#release((one) => one.job === job);
        if (result.kind !== "discarded") return;
        this.#pending.delete(job);
        store.put("discards", job, null);
      },
      lost: () => {
        pending.given = false;
        this.#send(pending);
      },
    });
  }

  #release(isDue: (one: { readonly job: string; readonly deadlineMs: number }) => boolean): void {
    const due = this.#waiting.filter(isDue);
    this.#waiting = this.#waiting.filter((one) => !due.includes(one));
    for (const { resolve } of due) resolve();
  }
}
