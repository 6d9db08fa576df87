import type { Fact } from "#src/scheduler/facts.js";
import { systemFailure } from "#src/scheduler/ids.js";
import { standardRules } from "#src/scheduler/rules.js";
import type { Rules } from "#src/scheduler/state.js";
import { nextTaskState, type TaskEvent, type TaskState } from "#src/scheduler/task-state.js";

type Transition = (state: TaskState, event: TaskEvent) => TaskState;

const withTransition = (transition: Transition): Rules => ({ ...standardRules, nextTaskState: transition });

const ofNobody = systemFailure("INTERNAL", "of nobody");

/** Schedulers that are wrong in one way each. The simulator has to notice every one of them. */
export const mutants: Readonly<Record<string, Rules>> = {
  "takes the word of attempts that are over": {
    ...standardRules,
    speaksFor: () => true,
    nextTaskState: (state, event) =>
      event.kind === "finish" && (state.kind === "READY" || state.kind === "RUNNING")
        ? { kind: "FINISHED", tally: state.tally, attempt: event.attempt }
        : nextTaskState(state, event),
  },
  "takes the word of earlier lives of a node": { ...standardRules, isSameLife: () => true },
  "takes a repeated question for a new one": { ...standardRules, isNewAsk: () => true },
  "grants the commit to everyone": withTransition((state, event) =>
    event.kind === "grant" && state.kind === "RUNNING"
      ? { ...state, granted: event.attempt }
      : nextTaskState(state, event),
  ),
  "lets an attempt finish that was not granted": withTransition((state, event) =>
    event.kind === "finish" && state.kind === "RUNNING"
      ? { kind: "FINISHED", tally: state.tally, attempt: event.attempt }
      : nextTaskState(state, event),
  ),
  "makes users pay for lost nodes": withTransition((state, event) =>
    nextTaskState(state, event.kind === "lose" ? { ...event, kind: "fail", limit: 4 } : event),
  ),
  "forgives one failure more": withTransition((state, event) =>
    nextTaskState(state, event.kind === "fail" ? { ...event, limit: event.limit + 1 } : event),
  ),
  "lets reduces start while maps run again": withTransition((state, event) =>
    event.kind === "block" ? state : nextTaskState(state, event),
  ),
  "forgets a task whose attempt was lost": withTransition((state, event) => {
    const after = nextTaskState(state, event);
    return event.kind === "lose" && after.kind === "READY" ? { kind: "BLOCKED", tally: after.tally } : after;
  }),
  "starts backups of everything": {
    ...standardRules,
    isSlow: (phase, policy) => policy.speculation && phase.open,
  },
  "starts backups of everything that is not quick": {
    ...standardRules,
    isSlow: (phase, policy, run) => standardRules.isSlow(phase, { ...policy, speculationSlowness: 1 }, run),
  },
  "makes users pay for records set aside": {
    ...standardRules,
    endingOf: ({ blame, code }) => standardRules.endingOf({ blame, code }),
  },
  "takes records set aside for lost workers": {
    ...standardRules,
    endingOf: (report) => (report.setAside === true ? "lostWithWorker" : standardRules.endingOf(report)),
  },
  "takes cancelled attempts for lost workers": {
    ...standardRules,
    endingOf: (report) =>
      report.code === "CANCELLED" && report.blame === "system"
        ? "lostWithWorker"
        : standardRules.endingOf(report),
  },
  "forgives the loss of workers": {
    ...standardRules,
    endingOf: (report) => (report.code === "WORKER_LOST" ? "lost" : standardRules.endingOf(report)),
  },
  "counts workers of lives of nodes that have ended": { ...standardRules, countsLostWorker: () => true },
  "does not count lost workers": { ...standardRules, countsLostWorker: () => false },
  "takes late emits of attempts of other lives": { ...standardRules, isOfLife: () => true },
  "does not hear of late emits": { ...standardRules, isOfLife: () => false },
  "fails jobs that commit": { ...standardRules, canFail: (life) => life.kind !== "ENDED" },
  "does not fail jobs by what its driver finds": { ...standardRules, canFail: () => false },
  "leaves tasks running when the job ends": withTransition((state, event) =>
    event.kind === "cancel" && state.kind === "RUNNING" ? state : nextTaskState(state, event),
  ),
  "makes users pay for restarts": withTransition((state, event) =>
    nextTaskState(
      state,
      event.kind === "release" ? { ...event, kind: "fail", limit: 4, failure: ofNobody } : event,
    ),
  ),
  "mixes outputs that differ": { ...standardRules, differs: () => false },
  "starts reduces over though nothing differs": {
    ...standardRules,
    differs: (before, after) => before !== null && after !== null,
  },
  "gives more than was granted": { ...standardRules, hasGrant: () => true },
  "takes slots from jobs of the same priority": { ...standardRules, mayTakeFrom: () => true },
  "gives tasks to nodes that drain": { ...standardRules, isOpen: (_draining, barred) => !barred },
  "gives tasks to nodes barred by hand": { ...standardRules, isOpen: (draining) => !draining },
};

/** What goes wrong with facts on their way to the disk. The simulator has to notice all of it, too. */
export const spoilers: Readonly<Record<string, (fact: Fact) => Fact | null>> = {
  "forgets who may commit": (fact) => (fact.kind === "attempt" ? { ...fact, granted: false } : fact),
  "forgets how attempts ended": (fact) =>
    fact.kind === "attempt" && fact.state.kind !== "RUNNING" ? null : fact,
  "forgets that attempts began": (fact) =>
    fact.kind === "attempt" && fact.state.kind === "RUNNING" ? null : fact,
  "forgets that outputs were lost": (fact) =>
    fact.kind === "attempt" && fact.outputLost !== null ? null : fact,
  "forgets what tasks went through": (fact) => (fact.kind === "task" ? null : fact),
  "forgets which workers were lost": (fact) =>
    fact.kind === "attempt" && fact.state.kind === "LOST" && fact.state.withWorker === true
      ? { ...fact, state: { kind: "LOST", endedMs: fact.state.endedMs, reason: fact.state.reason } }
      : fact,
  "forgets what nodes did": (fact) => (fact.kind === "bar" ? null : fact),
  "forgets the lives of nodes": (fact) => (fact.kind === "node" && !fact.alive ? null : fact),
  "forgets bars by hand": (fact) => (fact.kind === "handBar" ? null : fact),
  "forgets new grants": (fact) =>
    fact.kind === "jobState" && fact.grants !== null ? { ...fact, grants: null } : fact,
  "forgets that jobs ended": (fact) => (fact.kind === "jobState" && fact.life.kind === "ENDED" ? null : fact),
};
