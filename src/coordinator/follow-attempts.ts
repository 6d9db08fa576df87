import type { AttemptFact } from "../scheduler/facts.ts";
import { formatAttempt, formatTask } from "../scheduler/ids.ts";
import type { AttemptRef } from "../scheduler/ids.ts";
import type { Scheduler } from "../scheduler/scheduler.ts";
import { viewAttempts } from "../scheduler/view.ts";
import type { TaskFailure, TaskSuccess } from "../task/task-spec.ts";
import { taskFailure } from "../worker/failure.ts";
import type { Agents } from "./agents.ts";
import type { ClusterJob } from "./cluster-job.ts";
import type { KeptOutput } from "./kept-output.ts";
import type { OutputEntry } from "./map-outputs.ts";
import type { Store } from "./store.ts";
import type { Tallies } from "./tallies.ts";

export interface Following {
  readonly store: Store;
  readonly agents: Agents;
  readonly tallies: Tallies;
  /** Once all that has been decided is durable. */
  after(work: () => void): void;
  /** Ends the job by a failure that no attempt has reported. */
  abort(job: ClusterJob, failure: TaskFailure): void;
}

/** Makes of what the scheduler says of attempts: events, progress, sums, and the list of map outputs. */
export class AttemptFollower {
  readonly #to: Following;

  constructor(to: Following) {
    this.#to = to;
  }

  /** The attempt has changed, which is not durable yet. */
  follow(job: ClusterJob, fact: AttemptFact): void {
    const name = formatAttempt(fact);
    const { state } = fact;
    if (state.kind === "RUNNING") {
      if (!job.running.has(name)) this.#started(job, fact, name);
      return;
    }
    const ended = job.running.delete(name);
    job.progress.stopped(fact);
    if (ended) this.#ended(job, fact, name);
    if (fact.outputLost !== null && job.outputs.has(fact.task, fact.attempt)) this.#withdraw(job, fact);
  }

