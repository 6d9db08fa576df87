import type { RunStatus } from "../engine/events.ts";
import type { CommandOf, JobSteps } from "../engine/executor.ts";
import { jobFailure } from "../engine/failure-log.ts";
import type { EngineScheduler, EventLoop } from "../engine/loop.ts";
import { sampledBounds } from "../engine/plan-job.ts";
import type { JobView } from "../protocol/job-view.ts";
import type { Failure } from "../scheduler/ids.ts";
import { viewOutputs } from "../scheduler/view.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import { failureOfThrown, taskFailure } from "../worker/failure.ts";
import type { Agents } from "./agents.ts";
import { keepBadInputs } from "./bad-inputs.ts";
import { predecessorFailure } from "./check-submission.ts";
import type { ClusterJob } from "./cluster-job.ts";
import { PlannedJob, type PlannedJobParts } from "./cluster-job.ts";
import { Committing } from "./committing.ts";
import { Discards } from "./discards.ts";
import { errorOf, endEvent, recordOf } from "./ending.ts";
import type { EpochClock } from "./epoch-clock.ts";
import { GivenErrands } from "./errands.ts";
import { explainPlan, toldPlan } from "./explain-plan.ts";
import { Granting } from "./granting.ts";
import { splitRows } from "./job-row.ts";
import type { EndedJob, JobEnd, Plan } from "./job-row.ts";
import { viewOfEnded } from "./job-view.ts";
import type { Jobs } from "./jobs.ts";
import type { KeptOutput } from "./kept-output.ts";
import { lookBack } from "./look-back.ts";
import { Planning } from "./planning.ts";
import { keepEnd } from "./recover.ts";
import type { Tallies } from "./service.ts";
import type { CoordinatorLimits, CoordinatorTimings } from "./settings.ts";
import { reduceAgents, schedulerPlan } from "./start-job.ts";
import type { StateStore } from "./store.ts";

export interface FlowParts {
  readonly scheduler: EngineScheduler<KeptOutput>;
  readonly loop: EventLoop<KeptOutput>;
  readonly store: StateStore;
  readonly clock: EpochClock;
  readonly agents: Agents;
  readonly jobs: Jobs;
  readonly tallies: Tallies;
  readonly timings: CoordinatorTimings;
  readonly limits: CoordinatorLimits;
  /** Of this start of the coordinator. */
  readonly coordinator: string;
  ended(job: ClusterJob, view: JobView): void;
}

/** An end is not held up for longer by agents that do not answer. */
const quietMsMax = 5_000;

const tasksShownMax = 1_000;
/** Rows of 1,000 splits. */
const splitRowsAtOnce = 4;

/** Leads jobs through their lives: queue, plan, tasks, commit, end. */
export class JobFlow implements JobSteps {
  readonly errands: GivenErrands;
  readonly committing: Committing;
  readonly granting: Granting;
  readonly discards: Discards;
  readonly #planning: Planning;
  readonly #parts: FlowParts;
  /** Jobs whose end is being written up. */
  readonly #finishing = new Set<ClusterJob>();

