import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { BadRecordBudget, FileAgreement } from "../engine/job-checks.ts";
import { FailureLog } from "../engine/failure-log.ts";
import { JobDirectory, linkOrCopy } from "../engine/job-directory.ts";
import { PhaseClock } from "../engine/events.ts";
import { ProgressTally } from "../engine/progress.ts";
import type { RunEventBody } from "../engine/events.ts";
import type { AttemptRef, NodeRef } from "../scheduler/ids.ts";
import type { TaskFailure, TaskSpec, TaskSuccess } from "../task/task-spec.ts";
import type { Submission } from "../protocol/submission.ts";
import { PoisonWatch } from "../worker/poison.ts";
import type { EpochClock } from "./epoch-clock.ts";
import { JobEvents } from "./job-events.ts";
import { JobLogs } from "./job-logs.ts";
import { newRecord } from "./job-record.ts";
import type { JobRow, Plan, SubmissionRow } from "./job-row.ts";
import { OutputList } from "./map-outputs.ts";
import { inputPaths } from "./paths.ts";
import { Results } from "./results.ts";
import { ShuffleTally } from "../engine/shuffle-tally.ts";
import type { Addition, KeptSums } from "../engine/shuffle-tally.ts";
import type { Row, Store } from "./store.ts";

export interface JobSurroundings {
  readonly store: Store;
  readonly clock: EpochClock;
  readonly stateDirectory: string;
  readonly logBytesMax: number;
  readonly blobPath: (hash: string) => string;
  readonly warn: (message: string) => void;
}

/**
 * A job that has not ended: what is durable of it (`row`, `plan`, the scheduler's facts) and what is made
 * from that.
 */
export class ClusterJob {
  readonly id: string;
  readonly submission: Submission;
  readonly idempotencyKey: string;
  readonly directory: JobDirectory;
  readonly events: JobEvents;
  readonly logs: JobLogs;
  readonly results: Results;
  readonly failures = new FailureLog();
  readonly poison: PoisonWatch;
  readonly budget: BadRecordBudget;
  readonly files: FileAgreement;
  readonly outputs = new OutputList();
  readonly phases: PhaseClock;
  /** Attempts that run, by name. */
  readonly running = new Set<string>();
  /** Attempts that were told to end and may run still, with their agents. */
  readonly dying = new Map<string, string>();
  /** Of `running` at most at one time. */
  coresUsed: number;
  /** Tasks that have finished once, by phase: what they count is counted. */
  readonly counted = { sample: new Set<number>(), map: new Set<number>(), reduce: new Set<number>() };
  /** Map tasks whose sums were added: once each, whatever becomes of their outputs. */
  readonly summed = new Set<number>();
  /** Agents that may have files of it. */
  readonly holders = new Set<string>();
  /** What reports say that have not been decided on, by attempt name. */
  readonly arrived = new Map<string, TaskSuccess>();
  readonly arrivedFailures = new Map<string, TaskFailure>();
  /** By task name: the lives of agents in which workers went away under it, one entry for each worker. */
  readonly workersLost = new Map<string, readonly NodeRef[]>();
  /** Map outputs were added or withdrawn, and agents have not been told. */
  outputsNews = false;
  /** Errands given so far; with the coordinator's start they have numbers of their own. */
  errands = 0;
  /** Agents on which an errand of it stood still, and how often one has. */
  readonly stalled = new Set<string>();
  stalls = 0;
  /** When its attached client was last heard of. */
  clientMs: number;
  progressMs = 0;
  /** What it waits for, while it is queued or planned. */
  waitingFor: string | null = null;
  /** Agents on whose disks alone some of its input lies. */
  pinnedAgents: ReadonlySet<string> = new Set();
  progress: ProgressTally;
  shuffled: ShuffleTally;
  #row: JobRow;
  #plan: Plan | null = null;
  /** Keys of table `added`: what the written sums do not hold yet. */
  #added: string[] = [];
  #quiet: { readonly deadlineMs: number; readonly isQuiet: () => boolean; readonly work: () => void }[] = [];
  readonly #store: Store;
  readonly #clock: EpochClock;

