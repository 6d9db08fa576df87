import { randomBytes } from "node:crypto";
import type { CommittedPart, PhaseTiming, RunStatus } from "../engine/events.ts";
import type { StoppedBy } from "../engine/live.ts";
import type { ErrandResult } from "../protocol/agent-messages.ts";
import type { Bidding, JobStateText, JobView } from "../protocol/job-view.ts";
import type { Submission } from "../protocol/submission.ts";
import type { Failure, TaskRef } from "../scheduler/ids.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import type { PoisonRecord } from "../worker/trace.ts";
import { rowSplits, SplitList } from "./split-list.ts";

/** Table `views`: how a job ended. */
export interface EndedJob {
  readonly view: JobView;
  readonly files: Committed["files"] | null;
}

/** How the tasks of a job went: what ends it. */
export interface JobEnd {
  readonly status: RunStatus;
  /** null when it succeeded. */
  readonly cause: Failure<TaskFailure> | null;
  readonly counters: Readonly<Record<string, number>>;
  /** Given up within what is allowed. */
  readonly failedTasks: readonly TaskRef[];
}

/** A file of results that the coordinator keeps, by its path below the job's `results/`. */
export interface ResultFile {
  readonly path: string;
  readonly bytes: number;
}

export interface Committed {
  readonly parts: readonly CommittedPart[];
  readonly collected: readonly CommittedPart[];
  /**
   * Of `parts`, `collected` and the bad records, in their order; empty when results went to a shared path.
   */
  readonly files: {
    readonly output: readonly ResultFile[];
    readonly collected: readonly ResultFile[];
    readonly bad: readonly ResultFile[];
    /** Of `records`. Left out: there are none. */
    readonly records?: readonly ResultFile[];
  };
  /** What maps have kept of the records they were given. Left out: they were to keep none. */
  readonly records?: readonly CommittedPart[];
  /** Of an incremental run. */
  readonly incremental?: JobView["incremental"];
}

/** Who was sent to commit: after a restart it is asked again, under the same number. */
export interface ErrandPlace {
  readonly id: string;
  readonly agent: string;
  readonly incarnation: number;
}

/** Table `jobs`: what changes in a job's life, apart from its attempts. Times: EpochClock. */
export interface JobRow {
  readonly job: string;
  /** Order of submission. */
  readonly number: number;
  readonly state: JobStateText;
  readonly submittedMs: number;
  /** When its first attempt began. */
  readonly startedMs: number | null;
  readonly endedMs: number | null;
  readonly attached: boolean;
  /** Jobs that have yet to succeed before it is planned. */
  readonly after: readonly string[];
  /** Since when it waits for nothing but agents. */
  readonly queuedMs: number;
  /** Signs the URLs of its map outputs. */
  readonly shuffleKey: string;
  readonly settingsVersion: number;
  /** By collection; null until they were chosen. */
  readonly bounds: readonly (readonly string[] | null)[] | null;
  readonly bidding: Bidding | null;
  readonly poison: readonly (readonly [number, readonly PoisonRecord[]])[];
  readonly commit: ErrandPlace | null;
  readonly committed: Committed | null;
  /** Its tasks are over; `state` says so when its end is complete. */
  readonly end: JobEnd | null;
  /** What its result follows from, as onceKey; null: not planned yet, or nobody can tell. */
  readonly onceKey: string | null;
  /** The job that had done the same, so that this one ran nothing. */
  readonly sameAs: { readonly job: string; readonly badRecords: number } | null;
  /** Its source is stopped; by task, what had been made when that was decided. null: it goes on. */
  readonly stopped: { readonly by: StoppedBy; readonly made: readonly (readonly [number, number])[] } | null;
  /** A staging directory may be there and has to go. */
  readonly staging: boolean;
  readonly timings: readonly PhaseTiming[];
}

export function newRow(
  job: string,
  number: number,
  { attached, after = [] }: Pick<Submission, "attached" | "after">,
  submittedMs: number,
): JobRow {
  return {
    job,
    number,
    state: "QUEUED",
    submittedMs,
    startedMs: null,
    endedMs: null,
    attached,
    after,
    queuedMs: submittedMs,
    shuffleKey: randomBytes(32).toString("base64url"),
    settingsVersion: 1,
    bounds: null,
    bidding: null,
    poison: [],
    commit: null,
    committed: null,
    end: null,
    onceKey: null,
    sameAs: null,
    stopped: null,
    staging: false,
    timings: [],
  };
}

/** Table `submissions`. */
export interface SubmissionRow {
  readonly job: string;
  readonly idempotencyKey: string;
  readonly submission: Submission;
}

/** Table `plans`: the tasks there are. What each reads is in table `splits`. */
export interface PlanRow {
  readonly mapTasks: number;
  readonly sampleTasks: number;
  /** By task: the agent on whose disk its input lies; null: any may read it. Empty when that goes for all. */
  readonly mapAgents: readonly (string | null)[];
  readonly sampleAgents: readonly (string | null)[];
  /** Hosts near some of the maps' input, as far as its storage knows them. */
  readonly hosts: readonly string[];
  readonly files: number;
  readonly bytes: number;
  /** Of each collection. */
  readonly partitions: readonly number[];
  readonly reduce: readonly { readonly collection: number; readonly partition: number }[];
  /** By reduce task: the agent that will probably run it. Empty when there was none to tell. */
  readonly reduceAgents: readonly string[];
  /** Of an incremental run, as its planner has said. */
  readonly incremental?: NonNullable<Extract<ErrandResult, { kind: "planned" }>["incremental"]>;
}

/** A plan with all that its tasks read. */
export interface Plan extends PlanRow {
  readonly map: SplitList;
  readonly sample: SplitList;
  /** Of the input; null: it cannot be told. */
  readonly identity?: string | null;
  /** The outputDigest of a shared output that is there; null: what is there is none. */
  readonly existing?: string | null;
}

/** The rows of table `splits`, each with its key; see `PlanRow`. */
export function* splitRows(
  job: string,
  { map, sample }: Plan,
): Generator<readonly [key: string, text: string]> {
  for (const [phase, list] of Object.entries({ map, sample })) {
    let number = 0;
    for (const text of list.rows()) yield [splitKey(job, phase, number++), text];
  }
}

/** @throws SheafError what `row` throws for a row that is missing */
export function planOf(plan: PlanRow, job: string, row: (key: string) => string): Plan {
  const list = (phase: string, tasks: number): SplitList => {
    const count = Math.ceil(tasks / rowSplits);
    return SplitList.fromRows(
      Array.from({ length: count }, (_, number) => row(splitKey(job, phase, number))),
    );
  };
  return { ...plan, map: list("map", plan.mapTasks), sample: list("sample", plan.sampleTasks) };
}

function splitKey(job: string, phase: string, number: number): string {
  return `${job} ${phase} ${number}`;
}
