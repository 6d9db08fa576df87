import { nameParts, recordsOf } from "../engine/commit.ts";
import type { EngineScheduler, EventLoop } from "../engine/loop.ts";
import type { Errand, ErrandResult } from "../protocol/agent-messages.ts";
import { knownFailure } from "../protocol/task-result.ts";
import { viewJob, viewOutputs } from "../scheduler/view.ts";
import type { TaskFailure, TaskSuccess } from "../task/task-spec.ts";
import { failureOfThrown, taskFailure } from "../worker/failure.ts";
import { mayUse, unlessStalled } from "./agents.ts";
import type { AgentRecord, Agents } from "./agents.ts";
import type { ClusterJob } from "./cluster-job.ts";
import type { GivenErrands } from "./errands.ts";
import type { Committed, ResultFile } from "./job-row.ts";
import { successOf } from "./kept-output.ts";
import type { KeptOutput } from "./kept-output.ts";

type CommitErrand = Extract<Errand, { kind: "commit" }>;

/** By the agent that was sent. */
type Made = Pick<Extract<ErrandResult, { kind: "committed" }>, "parts" | "materialized" | "incremental">;

const noFiles = { output: [], collected: [], bad: [] } as const;

/** Makes the output of jobs final: asks the gate, has an agent rename, or names the results handed in. */
export class Committing {
  readonly #scheduler: EngineScheduler<KeptOutput>;
  readonly #loop: EventLoop<KeptOutput>;
  readonly #agents: Agents;
  readonly #errands: GivenErrands;
  /** Jobs that no agent can commit at present. */
  readonly #waiting = new Set<ClusterJob>();

  constructor(loop: EventLoop<KeptOutput>, agents: Agents, errands: GivenErrands) {
    this.#scheduler = loop.scheduler;
    this.#loop = loop;
    this.#agents = agents;
    this.#errands = errands;
  }

  /** All tasks are done. After a restart it is said again. */
  begin(job: ClusterJob): void {
    job.phases.enter("commit", 0);
    job.stalls.count = 0;
    const refusal = job.planned?.run.refusal() ?? null;
    if (refusal !== null) return this.#failed(job, refusal);
    const { output, outline } = job.submission;
    if (output.kind === "shared" || outline.hasExpect) return this.#send(job);
    this.#done(job, { parts: [] });
  }

