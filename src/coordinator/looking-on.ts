import { limits } from "../base/limits.ts";
import type { RunEventBody } from "../engine/events.ts";
import type { JobRun } from "../engine/job-run.ts";
import { liveOf, LiveStates } from "../engine/live.ts";
import type { LiveWishes, StoppedBy, ToldStates } from "../engine/live.ts";
import type { EventLoop } from "../engine/loop.ts";
import type { ErrandResult } from "../protocol/agent-messages.ts";
import type { Submission } from "../protocol/submission.ts";
import type { TaskReport } from "../protocol/task-messages.ts";
import { knownFailure } from "../protocol/task-result.ts";
import type { AttemptRef, NodeRef } from "../scheduler/ids.ts";
import { viewAttempts } from "../scheduler/view.ts";
import type { FoldAnswer, FoldRequest } from "../task/fold-states.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import { taskFailure } from "../worker/failure.ts";
import type { AgentRecord, Agents } from "./agents.ts";
import type { GivenErrands } from "./errands.ts";
import type { JobRow } from "./job-row.ts";
import type { KeptOutput } from "./kept-output.ts";

export interface LookingOnParts {
  readonly loop: EventLoop<KeptOutput>;
  readonly agents: Agents;
  /** Of this start of the coordinator: an agent answers an errand of the same id from memory. */
  readonly coordinator: string;
  errands(): GivenErrands;
}

/** Of a ClusterJob. */
interface LookedAt {
  readonly id: string;
  readonly row: Pick<JobRow, "state" | "startedMs" | "stopped">;
  readonly isEnding: boolean;
  /** Agents that may work for it. */
  readonly holders: ReadonlySet<string>;
  readonly planned: { readonly run: JobRun<KeptOutput> } | null;
  update(changes: Pick<JobRow, "stopped">): void;
  emit(event: RunEventBody): void;
}

/** What is wanted of the job while it runs; null: nothing. */
export function liveOfJob({ outline, options }: Submission): LiveWishes | null {
  const { live = false, made = null } = options;
  return liveOf(outline as Parameters<typeof liveOf>[0], { live, made });
}

/** Agents that fail at merging states, one after the other, before the job does. */
const triesMax = 4;

/**
 * Looks on while the maps of one job run: takes in what they tell, has agents merge it and ask the stop
 * condition, and stops the source. Nothing of it is lasting but that the source was stopped: what was told
 * before the coordinator was started is told again by the attempts that run.
 */
export class LookingOn {
  readonly live: LiveStates;
  readonly #job: LookedAt;
  readonly #parts: LookingOnParts;
  readonly #forMs: number | null;
  #folds = 0;
  #agent: string | null = null;

  constructor(job: LookedAt, wishes: LiveWishes, parts: LookingOnParts, nowMs: () => number) {
    this.#job = job;
    this.#parts = parts;
    this.#forMs = wishes.forMs;
    this.live = new LiveStates({
      ...wishes,
      fold: (request) => new Promise((resolve) => this.#send(request, 1, resolve)),
      isTrue: (made) => this.#stop("until", made),
      failed: (failure) => {
        job.planned?.run.fail(failure);
        parts.loop.settleQuietly();
      },
      emit: (event: RunEventBody) => job.emit(event),
      nowMs,
      bytesMax: limits.liveErrandBytesMax,
    });
  }

  /** An attempt has told of itself; what is void is passed over. */
  told(ref: AttemptRef, told: NonNullable<TaskReport["told"]>, { node, incarnation }: NodeRef): void {
    const { loop, agents } = this.#parts;
    const { state, rules } = { state: loop.scheduler.state, rules: loop.scheduler.state.rules };
    const attempt = state.jobs.get(ref.job)?.phases[ref.phase].tasks[ref.task]?.attempts[ref.attempt - 1];
    if (ref.phase !== "map" || attempt?.state.kind !== "RUNNING") return;
    if (!rules.speaksFor(attempt, { node, incarnation })) return;
    const { states, records, made } = told;
    const taken: ToldStates = { states: Buffer.from(states, "base64"), records, made };
    this.live.told(ref, taken);
    // An order may be lost with a connection, or with the coordinator.
    if (this.#job.row.stopped !== null)
      agents.life(node, incarnation)?.mailbox.post({ kind: "stop", attempt: ref });
  }

  /** Time has passed. */
  tick(nowMs: number): void {
    const { startedMs, stopped } = this.#job.row;
    if (this.#job.row.state !== "RUNNING") return;
    if (this.#forMs !== null && stopped === null && startedMs !== null && nowMs - startedMs >= this.#forMs)
      this.#stop("time", this.live.made);
    this.live.look();
  }

  #stop(by: StoppedBy, made: ReadonlyMap<number, number>): void {
    const job = this.#job;
    const { loop, agents } = this.#parts;
    const run = job.planned?.run;
    if (run === undefined || job.row.stopped !== null || run.progress.isDone("map")) return;
    job.update({ stopped: { by, made: [...made] } });
    run.stopSource(by, made);
    loop.after(() => {
      for (const { attempt, state, node } of viewAttempts(loop.scheduler, job.id)) {
        if (state.kind === "RUNNING" && attempt.phase === "map")
          agents.get(node)?.mailbox.post({ kind: "stop", attempt });
      }
    });
    loop.settleQuietly();
  }

  #send(request: FoldRequest, attempt: number, answered: (answer: FoldAnswer | TaskFailure) => void): void {
    const job = this.#job;
    const agent = this.#agentFor(attempt);
    const again = (failure: TaskFailure): void => {
      this.#agent = null;
      if (job.isEnding || attempt >= triesMax) answered(failure);
      else this.#send(request, attempt + 1, answered);
    };
    if (agent === null)
      return answered(taskFailure("NO_AGENTS", "no agent can ask the stop condition", { blame: "system" }));
    this.#agent = agent.name;
    const { coordinator } = this.#parts;
    const id = [job.id, "fold", coordinator, ++this.#folds, agent.name].join(":");
    const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
    const { merged, finished, running, progress, asks } = request;
    const wire = {
      merged: merged === null ? null : text(merged),
      finished: finished.map(text),
      running: running.map(text),
      progress: { ...progress },
      asks,
    };
    const lost = (why: string): void =>
      again(taskFailure("WORKER_LOST", `the agent that merges results ${why}`, { blame: "system" }));
    this.#parts.errands().give(
      agent,
      { kind: "fold", id, job: job.id, request: wire },
      {
        done: (result) => {
          const answer = answerOf(result);
          if ("kind" in answer && answer.blame === "system") again(answer);
          else answered(answer);
        },
        lost: () => lost("is lost"),
        stalled: () => lost("stands still"),
      },
    );
  }

  /** The one that did it before; else one that works for the job; after a failure another. */
  #agentFor(attempt: number): AgentRecord | null {
    const { agents, loop } = this.#parts;
    const usable = agents.usable(loop.scheduler);
    const before = usable.find(({ name }) => name === this.#agent);
    if (before !== undefined) return before;
    const holders = usable.filter(({ name }) => this.#job.holders.has(name));
    const fit = holders.length > 0 ? holders : usable;
    return fit[(attempt - 1) % Math.max(1, fit.length)] ?? null;
  }
}

function answerOf(result: ErrandResult): FoldAnswer | TaskFailure {
  if (result.kind === "folded") {
    const { merged, collections, stop } = result;
    return { merged: Buffer.from(merged, "base64"), collections, stop };
  }
  if (result.kind === "failed") return knownFailure(result.failure);
  const message = `an agent answered "${result.kind}" when it was to merge results`;
  return taskFailure("INTERNAL", message, { blame: "system" });
}
