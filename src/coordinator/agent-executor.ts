import type { CommandOf, Executor } from "../engine/executor.ts";
import type { TaskAnswer } from "../protocol/task-messages.ts";
import { askAnewAnswer, taskAnswer } from "../protocol/worker-protocol.ts";
import { type AttemptRef, formatAttempt } from "../scheduler/ids.ts";
import type { Agents } from "./agents.ts";
import type { ClusterJob, PlannedJob } from "./cluster-job.ts";
import type { JobFlow } from "./job-flow.ts";
import type { Jobs } from "./jobs.ts";
import type { TaskPolls } from "./task-polls.ts";

export interface AgentExecutorParts {
  readonly jobs: Jobs;
  readonly agents: Agents;
  readonly polls: TaskPolls;
  flow(): JobFlow;
}

/** Has agents run attempts: everything goes to them as answers to their questions. */
export class AgentExecutor implements Executor {
  readonly #parts: AgentExecutorParts;

  constructor(parts: AgentExecutorParts) {
    this.#parts = parts;
  }

  start(order: CommandOf<"startAttempt">): void {
    const job = this.#parts.jobs.get(order.attempt.job);
    const planned = job?.planned ?? null;
    if (job !== undefined && planned !== null)
      this.#parts.polls.answer(order, () => orderOf(job, planned, order));
  }

  askAnew(order: CommandOf<"askAnew">): void {
    this.#parts.polls.answer(order, askAnewAnswer);
  }

  kill({ attempt, reason, node, incarnation }: CommandOf<"killAttempt">): void {
    this.#parts.agents.life(node, incarnation)?.mailbox.post({ kind: "kill", attempt, reason });
  }

  deny({ attempt, node, incarnation }: CommandOf<"denyCommit">): void {
    this.#parts.agents.life(node, incarnation)?.mailbox.post({ kind: "discard", attempt });
  }

  /** Whoever has it deletes it; an agent that does not hear of it has it until the job is forgotten. */
  discard(attempt: AttemptRef): void {
    const { jobs, agents } = this.#parts;
    const job = jobs.get(attempt.job);
    if (job === undefined) return;
    job.results.remove(formatAttempt(attempt));
    for (const name of job.holders) agents.get(name)?.mailbox.post({ kind: "discard", attempt });
  }

  /** A life that is invited is told so by the answer to what it said. */
  fence({ kind, node, incarnation }: CommandOf<"fenceNode"> | CommandOf<"inviteNode">): void {
    if (kind === "inviteNode") return;
    const { polls, flow } = this.#parts;
    polls.drop(node, incarnation);
    flow().errands.lost(node, incarnation);
    flow().granting.changed();
  }

  barsChanged(): void {
    this.#parts.flow().granting.changed();
  }
}

/** The order as it goes to sheaf's own agents. */
function orderOf(
  job: ClusterJob,
  planned: PlannedJob,
  { attempt, backup }: CommandOf<"startAttempt">,
): TaskAnswer {
  const { phase, task } = attempt;
  const { plan, outputs, run } = planned;
  const work =
    phase === "reduce"
      ? ({ kind: "reduce", ...plan.reduce[task]!, outputs: outputs.version } as const)
      : phase === "map"
        ? ({
            kind: "map",
            split: run.made.bounded(task, plan.map.at(task)),
            skip: run.poison.skipOf(task),
          } as const)
        : ({ kind: "sample", split: plan.sample.at(task) } as const);
  const order = { attempt, backup, settings: job.row.settingsVersion, work } as TaskAnswer["order"];
  return taskAnswer({ job: job.id, phase, task, buckets: plan.reduce.length }, { order });
}
