import type { Command } from "../scheduler/commands.ts";
import type { Fact } from "../scheduler/facts.ts";
import { formatAttempt } from "../scheduler/ids.ts";
import type { TaskAnswer } from "../protocol/task-messages.ts";
import { JOB_STATUS, TASK_STATUS } from "../protocol/version.ts";
import type { Agents } from "./agents.ts";
import type { ClusterJob } from "./cluster-job.ts";
import type { AttemptFollower } from "./follow-attempts.ts";
import type { JobFlow } from "./job-flow.ts";
import type { Jobs } from "./jobs.ts";
import { typeOf } from "./reports.ts";
import { askAnew } from "./task-polls.ts";
import type { TaskPolls } from "./task-polls.ts";

export interface PerformingParts {
  readonly jobs: Jobs;
  readonly agents: Agents;
  readonly polls: TaskPolls;
  flow(): JobFlow;
  follower(): AttemptFollower;
}

type StartAttempt = Extract<Command, { kind: "startAttempt" }>;

/** Carries out what the scheduler orders: everything goes to agents as answers to their questions. */
export class Performing {
  readonly #parts: PerformingParts;

  constructor(parts: PerformingParts) {
    this.#parts = parts;
  }

  /** See PumpHandlers. */
  follow(fact: Fact): void {
    if (fact.kind !== "attempt") return;
    const job = this.#parts.jobs.get(fact.job);
    if (job !== undefined) this.#parts.follower().follow(job, fact);
  }

  note(command: Command): void {
    if (command.kind === "jobEnded")
      this.#with(command.job, (job) => this.#parts.flow().noteEnd(job, command));
  }

  perform(command: Command): void {
    const { agents, polls } = this.#parts;
    switch (command.kind) {
      case "startAttempt":
        this.#with(command.attempt.job, (job) => polls.answer(command, () => orderOf(job, command)));
        return;
      case "askAnew":
        polls.answer(command, () => askAnew);
        return;
      case "killAttempt": {
        const { attempt, reason } = command;
        agents.life(command.node, command.incarnation)?.mailbox.post({ kind: "kill", attempt, reason });
        return;
      }
      case "denyCommit": {
        const { attempt } = command;
        agents.life(command.node, command.incarnation)?.mailbox.post({ kind: "discard", attempt });
        return;
      }
      case "discardOutput":
        this.#with(command.attempt.job, (job) => this.#discard(job, command.attempt));
        return;
      case "fenceNode":
        polls.drop(command.node, command.incarnation);
        this.#parts.flow().errands.lost(command.node, command.incarnation);
        this.#parts.flow().granting.changed();
        return;
      case "sampleReady":
        this.#with(command.job, (job) => this.#parts.flow().sampled(job));
        return;
      case "commitJob":
        this.#with(command.job, (job) => this.#parts.flow().commit(job));
        return;
      case "jobEnded":
        this.#with(command.job, (job) => this.#parts.flow().finish(job));
        return;
      case "nodeBarred":
      case "nodeAdmitted":
        this.#parts.flow().granting.changed();
        return;
      case "grantCommit":
      case "inviteNode":
      case "nodeDrained":
        return;
    }
  }

  /** Whoever has it deletes it; an agent that does not hear of it has it until the job is forgotten. */
  #discard(job: ClusterJob, attempt: Extract<Command, { kind: "discardOutput" }>["attempt"]): void {
    job.results.remove(formatAttempt(attempt));
    for (const name of job.holders) this.#parts.agents.get(name)?.mailbox.post({ kind: "discard", attempt });
  }

  #with(id: string, work: (job: ClusterJob) => void): void {
    const job = this.#parts.jobs.get(id);
    if (job !== undefined) work(job);
  }
}

/** The order as it goes to sheaf's own agents. */
function orderOf(job: ClusterJob, { attempt, backup }: StartAttempt): TaskAnswer {
  const { phase, task } = attempt;
  const plan = job.plan!;
  const work =
    phase === "reduce"
      ? ({ kind: "reduce", ...plan.reduce[task]!, outputs: job.outputs.version } as const)
      : phase === "map"
        ? ({ kind: "map", split: plan.map.at(task), skip: job.poison.skipOf(task) } as const)
        : ({ kind: "sample", split: plan.sample.at(task) } as const);
  const order = { attempt, backup, settings: job.row.settingsVersion, work };
  return {
    type: typeOf[phase],
    id: task,
    status: TASK_STATUS.RUNNING,
    job_status: JOB_STATUS.RUNNING,
    job_uuid: job.id,
    i_path: [],
    o_path: null,
    n_buckets: plan.reduce.length,
    retry_after_ms: null,
    ask_anew: false,
    order: order as TaskAnswer["order"],
  };
}
