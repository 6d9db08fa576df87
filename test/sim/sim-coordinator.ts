import { isDeepStrictEqual } from "node:util";
import type { Clock } from "#src/base/clock.js";
import type { Random } from "#src/base/random.js";
import type { Fact } from "#src/scheduler/facts.js";
import type { Command, SchedulerEvent } from "#src/scheduler/messages.js";
import type { SchedulerSettings } from "#src/scheduler/policy.js";
import { Scheduler } from "#src/scheduler/scheduler.js";
import type { Rules } from "#src/scheduler/state.js";
import { canonical, difference } from "./canonical.js";
import { FactStore } from "./fact-store.js";
import { demand } from "./violation.js";

/** Where in handling an event the coordinator dies. */
export type CrashPoint = "before facts are written" | "before commands are sent" | "between commands";

export interface CoordinatorOptions {
  readonly rules: Rules;
  readonly leaseMs: number;
  /** Measures the scheduler's own cost; left out, nothing is measured. */
  readonly clock?: Clock;
  /** What becomes of a fact on its way to the disk; null: it gets lost. */
  readonly tamper?: (fact: Fact) => Fact | null;
}

/** A scheduler and the disk its facts are written to. It can be killed, and made anew from the disk. */
export class SimCoordinator {
  scheduler: Scheduler;
  /** Which of its lives this is; raised by each death. */
  life = 1;
  up = true;
  stepMs = 0;
  readonly #options: CoordinatorOptions;
  readonly #settings: Partial<SchedulerSettings>;
  readonly #store = new FactStore();

  constructor(options: CoordinatorOptions) {
    this.#options = options;
    this.#settings = { leaseMs: options.leaseMs, keepFacts: true };
    this.scheduler = new Scheduler(this.#settings, options.rules);
  }

  /** Takes in an event and writes down what came of it; the commands are still to be carried out. */
  step(event: SchedulerEvent, nowMs: number): readonly Command[] {
    const { clock, tamper } = this.#options;
    const begunMs = clock?.nowMs() ?? 0;
    const commands = this.scheduler.step(event, nowMs);
    const facts = this.scheduler.takeFacts();
    if (clock !== undefined) this.stepMs += clock.nowMs() - begunMs;
    this.#store.write(tamper === undefined ? facts : facts.flatMap((fact) => tamper(fact) ?? []));
    return commands;
  }

  /** Dies. With `doomed`, an event was being handled of which nothing has been written. */
  die(doomed: SchedulerEvent | null, nowMs: number): void {
    if (doomed === null) this.audit(nowMs);
    else this.scheduler.step(doomed, nowMs);
    this.up = false;
    this.life++;
  }

  /** Begins a new life with what is on the disk; returns what has to be done again. */
  restart(nowMs: number): readonly Command[] {
    const { scheduler, commands } = this.#restore(nowMs);
    this.scheduler = scheduler;
    this.up = true;
    return commands;
  }

  /** What is on the disk makes a scheduler that knows what this one knows. */
  audit(nowMs: number): void {
    const was = canonical(this.scheduler.state);
    const is = canonical(this.#restore(nowMs).scheduler.state);
    demand(isDeepStrictEqual(was, is), () => `restored is not what was lost; ${difference(was, is)}`);
  }

  #restore(nowMs: number): { scheduler: Scheduler; commands: readonly Command[] } {
    return Scheduler.restore(this.#store.read(), nowMs, this.#settings, this.#options.rules);
  }
}

export function someCrashPoint(random: Random): CrashPoint {
  const points = ["before facts are written", "before commands are sent", "between commands"] as const;
  return points[random.below(points.length)]!;
}