  constructor(parts: FlowParts) {
    this.#parts = parts;
    this.errands = new GivenErrands(parts.agents, parts.clock);
    this.committing = new Committing(parts.loop, parts.agents, this.errands);
    this.discards = new Discards(parts, this.errands);
    this.granting = new Granting(parts.loop, parts.agents, parts.jobs);
    this.#planning = new Planning(this.errands, parts.limits, {
      planned: (job, plan) => this.#planned(job, plan),
      failed: (job, failure, host) => this.#planFailed(job, failure, host),
      again: (job) => this.queue(job),
    });
  }

  /** What planned jobs need. */
  get plannedParts(): PlannedJobParts {
    const { loop, store, agents, tallies, clock, coordinator } = this.#parts;
    return { loop, store, agents, tallies, clock, coordinator, errands: () => this.errands };
  }

  /** The job waits to be planned. */
  queue(job: ClusterJob): void {
    if (job.isEnding) return;
    this.errands.drop(job.id);
    job.update({ state: "QUEUED" });
    this.plan(job);
  }

  /** Agents have come, or a job: what waits may go on. */
  lookAgain(): void {
    for (const job of this.#parts.jobs.live())
      if (job.row.state === "QUEUED" && !job.isEnding) this.plan(job);
    this.committing.retry();
    this.discards.retry();
    this.granting.changed();
  }

  plan(job: ClusterJob): void {
    if (job.isEnding || !this.#isFree(job)) return;
    const { scheduler, agents, coordinator } = this.#parts;
    const usable = agents.usable(scheduler);
    if (usable.length === 0) {
      const count = scheduler.state.nodes.size;
      job.waitingFor =
        count === 0 ? "an agent: none has joined" : `an agent: ${count} are draining or barred`;
      return;
    }
    job.waitingFor = null;
    job.update({ state: "PLANNING", staging: job.submission.output.kind === "shared" });
    job.phases.enter("plan", 0);
    const round = ++job.planRounds;
    const slots = usable.reduce((sum, { register }) => sum + register.slots, 0);
    const refusal = this.#planning.begin(job, usable, slots, (agent) =>
      [job.id, "plan", coordinator, round, agent].join(":"),
    );
    if (refusal !== null) this.#planFailed(job, refusal, null);
  }

  /** Cancelled by a client, or by its absence. In a commit the outcome is the commit's. */
  cancel(job: ClusterJob, reason: string): void {
    if (job.isEnding) return;
    if (!this.#isScheduled(job))
      return this.#endEarly(
        job,
        "CANCELLED",
        jobFailure(taskFailure("CANCELLED", reason, { blame: "system" })),
      );
    this.#parts.loop.push({ kind: "jobCancelled", job: job.id, reason });
    this.committing.cancelled(job, reason);
  }

  /** The job fails by something that no attempt has reported. */
  fail(job: ClusterJob, failure: TaskFailure): void {
    if (job.isEnding) return;
    if (this.#isScheduled(job)) job.planned?.run.fail(failure);
    else this.#endEarly(job, "FAILED", jobFailure(failure));
  }

  /** All samples are there: where partitions begin. */
  sampled(id: string): void {
    const job = this.#parts.jobs.get(id);
    const planned = job?.planned ?? null;
    if (job === undefined || planned === null || job.row.bounds !== null) return;
    const samples = [...viewOutputs(this.#parts.scheduler, id, "sample")];
    const bounds = sampledBounds(
      job.submission.outline,
      planned.plan.partitions,
      samples.map(({ output }) => output),
    );
    job.update({ bounds, settingsVersion: job.row.settingsVersion + 1 });
  }

  commit(id: string): void {
    const job = this.#parts.jobs.get(id);
    if (job === undefined) return;
    job.update({ state: "COMMITTING" });
    this.granting.changed();
    this.committing.begin(job);
  }

  /** The tasks are over; what that makes of the job goes into the same transaction. */
  noteEnd({ job, status, cause, counters, failedTasks }: CommandOf<"jobEnded">): void {
    this.#parts.jobs.get(job)?.update({ end: { status, cause, counters, failedTasks } });
  }

  ended({ job: id }: CommandOf<"jobEnded">): void {
    const job = this.#parts.jobs.get(id);
    if (job !== undefined) this.finish(job);
  }

  /** Writes up how a job ended; only then is it seen to have ended. REQUIRES: `row.end`, which is durable. */
  finish(job: ClusterJob): void {
    if (this.#finishing.has(job)) return;
    this.#finishing.add(job);
    const { agents } = this.#parts;
    this.committing.drop(job);
    job.phases.leave();
    for (const name of job.holders) agents.get(name)?.mailbox.post({ kind: "forget", job: job.id });
    const end = job.row.end!;
    this.#quiet(job)
      .then(() => this.#discardStaging(job, end))
      .then(() => errorOf(job, end, this.#parts.scheduler, agents))
      .then((error) => this.#written(job, end, error))
      .catch((thrown: unknown) => {
        this.#finishing.delete(job);
        if (!this.#parts.loop.isClosed) this.#parts.loop.bug(thrown);
      });
  }

  /** All jobs that it follows have succeeded. One that cannot any more fails it. */
  #isFree(job: ClusterJob): boolean {
    const { jobs, clock } = this.#parts;
    const { after } = job.row;
    if (after.length === 0) return true;
    for (const one of after) {
      const failure = predecessorFailure(one, jobs.stateOf(one));
      if (failure === null) continue;
      this.fail(job, failure);
      return false;
    }
    const open = after.filter((one) => jobs.stateOf(one) !== "SUCCEEDED");
    if (open.length < after.length)
      job.update({ after: open, ...(open.length === 0 && { queuedMs: clock.nowMs() }) });
    if (open.length === 0) return true;
    const what = `the success of ${open.join(", ")}`;
    if (job.waitingFor !== what) job.emit({ kind: "waiting", for: what });
    job.waitingFor = what;
    return false;
  }

  #isScheduled(job: ClusterJob): boolean {
    return this.#parts.scheduler.state.jobs.has(job.id);
  }

  /** What the tasks of a large job read is written bit by bit: others are not kept waiting. */
  #planned(job: ClusterJob, plan: Plan): void {
    if (job.isEnding || this.#isDone(job, plan)) return;
    const { store } = this.#parts;
    const rows = [...splitRows(job.id, plan)];
    const some = rows.splice(0, splitRowsAtOnce);
    for (const [key, text] of some) store.putOf("splits", job.id, key, text);
    const { explain = false } = job.submission;
    if (rows.length === 0 && !explain) return this.#begin(job, plan);
    this.#keepSplits(job, rows)
      .then((kept) => kept && (!explain || explainPlan(plan, job.events, () => this.#isOver(job))))
      .then((goesOn) => (goesOn ? this.#begin(job, plan) : undefined))
      .catch((thrown: unknown) => {
        // The job would wait for its plan for ever.
        this.fail(job, failureOfThrown(thrown, "plan", "INTERNAL", "system"));
        this.#parts.loop.settleQuietly();
        this.#parts.loop.bug(thrown);
      });
  }

  /** With `once`: ends the job, since an earlier one has done the same, or what is there is in the way. */
  #isDone(job: ClusterJob, plan: Plan): boolean {
    const done = lookBack(job, plan, this.#parts.jobs);
    if (done.kind === "run") return false;
    if (done.kind === "failed") this.#planFailed(job, done.failure, null);
    else {
      job.update(done.changes);
      this.#parts.loop.after(() => this.finish(job));
    }
    this.#parts.loop.settleQuietly();
    return true;
  }

  /** False when the job has ended meanwhile. */
  async #keepSplits(job: ClusterJob, rows: (readonly [string, string])[]): Promise<boolean> {
    const { loop, store } = this.#parts;
    while (rows.length > 0) {
      // What cannot be written yet is written with what follows.
      await loop.settled().catch(() => undefined);
      if (this.#isOver(job)) return false;
      for (const [key, text] of rows.splice(0, splitRowsAtOnce)) store.putOf("splits", job.id, key, text);
    }
    await loop.settled().catch(() => undefined);
    return !this.#isOver(job);
  }

  /** It has ended while something was waited for. */
  #isOver(job: ClusterJob): boolean {
    return job.isEnding || this.#parts.loop.isClosed;
  }

  #begin(job: ClusterJob, planned: Plan): void {
    const { loop, store, timings, agents } = this.#parts;
    job.planned = new PlannedJob(job, planned, this.plannedParts);
    const grants = this.granting.bidAll(job);
    const plan = { ...planned, reduceAgents: reduceAgents(planned.reduce.length, grants) };
    job.planned.plan = plan;
    const { map: _map, sample: _sample, identity: _identity, existing: _existing, ...row } = plan;
    store.put("plans", job.id, JSON.stringify(row));
    job.update({ state: "RUNNING" });
    loop.after(() => this.#tellPlan(job, plan));
    loop.push({ kind: "jobSubmitted", job: schedulerPlan(job, plan, grants, timings, agents) });
    loop.settleQuietly();
  }

  #tellPlan(job: ClusterJob, plan: Plan): void {
    const { files, bytes, map, reduce, partitions, incremental } = plan;
    job.phases.leave();
    job.emit({
      kind: "planned",
      files,
      bytes,
      mapTasks: map.length,
      reduceTasks: reduce.length,
      partitions: Object.fromEntries(job.collections.map((name, index) => [name, partitions[index]!])),
      workersMax: job.row.bidding?.granted ?? 0,
      ...(incremental !== undefined && { incremental: toldPlan(incremental) }),
    });
    // For people: what the tasks of a huge job read would be a huge file.
    const tasks = { map: map.first(tasksShownMax), reduce: reduce.slice(0, tasksShownMax) };
    const counts = { mapTasks: map.length, reduceTasks: reduce.length };
    job.directory.config({ submission: job.submission, partitions, files, bytes, ...counts, tasks });
  }

  #planFailed(job: ClusterJob, failure: TaskFailure, host: string | null): void {
    const where = host === null ? failure : { ...failure, message: `${failure.message} (on ${host})` };
    this.#endEarly(job, "FAILED", jobFailure(where));
  }

  /** Ends a job that the scheduler has never heard of. */
  #endEarly(job: ClusterJob, status: RunStatus, cause: Failure<TaskFailure>): void {
    if (job.isEnding) return;
    job.update({ end: { status, cause, counters: {}, failedTasks: [] } });
    this.#parts.loop.after(() => this.finish(job));
  }

  /** What it runs has ended; or has not for so long that it does not matter any more. */
  #quiet(job: ClusterJob): Promise<void> {
    // An agent that plans may be about to make the staging directory.
    const isQuiet = (): boolean => this.errands.of(job.id) === 0;
    return new Promise((resolve) => {
      job.dying.whenOver(this.#parts.clock.nowMs() + quietMsMax, isQuiet, () => {
        this.errands.drop(job.id);
        resolve();
      });
    });
  }

  /** Of a shared output, unless it was committed. */
  #discardStaging(job: ClusterJob, end: JobEnd): Promise<void> {
    const { output, materialize = null } = job.submission;
    const isUsed = end.status === "SUCCEEDED" && job.row.sameAs === null;
    if (output.kind !== "shared" || !job.row.staging || isUsed) return Promise.resolve();
    const places = { ...output, materialize };
    return this.discards.discard(job.id, places, this.#parts.clock.nowMs() + quietMsMax);
  }

  #written(job: ClusterJob, end: JobEnd, { error, capsule }: Awaited<ReturnType<typeof errorOf>>): void {
    const { scheduler, loop, store, clock, tallies } = this.#parts;
    const { status } = end;
    this.#keepResults(job, status);
    const endedMs = clock.nowMs();
    job.waitingFor = null;
    job.update({ state: status, endedMs });
    // In the transaction that ends it: what waits for it can neither begin twice nor wait for ever.
    const followers = [...this.#parts.jobs.live()].filter((one) => one.row.after.includes(job.id));
    for (const one of followers) if (!one.isEnding && this.#isFree(one)) loop.after(() => this.plan(one));
    const view = viewOfEnded(job, end, error, scheduler, clock);
    const kept: EndedJob = { view, files: job.row.committed?.files ?? null };
    store.put("views", job.id, JSON.stringify(kept));
    loop.after(() => {
      this.#finishing.delete(job);
      if (status === "SUCCEEDED") tallies.jobsSucceeded++;
      else if (status === "FAILED") tallies.jobsFailed++;
      else tallies.jobsCancelled++;
      this.#keepEnd(job, kept);
      job.directory.update(recordOf(view));
      job.emit(endEvent(view));
      job.directory.finish({ status, capsules: capsule === null ? [] : [capsule] });
      job.logs.end();
      this.#parts.ended(job, view);
      loop.push({ kind: "jobForgotten", job: job.id });
      this.granting.changed();
    });
    loop.settle();
  }

  #keepEnd(job: ClusterJob, kept: EndedJob): void {
    try {
      keepEnd(job.directory.path, kept);
      if (kept.view.state === "SUCCEEDED" && kept.view.badRecords > 0)
        keepBadInputs(job, this.#parts.scheduler);
    } catch {
      // The database has it.
    }
  }

  #keepResults(job: ClusterJob, status: RunStatus): void {
    const { output = [], collected = [], bad = [], records = [] } = job.row.committed?.files ?? {};
    const kept = status === "SUCCEEDED" ? [...output, ...collected, ...bad, ...records] : [];
    job.results.keepOnly(new Set(kept.map(({ path }) => path.split("/")[0]!)));
  }
}
