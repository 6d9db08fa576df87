import {
  attemptFailed,
  attemptFinished,
  attemptProgress,
  commitRequested,
  fetchFailed,
} from "./attempt-events.ts";
import type { Command } from "./commands.ts";
import type { SchedulerEvent } from "./events.ts";
import { jobCancelled, jobCommitFailed, jobCommitted, jobForgotten, jobSubmitted } from "./job-events.ts";
import { nodeHeartbeat, nodeJoined, nodeLost, workerGone, workerReady } from "./node-events.ts";
import { tick } from "./passing-time.ts";
import { placeFresh } from "./placement.ts";
import { type SchedulerSettings, schedulerSettingsDefaults } from "./policy.ts";
import { type Rules, standardRules } from "./rules.ts";
import { newSchedulerState, type SchedulerState } from "./scheduler-state.ts";

/**
 * Decides what runs where and what becomes of it. A state machine without clock, randomness or I/O: the same
 * events at the same times give the same commands. One step costs the same for ten nodes and a thousand, for
 * a hundred tasks and 100,000 (what grows is said where it happens: opening a phase, ending a job, losing a
 * node with outputs).
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
 * 6. On `commitJob`, make the output of the attempts in `viewOutputs` final and report `jobCommitted`.
 */
export class Scheduler {
  /** For views and checks; changed by `step` only. */
  readonly state: SchedulerState;

  constructor(settings: Partial<SchedulerSettings> = {}, rules: Rules = standardRules) {
    this.state = newSchedulerState({ ...schedulerSettingsDefaults, ...settings }, rules);
  }

  /**
   * Takes in one event and says what to do, in order. `nowMs` is monotonic and never less than before.
   * @throws SheafError USAGE when a submitted job's policy makes no sense; nothing has changed then.
   */
  step(event: SchedulerEvent, nowMs: number): readonly Command[] {
    const s = this.state;
    s.nowMs = nowMs;
    s.commands = [];
    handle(s, event);
    placeFresh(s);
    return s.commands;
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
    case "jobForgotten":
      return jobForgotten(s, event);
    case "nodeJoined":
      return nodeJoined(s, event);
    case "nodeHeartbeat":
      return nodeHeartbeat(s, event);
    case "nodeLost":
      return nodeLost(s, event);
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
      return tick(s);
  }
}
