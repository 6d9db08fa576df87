/**
 * What has to outlive the driver. A driver that writes the facts of each step, in one transaction, before it
 * carries out the step's commands can be killed at any moment: `Scheduler.restore` makes of the rows it has
 * written a scheduler that knows what the lost one knew. A fact is a whole row; a later one replaces that of
 * the same `factKey`.
 */
import type { AttemptState } from "./attempt.ts";
import type { Bar } from "./barring.ts";
import type { Grants, JobPlan } from "./events.ts";
import type { Failure } from "./failure.ts";
import type { AttemptRef, NodeRef, TaskRef } from "./ids.ts";
import type { JobLife } from "./job-state.ts";
import type { Tally } from "./task-state.ts";

/** A job as it was submitted. Written once. */
export interface JobFact {
  readonly kind: "job";
  readonly job: string;
  readonly plan: JobPlan;
  /** Order of submission. */
  readonly sequence: number;
  readonly submittedMs: number;
}

export interface JobStateFact {
  readonly kind: "jobState";
  readonly job: string;
  readonly life: JobLife;
  readonly samplesAnnounced: boolean;
  readonly outputChanges: number;
  readonly grants: Grants | null;
}

/** Only for tasks whose attempts do not tell all: something failed, or was lost. */
export interface TaskFact extends TaskRef {
  readonly kind: "task";
  readonly tally: Tally;
  readonly lastFailedNode: string | null;
  /** Why the task was given up; null while it was not. */
  readonly failure: Failure | null;
}

/** Written when it starts, may commit, ends, and when its output is lost. */
export interface AttemptFact extends AttemptRef, NodeRef {
  readonly kind: "attempt";
  readonly slot: number;
  /** The question it was the answer to. */
  readonly ask: number;
  readonly backup: boolean;
  readonly startedMs: number;
  /** It runs and may, as the only one of its task, commit. */
  readonly granted: boolean;
  readonly state: AttemptState;
  readonly fingerprint: string | null;
  readonly outputLost: string | null;
}

/** What a node has done to a job. */
export interface BarFact {
  readonly kind: "bar";
  readonly job: string;
  readonly node: string;
  /** null: forgotten; the row can go. */
  readonly bar: Readonly<Bar> | null;
}

/** The last life of a node. Kept when it is over: words of that life may still come. */
export interface NodeFact extends NodeRef {
  readonly kind: "node";
  readonly slots: number;
  readonly alive: boolean;
  readonly draining: boolean;
  /**
   * The last question of each slot that was answered with an attempt, when a job last ended there; attempts
   * of the other jobs tell by themselves.
   */
  readonly asks: readonly number[];
}

/** A bar by hand: it holds for all lives of the node. */
export interface HandBarFact {
  readonly kind: "handBar";
  readonly node: string;
  /** null: admitted again; the row can go. */
  readonly reason: string | null;
}

/** All rows of the job can go. */
export interface JobForgottenFact {
  readonly kind: "jobForgotten";
  readonly job: string;
}

/** Plain data. Times are the driver's. `output`, `detail` and the plan are as the driver gave them. */
export type Fact =
  | JobFact
  | JobStateFact
  | TaskFact
  | AttemptFact
  | BarFact
  | NodeFact
  | HandBarFact
  | JobForgottenFact;

/** The name of the row: of two facts with one key the later counts. */
export function factKey(fact: Fact): string {
  switch (fact.kind) {
    case "job":
    case "jobState":
    case "jobForgotten":
      return `${fact.kind} ${fact.job}`;
    case "task":
      return `task ${fact.job} ${fact.phase} ${fact.task}`;
    case "attempt":
      return `attempt ${fact.job} ${fact.phase} ${fact.task} ${fact.attempt}`;
    case "bar":
      return `bar ${fact.job} ${fact.node}`;
    case "node":
    case "handBar":
      return `${fact.kind} ${fact.node}`;
  }
}
