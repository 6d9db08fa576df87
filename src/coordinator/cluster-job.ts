import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { wantedRecords } from "../engine/chosen-records.ts";
import { PhaseClock } from "../engine/event-log.ts";
import type { RunEventBody } from "../engine/events.ts";
import { JobDirectory } from "../engine/job-directory.ts";
import { JobRun } from "../engine/job-run.ts";
import type { JobRunListener } from "../engine/job-run.ts";
import type { EventLoop } from "../engine/loop.ts";
import type { Addition, KeptSums } from "../engine/shuffle-tally.ts";
import type { Submission } from "../protocol/submission.ts";
import type { AttemptFact } from "../scheduler/facts.ts";
import { formatAttempt } from "../scheduler/ids.ts";
import type { AttemptRef } from "../scheduler/ids.ts";
import { viewAttempts } from "../scheduler/view.ts";
import { linkOrCopy } from "../storage/link-or-copy.ts";
import type { TaskFailure, TaskSpec } from "../task/task-spec.ts";
import { taskFailure } from "../worker/failure.ts";
import type { AgentRecord, Agents } from "./agents.ts";
import { DyingAttempts } from "./dying-attempts.ts";
import type { EpochClock } from "./epoch-clock.ts";
import { JobEvents } from "./job-events.ts";
import { JobLogs } from "./job-logs.ts";
import { recordOfNew } from "./job-record.ts";
import type { JobRow, Plan, SubmissionRow } from "./job-row.ts";
import type { KeptOutput } from "./kept-output.ts";
import { liveOfJob, LookingOn, type LookingOnParts } from "./looking-on.ts";
import { OutputList } from "./map-outputs.ts";
import type { OutputEntry } from "./map-outputs.ts";
import { inputPaths } from "./paths.ts";
import { keepSubmission } from "./recover.ts";
import { ResultFiles } from "./results.ts";
import type { Tallies } from "./service.ts";
import type { Row, StateStore } from "./store.ts";

export interface JobSurroundings {
  readonly store: StateStore;
  readonly clock: EpochClock;
  readonly stateDirectory: string;
  readonly logBytesMax: number;
  readonly blobPath: (hash: string) => string;
  readonly warn: (message: string) => void;
}

/**
 * A job that has not ended: its durable row, and the owners of what is made from that. What it knows of its
 * tasks is in `planned`, from when there are any.
 */
export class ClusterJob {
  readonly id: string;
  readonly submission: Submission;
  readonly idempotencyKey: string;
  readonly directory: JobDirectory;
  readonly events: JobEvents;
  readonly logs: JobLogs;
  readonly results: ResultFiles;
  readonly phases: PhaseClock;
  readonly dying: DyingAttempts;
  readonly stalls = new Stalls();
  /** null: it is queued, or being planned. */
  planned: PlannedJob | null = null;
  /** Rounds of planning so far, in this life of the coordinator. */
  planRounds = 0;
  /** When its attached client was last heard of. */
  clientMs: number;
  /** When its progress was last told. */
  progressMs = 0;
  /** What it waits for, before it has tasks and when it is to be committed. */
  waitingFor: string | null = null;
  #row: JobRow;
  readonly #store: StateStore;
  readonly #clock: EpochClock;

  constructor(row: JobRow, kept: SubmissionRow, around: JobSurroundings) {
    const { submission, idempotencyKey } = kept;
    this.id = row.job;
    this.submission = submission;
    this.idempotencyKey = idempotencyKey;
    this.#row = row;
    this.#store = around.store;
    this.#clock = around.clock;
    this.clientMs = around.clock.nowMs();
    this.dying = new DyingAttempts(around.clock);
    const record = recordOfNew(row.job, submission, around.clock.text(row.submittedMs));
    this.directory = new JobDirectory(around.stateDirectory, record, around.warn);
    this.events = new JobEvents(this.directory, row.submittedMs, around.clock);
    this.logs = new JobLogs(this.directory.path, around.logBytesMax, false);
    this.results = new ResultFiles(this.directory.path);
    this.phases = new PhaseClock(around.clock, (event) => this.emit(event));
    this.#keepCode(around);
    try {
      keepSubmission(this.directory.path, { ...kept, submittedMs: row.submittedMs });
    } catch (error) {
      around.warn(`${this.id}: the copy of its submission could not be kept (${String(error)})`);
    }
  }

  get row(): JobRow {
    return this.#row;
  }

  /** What every agent that works for it has to see: inputs that are not agents' own, and shared outputs. */
  get paths(): readonly string[] {
    const { output, materialize = null } = this.submission;
    const { shared } = inputPaths(this.submission);
    const outputs = output.kind === "shared" ? [output.path] : [];
    return [...shared, ...outputs, ...(materialize === null ? [] : [materialize])];
  }

  get collections(): readonly string[] {
    return this.submission.outline.collections.map(({ name }) => name);
  }

  /** Names of the agents that may have files of it. */
  get holders(): ReadonlySet<string> {
    return this.planned?.holders ?? new Set();
  }

  /** Copy of the bundle as it was submitted. */
  get codePath(): string {
    return join(this.directory.path, "app", "job.mjs");
  }

