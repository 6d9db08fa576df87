import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { JobDirectory, linkOrCopy } from "../engine/job-directory.ts";
import { PhaseClock } from "../engine/events.ts";
import type { RunEventBody } from "../engine/events.ts";
import type { Submission } from "../protocol/submission.ts";
import type { EpochClock } from "./epoch-clock.ts";
import { JobEvents } from "./job-events.ts";
import { JobLogs } from "./job-logs.ts";
import { recordOfNew } from "./job-record.ts";
import type { JobRow, SubmissionRow } from "./job-row.ts";
import { inputPaths } from "./paths.ts";
import type { PlannedJob } from "./planned-job.ts";
import { keepSubmission } from "./recover.ts";
import { Results } from "./results.ts";
import type { Store } from "./store.ts";

export interface JobSurroundings {
  readonly store: Store;
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
  readonly results: Results;
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
  readonly #store: Store;
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
    this.results = new Results(this.directory.path);
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

  /** What every agent that works for it has to see: inputs that are not agents' own, and a shared output. */
  get paths(): readonly string[] {
    const { output } = this.submission;
    const { shared } = inputPaths(this.submission);
    return output.kind === "shared" ? [...shared, output.path] : shared;
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

/** Agents on which planning or committing a job stood still, and how often that has happened. */
export class Stalls {
  readonly agents = new Set<string>();
  count = 0;

  add(agent: string): void {
    this.agents.add(agent);
    this.count++;
  }
}

/** The attempts of a job that were told to end and may run still, by name, with their agents. */
export class DyingAttempts {
  readonly #clock: EpochClock;
  readonly #attempts = new Map<string, string>();
  #waiting: { readonly deadlineMs: number; readonly isQuiet: () => boolean; readonly work: () => void }[] =
    [];

  constructor(clock: EpochClock) {
    this.#clock = clock;
  }

  add(attempt: string, agent: string): void {
    this.#attempts.set(attempt, agent);
  }

  /** It runs no more. */
  gone(attempt: string): void {
    if (this.#attempts.delete(attempt)) this.look();
  }

  /** The agent runs these attempts of the job, and no others. */
  runs(agent: string, running: ReadonlySet<string>): void {
    if (this.#attempts.size === 0) return;
    for (const [attempt, where] of this.#attempts)
      if (where === agent && !running.has(attempt)) this.#attempts.delete(attempt);
    this.look();
  }

  /** Does the work when none is left, and `isQuiet`; or at the deadline (EpochClock). */
  whenOver(deadlineMs: number, isQuiet: () => boolean, work: () => void): void {
    this.#waiting.push({ deadlineMs, isQuiet, work });
    this.look();
  }

  /** An attempt has ended, or time has passed. */
  look(): void {
    const nowMs = this.#clock.nowMs();
    const due = this.#waiting.filter(
      ({ deadlineMs, isQuiet }) => (this.#attempts.size === 0 && isQuiet()) || nowMs >= deadlineMs,
    );
    this.#waiting = this.#waiting.filter((one) => !due.includes(one));
    for (const { work } of due) work();
  }
}
