import { limits } from "../base/limits.ts";
import type { RunEventBody } from "../engine/events.ts";
import type { JobRun } from "../engine/job-run.ts";
import { liveOf, LiveStates } from "../engine/live.ts";
import type { LiveWishes, MergedStates, StoppedBy, ToldStates } from "../engine/live.ts";
import type { EventLoop } from "../engine/loop.ts";
import type { ErrandResult } from "../protocol/agent-messages.ts";
import type { Submission } from "../protocol/submission.ts";
import type { TaskReport } from "../protocol/task-messages.ts";
import { knownFailure } from "../protocol/task-result.ts";
import { type AttemptRef, formatAttempt, type NodeRef } from "../scheduler/ids.ts";
import { viewAttempts } from "../scheduler/view.ts";
import type { FoldAnswer, FoldRequest } from "../task/fold-states.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import { taskFailure } from "../worker/failure.ts";
import type { AgentRecord, Agents } from "./agents.ts";
import type { GivenErrands } from "./errands.ts";
import type { JobRow } from "./job-row.ts";
import type { KeptOutput } from "./kept-output.ts";
import type { StateStore } from "./store.ts";

export interface LookingOnParts {
  readonly loop: EventLoop<KeptOutput>;
  readonly agents: Agents;
  readonly store: Pick<StateStore, "putOf" | "of">;
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

/** Attempts are asked this often for what they have told before the coordinator was started. */
const askSilentMs = 1_000;

/** Agents that fail at merging states, one after the other, before the job does. */
const triesMax = 4;

/**
 * Looks on while the maps of one job run: takes in what they tell, has agents merge it and ask the stop
 * condition, and stops the source. Lasting is that the source was stopped, and for a stop condition what
 * finished maps have told, in the transaction that says so. Attempts that run tell of themselves again.
 */
export class LookingOn {
  readonly live: LiveStates;
  readonly #job: LookedAt;
  readonly #parts: LookingOnParts;
  readonly #forMs: number | null;
  #folds = 0;
  /** Maps of which a row of table `told` says what they have told. */
  readonly #kept = new Set<number>();
  /** Attempts that have told nothing since the coordinator was started, and when they are asked next. */
  #silent = new Set<string>();
  #askMs = 0;
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
      ...(wishes.asks && {
        keep: (task: number, told: ToldStates): void => {
          if (job.row.stopped !== null) return;
          this.#kept.add(task);
          parts.store.putOf("told", job.id, `${job.id} ${task}`, toldText(told));
        },
      }),
      bytesMax: limits.liveErrandBytesMax,
    });
  }

  /** Takes in what was kept before the coordinator was started; ahead of the maps that have finished. */
  restore(): void {
    const { id, row } = this.#job;
    const kept: [number, ToldStates][] = [];
    let merged: MergedStates | null = null;
    for (const { key, text } of this.#parts.store.of("told", id)) {
      const name = key.slice(id.length + 1);
      if (name === mergedName) merged = readMerged(text);
      else kept.push([Number(name), readTold(text)]);
    }
    for (const [task] of kept) this.#kept.add(task);
    for (const { attempt, state } of viewAttempts(this.#parts.loop.scheduler, id))
      if (state.kind === "RUNNING" && attempt.phase === "map") this.#silent.add(formatAttempt(attempt));
    this.live.restore(row.startedMs, merged, kept);
  }

  /** Writes what was merged in place of what maps have told one by one; removes all that nobody needs. */
  keepStates(): void {
    if (this.#kept.size === 0) return;
    const { store } = this.#parts;
    const { id, planned, row } = this.#job;
    const isOver = row.stopped !== null || planned?.run.progress.isDone("map") === true;
    const { merged } = this.live;
    const tasks = new Set(merged?.tasks.map(([task]) => task));
    const gone = [...this.#kept].filter((task) => isOver || tasks.has(task));
    if (gone.length === 0) return;
    const text = isOver || merged === null ? null : mergedText(merged);
    store.putOf("told", id, `${id} ${mergedName}`, text);
    for (const task of gone) {
      this.#kept.delete(task);
      store.putOf("told", id, `${id} ${task}`, null);
    }
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
    this.#silent.delete(formatAttempt(ref));
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
    this.#askSilent(nowMs);
    this.live.look();
  }

  /** An order may be lost. */
  #askSilent(nowMs: number): void {
    if (this.#silent.size === 0 || nowMs < this.#askMs) return;
    this.#askMs = nowMs + askSilentMs;
    const { loop, agents } = this.#parts;
    const silent = new Set<string>();
    for (const { attempt, state, node } of viewAttempts(loop.scheduler, this.#job.id)) {
      const name = formatAttempt(attempt);
      if (state.kind !== "RUNNING" || !this.#silent.has(name)) continue;
      silent.add(name);
      agents.get(node)?.mailbox.post({ kind: "tell", attempt });
    }
    this.#silent = silent;
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

const mergedName = "merged";

function toldText({ states, records, made }: ToldStates): string {
  return JSON.stringify({ records, made, states: Buffer.from(states).toString("base64") });
}

function readTold(text: string): ToldStates {
  const { states, ...counts } = JSON.parse(text) as Omit<ToldStates, "states"> & { states: string };
  return { ...counts, states: Buffer.from(states, "base64") };
}

function mergedText({ merged, tasks }: MergedStates): string {
  return JSON.stringify({ tasks, merged: Buffer.from(merged).toString("base64") });
}

function readMerged(text: string): MergedStates {
  const { merged, tasks } = JSON.parse(text) as Pick<MergedStates, "tasks"> & { merged: string };
  return { tasks, merged: Buffer.from(merged, "base64") };
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