  constructor(row: JobRow, { submission, idempotencyKey }: SubmissionRow, around: JobSurroundings) {
    this.id = row.job;
    this.submission = submission;
    this.idempotencyKey = idempotencyKey;
    this.#row = row;
    this.#store = around.store;
    this.#clock = around.clock;
    this.clientMs = around.clock.nowMs();
    this.coresUsed = row.bidding?.used ?? 0;
    const record = newRecord(row.job, submission, around.clock.text(row.submittedMs));
    this.directory = new JobDirectory(around.stateDirectory, record, around.warn);
    this.events = new JobEvents(this.directory, row.submittedMs, around.clock);
    this.logs = new JobLogs(this.directory.path, around.logBytesMax, false);
    this.results = new Results(this.directory.path);
    this.poison = new PoisonWatch(submission.options.badBudget !== null, row.poison);
    this.budget = new BadRecordBudget(submission.options.badBudget);
    this.files = new FileAgreement(submission.outline.collections.map(({ name }) => name));
    this.phases = new PhaseClock(around.clock, (event) => this.emit(event));
    this.progress = new ProgressTally({ sample: [], map: [], reduce: [] });
    this.shuffled = new ShuffleTally([]);
    this.#keepCode(around);
  }

  /** What the attempt is to do, as far as it can be told without the agent. REQUIRES: the job is planned. */
  specOf({ phase, task, attempt }: AttemptRef): TaskSpec {
    const plan = this.#plan!;
    const common = { index: task, attempt };
    switch (phase) {
      case "sample":
        return { kind: "sample", split: plan.sample.at(task), ...common };
      case "map":
        return { kind: "map", split: plan.map.at(task), directory: "", ...common };
      case "reduce":
        return { kind: "reduce", ...plan.reduce[task]!, inputs: [], directory: "", ...common };
    }
  }

  /**
   * Calls it when no attempt is left that was told to end, and `isQuiet`; or at the deadline (EpochClock).
   */
  whenQuiet(deadlineMs: number, isQuiet: () => boolean, work: () => void): void {
    this.#quiet.push({ deadlineMs, isQuiet, work });
    this.lookQuiet();
  }

  /** An attempt has ended, or time has passed. */
  lookQuiet(): void {
    const nowMs = this.#clock.nowMs();
    const due = this.#quiet.filter(
      ({ deadlineMs, isQuiet }) => (this.dying.size === 0 && isQuiet()) || nowMs >= deadlineMs,
    );
    this.#quiet = this.#quiet.filter((one) => !due.includes(one));
    for (const { work } of due) work();
  }

  get row(): JobRow {
    return this.#row;
  }

  get plan(): Plan | null {
    return this.#plan;
  }

  /** What every agent that works for it has to see: inputs that are not agents' own, and a shared output. */
  get paths(): readonly string[] {
    const { output } = this.submission;
    const { shared } = inputPaths(this.submission);
    return output.kind === "shared" ? [...shared, output.path] : shared;
  }

  get collections(): readonly string[] {
    return this.submission.outline.collections.map(({ name }) => name);
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

  /** The plan was made, or read back. */
  planned(plan: Plan, sums: KeptSums | null = null, added: readonly Row[] = []): void {
    this.#plan = plan;
    this.pinnedAgents = new Set(plan.mapAgents.filter((agent) => agent !== null));
    this.progress = new ProgressTally(plan);
    this.shuffled = new ShuffleTally(plan.partitions, sums);
    for (const { text } of added) this.shuffled.add(JSON.parse(text) as Addition);
    this.#added = added.map(({ key }) => key);
    const mapTasks = plan.map.length;
    const reduceTasks = plan.reduce.length;
    this.directory.update({ mapTasks, reduceTasks, currentPhase: "map" });
  }

  /** Adds what the map says to the sums; lasting with the next flush of the store. */
  addSums(task: number, { partitionBytes, pairs, hotKeys }: Addition): void {
    this.shuffled.add({ partitionBytes, pairs, hotKeys });
    const key = `${this.id} ${task}`;
    this.#added.push(key);
    this.#store.putOf("added", this.id, key, JSON.stringify({ partitionBytes, pairs, hotKeys }));
  }

  /** Writes the sums in place of all that was added to them one by one. */
  keepSums(): void {
    if (this.#added.length === 0) return;
    this.#store.put("sums", this.id, JSON.stringify(this.shuffled.kept));
    for (const key of this.#added) this.#store.putOf("added", this.id, key, null);
    this.#added = [];
  }

  emit(event: RunEventBody): void {
    if (event.kind === "phase-finished") {
      const { phase, elapsedMs } = event;
      const tasks =
        phase === "sample" || phase === "map" || phase === "reduce" ? (this.#plan?.[phase].length ?? 0) : 0;
      this.update({ timings: [...this.#row.timings, { phase, tasks, elapsedMs }] });
    }
    if (event.kind === "phase-started") this.directory.update({ currentPhase: event.phase });
    this.events.emit(event);
  }

  sinceSubmittedMs(ms: number): number {
    return ms - this.#row.submittedMs;
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
