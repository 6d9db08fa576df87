import { type Rules, standardRules } from "#src/scheduler/rules.js";
import { nextTaskState, type TaskEvent, type TaskState } from "#src/scheduler/task-state.js";

type Transition = (state: TaskState, event: TaskEvent) => TaskState;

const withTransition = (transition: Transition): Rules => ({ ...standardRules, nextTaskState: transition });

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
    isSlow: (phase, policy, elapsedMs) =>
      standardRules.isSlow(phase, { ...policy, speculationSlowness: 1 }, elapsedMs),
  },
  "leaves tasks running when the job ends": withTransition((state, event) =>
    event.kind === "cancel" && state.kind === "RUNNING" ? state : nextTaskState(state, event),
  ),
};