  /** Agents have come: those that could not be committed may be now. */
  retry(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const job of waiting) if (!job.isEnding) this.#send(job);
  }

  /** A job that nobody was ever sent to commit need not wait for somebody who could. */
  cancelled(job: ClusterJob, reason: string): void {
    if (!this.#waiting.has(job) || job.row.commit !== null) return;
    this.#failed(job, taskFailure("CANCELLED", reason, { phase: "commit", blame: "system" }));
  }

  drop(job: ClusterJob): void {
    this.#waiting.delete(job);
  }

  #send(job: ClusterJob): void {
    const { submission, row } = job;
    const { output, outline, materialize = null } = submission;
    const agent = this.#agentFor(job);
    if (agent === null) {
      job.waitingFor = "an agent that can commit the output";
      this.#waiting.add(job);
      return;
    }
    job.waitingFor = null;
    const { name, register } = agent;
    const again = job.stalls.count === 0 ? "" : `:${job.stalls.count}`;
    const id = `${job.id}:commit:${name}:${register.incarnation}${again}`;
    if (row.commit?.id !== id) job.update({ commit: { id, agent: name, incarnation: register.incarnation } });
    const counters = viewJob(this.#scheduler, job.id)?.counters ?? {};
    const results = output.kind === "shared" ? this.#results(job) : null;
    const errand: CommitErrand = {
      kind: "commit",
      id,
      job: job.id,
      expect: outline.hasExpect ? counters : null,
      results: results as CommitErrand["results"],
      counters,
      output,
      name: submission.name,
      code: submission.code,
      collections: [...job.collections],
      ...(materialize !== null && { materialize }),
      ...(job.submission.incremental === true && { incremental: this.#kept(job) }),
    };
    // Before anybody commits it must be known who: two at once would be in each other's way.
    this.#loop.after(() => {
      if (job.isEnding) return;
      this.#errands.give(agent, errand, {
        done: (result) => this.#answered(job, result),
        lost: () => this.#send(job),
        stalled: (stillMs) => this.#stalled(job, agent, stillMs),
      });
    });
  }

  /** Several may commit at once without harm: whoever is stuck does not keep another from it. */
  #stalled(job: ClusterJob, agent: AgentRecord, stillMs: number): void {
    const failure = job.stalls.add("commit", agent, stillMs);
    if (failure !== null) return this.#failed(job, failure);
    job.update({ commit: null });
    const message = `the commit made no progress for ${stillMs} ms on agent ${agent.name}; another one is asked`;
    job.emit({ kind: "warning", message });
    this.#send(job);
  }

  /** Who was sent before, as long as it lives: it knows how far it has come. */
  #agentFor(job: ClusterJob): AgentRecord | null {
    const { commit } = job.row;
    const before = commit === null ? undefined : this.#agents.life(commit.agent, commit.incarnation);
    if (
      before !== undefined &&
      this.#scheduler.state.nodes.get(before.name)?.incarnation === commit!.incarnation
    )
      return before;
    const { output, materialize = null } = job.submission;
    const places = [output.kind === "shared" ? output.path : null, materialize];
    const paths = places.filter((path) => path !== null);
    const fit = this.#agents
      .usable(this.#scheduler)
      .filter((agent) => paths.every((path) => mayUse(agent, path)));
    return unlessStalled(job.stalls, fit).reduce<AgentRecord | null>(
      (best, one) => (best === null || one.utility.utility > best.utility.utility ? one : best),
      null,
    );
  }

  #answered(job: ClusterJob, result: ErrandResult): void {
    if (result.kind === "committed") this.#done(job, result);
    else if (result.kind === "failed") this.#failed(job, knownFailure(result.failure));
    else
      this.#failed(
        job,
        taskFailure("INTERNAL", `an agent answered "${result.kind}" when it was to commit`, {
          blame: "system",
        }),
      );
  }

  #done(job: ClusterJob, { parts, materialized, incremental }: Made): void {
    let committed: Committed;
    try {
      committed =
        job.submission.output.kind === "shared"
          ? {
              parts,
              collected: [],
              files: noFiles,
              ...(incremental !== undefined && { incremental }),
              ...(materialized !== undefined && { records: materialized }),
            }
          : this.#handedIn(job);
    } catch (error) {
      this.#failed(job, failureOfThrown(error, "commit", "INTERNAL"));
      return;
    }
    job.update({ committed });
    job.planned?.run.committed(null);
  }

  #failed(job: ClusterJob, failure: TaskFailure): void {
    job.planned?.run.committed(failure);
  }

  /** The files of the successful attempts, by the names the output has. */
  #handedIn(job: ClusterJob): Committed {
    const results = this.#results(job);
    const output = nameParts(results, job.collections, "output");
    const collected = nameParts(results, job.collections, "collected");
    const records = nameParts(recordsOf(results), [""], "output");
    const fileOf = ({ source, part }: (typeof output)[number]): ResultFile => ({
      path: source,
      bytes: part.bytes,
    });
    const bad = results.flatMap(({ badPath }) => (badPath === null ? [] : [badPath]));
    const badFiles = bad.map((path): ResultFile => {
      const [attempt = "", name = ""] = path.split("/");
      return { path, bytes: job.results.bytesOf(attempt, name) ?? 0 };
    });
    return {
      parts: output.map(({ part }) => part),
      collected: collected.map(({ part }) => part),
      ...(job.submission.materialize !== undefined && { records: records.map(({ part }) => part) }),
      files: {
        output: output.map(fileOf),
        collected: collected.map(fileOf),
        bad: badFiles,
        records: records.map(fileOf),
      },
    };
  }

  /** What is kept for the next run. */
  #kept(job: ClusterJob): NonNullable<CommitErrand["incremental"]> {
    const { partitions, incremental } = job.planned!.plan;
    const units: string[] = [];
    for (const { output } of viewOutputs(this.#scheduler, job.id, "map"))
      if (output.unit !== undefined) units.push(output.unit);
    const bounds = (job.row.bounds ?? partitions.map(() => null)).map((one) =>
      one === null ? null : [...one],
    );
    return { notes: incremental!.notes, units, partitions: [...partitions], bounds };
  }

  /** Of the attempts that have something to be committed: most maps of a job with reduces have not. */
  #results(job: ClusterJob): TaskSuccess[] {
    const results: TaskSuccess[] = [];
    for (const phase of ["map", "reduce"] as const) {
      for (const { output } of viewOutputs(this.#scheduler, job.id, phase)) {
        if (output.parts.length > 0 || output.badPath !== null || output.stats.badRecords > 0)
          results.push(successOf(output));
      }
    }
    return results;
  }
}