  /** Its tasks are over, or it is being ended before it had any. */
  get isEnding(): boolean {
    return this.#row.end !== null;
  }

  /** Durable with the next flush of the store. */
  update(changes: Partial<JobRow>): void {
    this.#row = { ...this.#row, ...changes };
    this.#store.put("jobs", this.id, JSON.stringify(this.#row));
  }

  emit(event: RunEventBody): void {
    if (event.kind === "phase-finished") {
      const { phase, elapsedMs } = event;
      const plan = this.planned?.plan;
      const tasks =
        phase === "sample" || phase === "map" || phase === "reduce" ? (plan?.[phase].length ?? 0) : 0;
      this.update({ timings: [...this.#row.timings, { phase, tasks, elapsedMs }] });
    }
    if (event.kind === "phase-started") this.directory.update({ currentPhase: event.phase });
    this.events.emit(event);
  }

  get elapsedMs(): number {
    return this.#clock.nowMs() - this.#row.submittedMs;
  }

  /** The code stays with the job, whatever becomes of the blobs. */
  #keepCode({ blobPath, warn }: JobSurroundings): void {
    const { bundle, sourceMap } = this.submission;
    try {
      mkdirSync(join(this.directory.path, "app"), { recursive: true });
      linkOrCopy(blobPath(bundle), this.codePath);
      if (sourceMap !== null) linkOrCopy(blobPath(sourceMap), `${this.codePath}.map`);
    } catch (error) {
      warn(`${this.id}: the copy of its code could not be kept (${String(error)})`);
    }
  }
}

/** So often may agents stand still before the job fails. */
const stallsMax = 4;

/** Agents on which planning or committing a job stood still, and how often that has happened. */
class Stalls {
  readonly agents = new Set<string>();
  /** Of what is done at present, the one or the other. */
  count = 0;

  /**
   * It has stood still for so long.
   * @returns what the job fails by; null: another agent may be asked
   */
  add(
    phase: "plan" | "commit",
    { name, register }: Pick<AgentRecord, "name" | "register">,
    stillMs: number,
  ): TaskFailure | null {
    this.agents.add(name);
    this.count++;
    if (this.count < stallsMax) return null;
    const [what, place] = phase === "plan" ? ["planning", "input"] : ["the commit", "output"];
    const message =
      `${what} made no progress for ${stillMs} ms, ${this.count} times; last on agent ${name} ` +
      `(${register.host})`;
    const hint = `Does the file system that holds the ${place} answer there? \`ls\` the ${place} on that machine.`;
    return taskFailure("NO_PROGRESS", message, { phase, blame: "system", hint });
  }
}

/** What planned jobs need of their coordinator. */
export interface PlannedJobParts extends LookingOnParts {
  readonly clock: EpochClock;
  readonly loop: EventLoop<KeptOutput>;
  readonly store: StateStore;
  readonly agents: Agents;
  readonly tallies: Tallies;
}

/** A row of table `outputs`: the entry with its place in the list. */
export interface KeptEntry {
  readonly number: number;
  readonly entry: OutputEntry;
}

/** The tasks of a job on a cluster: how they go, where map outputs lie, and who has files of the job. */
export class PlannedJob {
  /** Which agents its reduces are to go to is known when it has its first grants. */
  plan: Plan;
  readonly run: JobRun<KeptOutput>;
  /** null: nobody looks on, and no source is to be stopped. */
  readonly lookingOn: LookingOn | null;
  readonly outputs = new OutputList();
  /** Names of the agents that may have files of it. */
  readonly holders = new Set<string>();
  /** Agents on whose disks alone some of its input lies. */
  readonly pinnedAgents: ReadonlySet<string>;
  /** Attempts that ran at one time, at most. */
  coresUsed: number;
  readonly #job: ClusterJob;
  readonly #parts: PlannedJobParts;
  /** Keys of table `added`: what the written sums do not hold yet. */
  #added: string[];
  /** Map outputs were added or withdrawn, and agents have not been told. */
  #hasNews = false;

  /** @param known what an earlier life of the coordinator has kept of its sums */
  constructor(
    job: ClusterJob,
    plan: Plan,
    parts: PlannedJobParts,
    known: { readonly sums: KeptSums | null; readonly added: readonly Row[] } = { sums: null, added: [] },
  ) {
    this.plan = plan;
    this.#job = job;
    this.#parts = parts;
    this.pinnedAgents = new Set(plan.mapAgents.filter((agent) => agent !== null));
    this.coresUsed = job.row.bidding?.used ?? 0;
    this.#added = known.added.map(({ key }) => key);
    const { only } = job.submission.options;
    const wishes = liveOfJob(job.submission);
    const { clock } = parts;
    this.lookingOn = wishes === null ? null : new LookingOn(job, wishes, parts, () => clock.nowMs());
    this.run = new JobRun<KeptOutput>({
      job: job.id,
      loop: parts.loop,
      phases: job.phases,
      collections: job.collections,
      tasks: plan,
      partitions: plan.partitions,
      badBudget: job.submission.options.badBudget,
      ...(only !== undefined && { wanted: wantedRecords(only, (task) => plan.map.at(task)) }),
      known: {
        poison: job.row.poison,
        sums: known.sums,
        added: known.added.map(({ text }) => JSON.parse(text) as Addition),
      },
      ...(this.lookingOn === null ? {} : { live: this.lookingOn.live }),
      emit: (event: RunEventBody) => job.emit(event),
      specOf: (ref) => this.#specOf(ref),
      listener: this.#listener,
    });
    const [mapTasks, reduceTasks] = [plan.map.length, plan.reduce.length];
    job.directory.update({ mapTasks, reduceTasks, currentPhase: "map" });
  }

  /** Takes in what happened before the coordinator was started; tells nobody. */
  restore(): void {
    const { loop, store } = this.#parts;
    const { stopped } = this.#job.row;
    if (stopped !== null) this.run.made.stop(stopped.by, new Map(stopped.made));
    for (const { state, node } of viewAttempts(loop.scheduler, this.#job.id))
      if (state.kind === "RUNNING" || state.kind === "SUCCEEDED") this.holders.add(node);
    this.lookingOn?.restore();
    this.run.restore(viewAttempts(loop.scheduler, this.#job.id));
    const rows = [...store.of("outputs", this.#job.id)].map(({ text }) => JSON.parse(text) as KeptEntry);
    for (const { entry } of rows.sort((a, b) => a.number - b.number)) this.outputs.add(entry);
  }

  /** Writes the sums in place of all that was added to them one by one. */
  keepSums(): void {
    this.lookingOn?.keepStates();
    if (this.#added.length === 0) return;
    const { store } = this.#parts;
    store.put("sums", this.#job.id, JSON.stringify(this.run.shuffled.kept));
    for (const key of this.#added) store.putOf("added", this.#job.id, key, null);
    this.#added = [];
  }

  /** Tells agents that there are new map outputs, or that some are gone. */
  tellOutputs(): void {
    if (!this.#hasNews) return;
    this.#hasNews = false;
    const order = { kind: "outputs", job: this.#job.id, version: this.outputs.version } as const;
    for (const name of this.holders) this.#parts.agents.get(name)?.mailbox.post(order);
  }

  readonly #listener: JobRunListener<KeptOutput> = {
    started: (fact) => {
      this.holders.add(fact.node);
      this.coresUsed = Math.max(this.coresUsed, this.run.running.size);
      if (this.#job.row.startedMs === null) this.#job.update({ startedMs: fact.startedMs });
    },
    finished: (fact, output) => {
      const { tallies } = this.#parts;
      tallies.attemptsFinished++;
      tallies.shuffleBytes += output.stats.shuffleBytes;
      tallies.outputBytes += output.parts.reduce((sum, { bytes }) => sum + bytes, 0);
      if (fact.phase !== "map") return;
      tallies.inputBytes += output.stats.bytesIn;
      if (this.plan.reduce.length > 0) this.#offer(fact, output);
    },
    failed: ({ state }) => {
      if (state.kind === "FAILED") this.#parts.tallies.attemptsFailed++;
      else this.#parts.tallies.attemptsLost++;
    },
    fetchFailed: () => this.#parts.tallies.fetchFailures++,
    killed: (fact) => this.#job.dying.add(formatAttempt(fact), fact.node),
    outputLost: ({ task, attempt, incarnation }) => {
      if (!this.outputs.has(task, attempt)) return;
      this.#add({ task, attempt, agent: null, incarnation, address: null, bytes: 0 });
    },
    summed: (task, addition) => {
      const key = `${this.#job.id} ${task}`;
      this.#added.push(key);
      this.#parts.store.putOf("added", this.#job.id, key, JSON.stringify(addition));
    },
    suspected: (poison) => this.#job.update({ poison }),
  };

  #offer(fact: AttemptFact, { bytes }: KeptOutput): void {
    const { task, attempt, node: agent, incarnation } = fact;
    const { agents } = this.#parts;
    const life = agents.life(agent, incarnation) ?? agents.get(agent);
    const address = bytes === null ? null : (life?.register.address ?? null);
    this.#add({ task, attempt, agent, incarnation, address, bytes: bytes ?? 0 });
  }

  #add(entry: OutputEntry): void {
    const number = this.outputs.version;
    this.outputs.add(entry);
    this.#hasNews = true;
    const kept: KeptEntry = { number, entry };
    this.#parts.store.putOf("outputs", this.#job.id, `${this.#job.id} ${number}`, JSON.stringify(kept));
  }

  /** What the attempt is to do, as far as it can be told without the agent. */
  #specOf({ phase, task, attempt }: AttemptRef): TaskSpec {
    const { plan } = this;
    const common = { index: task, attempt };
    switch (phase) {
      case "sample":
        return { kind: "sample", split: plan.sample.at(task), directory: "", ...common };
      case "map":
        return {
          kind: "map",
          split: this.run.made.bounded(task, plan.map.at(task)),
          directory: "",
          ...common,
        };
      case "reduce":
        return { kind: "reduce", ...plan.reduce[task]!, inputs: [], directory: "", ...common };
    }
  }
}
