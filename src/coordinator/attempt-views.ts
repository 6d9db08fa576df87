import type { EngineScheduler } from "../engine/loop.ts";
import type { AttemptView } from "../protocol/job-view.ts";
import type { AttemptFact, Fact } from "../scheduler/facts.ts";
import { PHASES } from "../scheduler/ids.ts";
import { viewAttempts } from "../scheduler/view.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import type { Jobs } from "./jobs.ts";
import type { KeptOutput } from "./kept-output.ts";
import type { StateStore } from "./store.ts";

type KeptFact = AttemptFact<KeptOutput, TaskFailure>;
type Told = Pick<
  KeptFact,
  "node" | "incarnation" | "slot" | "backup" | "startedMs" | "state" | "outputLost"
> & { readonly ref: AttemptView["attempt"] };

/**
 * Every attempt of a job, in task order; of one that has ended from the store. @throws SheafError NOT_FOUND
 */
export function attemptsOf(
  id: string,
  jobs: Jobs,
  scheduler: EngineScheduler<KeptOutput>,
  store: StateStore,
): AttemptView[] {
  const job = jobs.get(id);
  if (job !== undefined && scheduler.state.jobs.has(id)) {
    const views = viewAttempts(scheduler, id);
    return [...views].map(({ attempt, ...rest }) => viewOf({ ref: attempt, ...rest }, job.row.submittedMs));
  }
  if (job !== undefined) return [];
  const submittedMs = Date.parse(jobs.findEnded(id).view.submitTime);
  const facts = [...store.of("facts", id)]
    .map(({ text }) => JSON.parse(text) as Fact<KeptOutput, TaskFailure>)
    .filter((fact): fact is KeptFact => fact.kind === "attempt");
  const order = (fact: KeptFact): number => PHASES.indexOf(fact.phase);
  facts.sort((a, b) => order(a) - order(b) || a.task - b.task || a.attempt - b.attempt);
  return facts.map(({ job: name, phase, task, attempt, ...rest }) =>
    viewOf({ ref: { job: name, phase, task, attempt }, ...rest }, submittedMs),
  );
}

function viewOf(told: Told, submittedMs: number): AttemptView {
  const { ref, node, incarnation, slot, backup, startedMs, state, outputLost } = told;
  const common = {
    attempt: ref,
    agent: node,
    incarnation,
    slot,
    backup,
    startedMs: startedMs - submittedMs,
    outputLost,
  };
  switch (state.kind) {
    case "RUNNING":
      return { ...common, endedMs: null, state: "RUNNING", cause: null, stats: null };
    case "SUCCEEDED": {
      const { stats } = state.output;
      return { ...common, endedMs: state.endedMs - submittedMs, state: "SUCCEEDED", cause: null, stats };
    }
    case "FAILED":
      return {
        ...common,
        endedMs: state.endedMs - submittedMs,
        state: "FAILED",
        cause: state.failure.message,
        stats: null,
      };
    case "KILLED":
      return {
        ...common,
        endedMs: state.endedMs - submittedMs,
        state: "CANCELLED",
        cause: state.reason,
        stats: null,
      };
    case "LOST":
      return {
        ...common,
        endedMs: state.endedMs - submittedMs,
        state: "LOST",
        cause: state.reason,
        stats: null,
      };
  }
}
