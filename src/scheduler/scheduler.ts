import {
  attemptFailed,
  attemptFinished,
  attemptProgress,
  commitRequested,
  fetchFailed,
  lateEmit,
} from "./attempt-events.ts";
import { Chain } from "./chain.ts";
import { type Fact, FactBook } from "./facts.ts";
import {
  jobCancelled,
  jobCommitFailed,
  jobCommitted,
  jobFailed,
  jobForgotten,
  jobGranted,
  jobSubmitted,
} from "./job-events.ts";
import type { Command, SchedulerEvent } from "./messages.ts";
import {
  nodeAdmittedByHand,
  nodeBarredByHand,
  nodeDraining,
  nodeHeartbeat,
  nodeJoined,
  nodeLost,
  workerGone,
  workerReady,
} from "./node-events.ts";
import { placeReady } from "./placement.ts";
import { type SchedulerSettings, schedulerSettingsDefaults } from "./policy.ts";
import { JobQueue } from "./queues.ts";
import { FactTable, restoreState } from "./restore.ts";
import { standardRules } from "./rules.ts";
import type { FactSink, Rules, SchedulerState } from "./state.ts";
import { tick } from "./time.ts";

function newSchedulerState(
  settings: SchedulerSettings,
  rules: Rules,
  facts: FactSink | null,
): SchedulerState {
  return {
    settings,
    rules,
    facts,
    nowMs: 0,
    jobsSubmitted: 0,
    jobs: new Map(),
    active: new Set(),
    nodes: new Map(),
    incarnations: new Map(),
    leases: new Chain(),
    idle: new Chain(),
    queue: new JobQueue(),
    idleSlots: 0,
    busySlots: 0,
    fresh: [],
    opened: new Set(),
    handBars: new Map(),
    commands: [],
  };
}

/**
 * Decides what runs where and what becomes of it. A state machine that is deterministic and does no I/O: the
 * same events at the same times give the same commands. One step costs the same for ten nodes and a thousand,
 * for a hundred tasks and 100,000. What costs more says so where it happens: opening a phase, ending a job,
 * losing a node with outputs.
 *
 * How to drive it:
 * 1. `nodeJoined` once per life of a node, then `workerReady` for each slot, with a number that grows per
 *    slot.
 * 2. On `startAttempt`, run it in that slot; report `attemptProgress` when it begins and whenever it has
 *    moved on.
 * 3. Report `attemptFinished`, `attemptFailed` or `fetchFailed`; or `workerGone` when the worker died without
 *    a word.
 * 4. When the slot is free again, also after a `killAttempt`, ask with the next number: a slot gets nothing
 *    before.
 * 5. `tick` a few times a second; `nodeHeartbeat` within the lease (or set `leaseMs` to Infinity on one
 *    machine).
 * 6. A driver that may be killed: `keepFacts`, and after each step `takeFacts`, written before the commands
 *    are carried out; `Scheduler.restore` when it is back.
 * 7. On `commitJob`, make the output of the attempts in `viewOutputs` final and report `jobCommitted`.
 */
export class Scheduler<Output = unknown, Detail = unknown> {
  /** For views and checks; changed by `step` only. */
  readonly state: SchedulerState;

  readonly #facts: FactBook | null;

  /** Added to the driver's time, so that it does not fall behind the facts this began with. */
  #aheadMs = 0;

  constructor(settings: Partial<SchedulerSettings> = {}, rules: Rules = standardRules) {
    const all = { ...schedulerSettingsDefaults, ...settings };
    this.#facts = all.keepFacts ? new FactBook() : null;
    this.state = newSchedulerState(all, rules, this.#facts);
  }

  /**
   * Takes in one event and says what to do, in order. `nowMs` is monotonic and never less than before.
   * @throws SheafError USAGE when a submitted job's policy makes no sense; nothing has changed then.
   */
  step(event: SchedulerEvent<Output, Detail>, nowMs: number): readonly Command<Detail>[] {
    const s = this.state;
    s.nowMs = nowMs + this.#aheadMs;
    s.commands = [];
    handle(s, event);
    placeReady(s);
    return this.#commands();
  }

  /**
   * What has changed since the last time and has to outlive the driver: whole rows, see `Fact`. Written
   * before the commands of the steps in between are carried out, they are enough to go on from. Costs
   * as much as has changed. Empty without `keepFacts`.
   */
  takeFacts(): Fact<Output, Detail>[] {
    return (this.#facts?.take(this.state) ?? []) as Fact<Output, Detail>[];
  }

  /**
   * A scheduler that knows what the one knew whose facts these are.
   * @param facts the last one of each `factKey`, in any order, or a whole log, oldest first; those of jobs
   *   that have ended may be left out
   * @param nowMs on the same clock as the times in the facts, which is the one given to `step`; if that was
   *   set back meanwhile, time goes on from the latest fact
   * @returns with it what has to be done again: commits, and taking in samples
   * @throws SheafError STATE_CORRUPT when the facts do not fit together
   */
  static restore<Output = unknown, Detail = unknown>(
    facts: Iterable<Fact<Output, Detail>>,
    nowMs: number,
    settings: Partial<SchedulerSettings> = {},
    rules: Rules = standardRules,
  ): { readonly scheduler: Scheduler<Output, Detail>; readonly commands: readonly Command<Detail>[] } {
    const scheduler = new Scheduler<Output, Detail>(settings, rules);
    const table = new FactTable(facts);
    scheduler.#aheadMs = Math.max(0, table.latestMs - nowMs);
    scheduler.state.nowMs = nowMs + scheduler.#aheadMs;
    restoreState(scheduler.state, table);
    return { scheduler, commands: scheduler.#commands() };
  }

  /** The state holds outputs and details without looking into them: all of them came in with `step`. */
  #commands(): readonly Command<Detail>[] {
    return this.state.commands as readonly Command<Detail>[];
  }
}

function handle(s: SchedulerState, event: SchedulerEvent): void {
  switch (event.kind) {
    case "jobSubmitted":
      return jobSubmitted(s, event);
    case "jobCancelled":
      return jobCancelled(s, event);
    case "jobCommitted":
      return jobCommitted(s, event);
    case "jobCommitFailed":
      return jobCommitFailed(s, event);
    case "jobFailed":
      return jobFailed(s, event);
    case "lateEmit":
      return lateEmit(s, event);
    case "jobGranted":
      return jobGranted(s, event);
    case "jobForgotten":
      return jobForgotten(s, event);
    case "nodeJoined":
      return nodeJoined(s, event);
    case "nodeHeartbeat":
      return nodeHeartbeat(s, event);
    case "nodeLost":
      return nodeLost(s, event);
    case "nodeDraining":
      return nodeDraining(s, event);
    case "nodeBarredByHand":
      return nodeBarredByHand(s, event);
    case "nodeAdmittedByHand":
      return nodeAdmittedByHand(s, event);
    case "workerReady":
      return workerReady(s, event);
    case "workerGone":
      return workerGone(s, event);
    case "attemptProgress":
      return attemptProgress(s, event);
    case "commitRequested":
      return commitRequested(s, event);
    case "attemptFinished":
      return attemptFinished(s, event);
    case "attemptFailed":
      return attemptFailed(s, event);
    case "fetchFailed":
      return fetchFailed(s, event);
    case "tick":
      return tick(s, event.absentMs ?? 0);
  }
}