  /** Takes in what happened before the coordinator was started; tells nobody. */
  restore(job: ClusterJob, scheduler: Scheduler): void {
    for (const { attempt, state, outputLost, node } of viewAttempts(scheduler, job.id)) {
      switch (state.kind) {
        case "RUNNING":
          job.running.add(formatAttempt(attempt));
          job.progress.started(attempt);
          job.holders.add(node);
          break;
        case "SUCCEEDED":
          job.holders.add(node);
          if (attempt.phase === "map") job.summed.add(attempt.task);
          if (outputLost === null) this.#recount(job, attempt, state.output as KeptOutput);
          break;
        case "FAILED":
        case "LOST":
          job.failures.add(attempt, job.specOf(attempt), failureOf(state), "scheduler");
          break;
        case "KILLED":
      }
    }
    const rows = [...this.#to.store.of("outputs", job.id)].map(({ text }) => JSON.parse(text) as KeptEntry);
    for (const { entry } of rows.sort((a, b) => a.number - b.number)) job.outputs.add(entry);
  }

  #started(job: ClusterJob, fact: AttemptFact, name: string): void {
    job.running.add(name);
    job.coresUsed = Math.max(job.coresUsed, job.running.size);
    job.holders.add(fact.node);
    job.progress.started(fact);
    const tasks = job.plan?.[fact.phase].length ?? 0;
    if (job.row.startedMs === null) job.update({ startedMs: fact.startedMs });
    this.#to.after(() => {
      job.phases.enter(fact.phase, tasks);
      job.emit({ kind: "attempt-started", task: formatTask(fact), attempt: fact.attempt, worker: fact.slot });
    });
  }

  #ended(job: ClusterJob, fact: AttemptFact, name: string): void {
    const { state, attempt } = fact;
    const task = formatTask(fact);
    switch (state.kind) {
      case "SUCCEEDED":
        this.#succeeded(job, fact, state.output as KeptOutput, name);
        return;
      case "FAILED":
      case "LOST": {
        const reported = job.arrivedFailures.get(name);
        const failure = reported ?? failureOf(state);
        const outcome = state.kind === "FAILED" ? "failed" : "lost";
        if (state.kind === "FAILED") this.#to.tallies.attemptsFailed++;
        else this.#to.tallies.attemptsLost++;
        const by = reported === undefined ? "scheduler" : "worker";
        job.failures.add(fact, job.specOf(fact), failure, by);
        this.#to.after(() => {
          const willRetry = !job.isEnding;
          job.emit({ kind: "attempt-failed", task, attempt, outcome, failure, willRetry });
        });
        return;
      }
      case "KILLED": {
        const { reason } = state;
        job.dying.set(name, fact.node);
        this.#to.after(() => job.emit({ kind: "attempt-cancelled", task, attempt, reason }));
        return;
      }
      case "RUNNING":
    }
  }

  #succeeded(job: ClusterJob, fact: AttemptFact, output: KeptOutput, name: string): void {
    const isFirst = this.#count(job, fact, output);
    const { tallies } = this.#to;
    tallies.attemptsFinished++;
    if (fact.phase === "map") tallies.inputBytes += output.stats.bytesIn;
    tallies.shuffleBytes += output.stats.shuffleBytes;
    tallies.outputBytes += output.parts.reduce((sum, { bytes }) => sum + bytes, 0);
    const success = job.arrived.get(name);
    if (fact.phase === "map") this.#sum(job, fact, success);
    if (fact.phase === "map" && (job.plan?.reduce.length ?? 0) > 0) this.#offer(job, fact, output);
    const task = formatTask(fact);
    const { attempt } = fact;
    const mapped = isFirst && fact.phase === "map" && job.progress.isDone("map");
    const warnings = mapped ? job.shuffled.warnings(job.collections) : [];
    this.#to.after(() => {
      job.emit({ kind: "attempt-finished", task, attempt, stats: output.stats });
      for (const message of warnings) job.emit({ kind: "warning", message });
    });
    if (!isFirst) return;
    const over = job.budget.add(fact.phase, output, job.progress.isDone(fact.phase));
    const refusal = over ?? job.files.add(output.parts);
    if (refusal !== null) this.#to.abort(job, refusal);
  }

  #sum(job: ClusterJob, ref: AttemptRef, success: TaskSuccess | undefined): void {
    if (success === undefined || job.summed.has(ref.task)) return;
    job.summed.add(ref.task);
    job.addSums(ref.task, success);
  }

  #recount(job: ClusterJob, ref: AttemptRef, output: KeptOutput): void {
    if (!this.#count(job, ref, output)) return;
    job.budget.add(ref.phase, output, false);
    job.files.add(output.parts);
  }

  /** False when the task had finished before. */
  #count(job: ClusterJob, ref: AttemptRef, output: KeptOutput): boolean {
    job.progress.finished(ref, output);
    const counted = job.counted[ref.phase];
    if (counted.has(ref.task)) return false;
    counted.add(ref.task);
    return true;
  }

  #offer(job: ClusterJob, fact: AttemptFact, { bytes }: KeptOutput): void {
    const { task, attempt, node: agent, incarnation } = fact;
    const life = this.#to.agents.life(agent, incarnation) ?? this.#to.agents.get(agent);
    const address = bytes === null ? null : (life?.register.address ?? null);
    this.#add(job, { task, attempt, agent, incarnation, address, bytes: bytes ?? 0 });
  }

  #withdraw(job: ClusterJob, { task, attempt, incarnation }: AttemptFact): void {
    this.#add(job, { task, attempt, agent: null, incarnation, address: null, bytes: 0 });
  }

  #add(job: ClusterJob, entry: OutputEntry): void {
    const number = job.outputs.version;
    job.outputs.add(entry);
    job.outputsNews = true;
    const kept: KeptEntry = { number, entry };
    this.#to.store.putOf("outputs", job.id, `${job.id} ${number}`, JSON.stringify(kept));
  }
}

/** A row of table `outputs`: the entry with its place in the list. */
export interface KeptEntry {
  readonly number: number;
  readonly entry: OutputEntry;
}

function failureOf(state: Extract<AttemptFact["state"], { kind: "FAILED" | "LOST" }>): TaskFailure {
  if (state.kind === "LOST") return taskFailure("WORKER_LOST", state.reason, { blame: "system" });
  const { code, message, blame, detail } = state.failure;
  return (detail as TaskFailure | null) ?? taskFailure(code, message, { blame });
}
