import { type Link, newLink } from "./chain.ts";
import type { Failure } from "./failure.ts";
import type { AttemptRef, NodeRef } from "./ids.ts";
import type { NodeState } from "./node.ts";
import type { Task } from "./task.ts";

/** Every attempt ends once, in one of the last four, and stays there. */
export type AttemptState =
  | { readonly kind: "RUNNING" }
  | {
      readonly kind: "SUCCEEDED";
      readonly endedMs: number;
      readonly output: unknown;
      readonly counters: Readonly<Record<string, number>>;
      /** The tasks that do the rest of it: number of the first, and how many. */
      readonly rest?: { readonly first: number; readonly count: number };
    }
  /** Failed by itself: user code, data, a broken disk. */
  | { readonly kind: "FAILED"; readonly endedMs: number; readonly failure: Failure }
  /** Ended on purpose: another attempt was first, or the job ended. */
  | { readonly kind: "KILLED"; readonly endedMs: number; readonly reason: string }
  /** Gone with its worker, its node or the data it read. */
  | {
      readonly kind: "LOST";
      readonly endedMs: number;
      readonly reason: string;
      /** Its node was lost while it ran there, unasked: the attempt may have taken it down. */
      readonly withNode?: true;
      /** Its worker was lost under it: the attempt may have ended it. */
      readonly withWorker?: true;
    };

export interface AttemptPlace {
  readonly slot: number;
  readonly ask: number;
}

export class Attempt {
  readonly ref: AttemptRef;
  readonly task: Task;
  readonly node: NodeState;
  readonly slot: number;
  /** The question of the slot's worker that it was the answer to. */
  readonly ask: number;
  readonly backup: boolean;
  readonly startedMs: number;
  /** The last beat reported; null until the first tells that the attempt runs. */
  beat: number | null = null;
  /** When it was first seen to move on: it no longer waits its turn. null until then. */
  beganMs: number | null = null;
  /** Share of its work that is done, as it was last reported; 0: unknown. */
  fraction = 0;
  /** When the beat last grew. */
  progressMs: number;
  /** When the beat was last reported, grown or not. */
  reportedMs: number;
  state: AttemptState = RUNNING;
  /** It was asked to hand over its rest. */
  askedForRest = false;
  /** It was restored as running, and nothing has been heard of it since. */
  unheard = false;
  /** Of the output of a SUCCEEDED map attempt; null: unknown. */
  fingerprint: string | null = null;
  /** Why the output of a SUCCEEDED attempt is gone; null while it is there. */
  outputLost: string | null = null;
  /** Among the running attempts of its job, longest without progress first; null when it is over. */
  byProgress: Link<Attempt> | null = newLink<Attempt>(this);
  /** Among the running attempts of its phase that have no backup, oldest first; null when it is over. */
  byAge: Link<Attempt> | null = newLink<Attempt>(this);

  /** `startedMs` differs from now for one that is restored. */
  constructor(
    task: Task,
    node: NodeState,
    where: AttemptPlace,
    backup: boolean,
    nowMs: number,
    startedMs: number = nowMs,
  ) {
    this.ref = { ...task.ref, attempt: task.attempts.length + 1 };
    this.task = task;
    this.node = node;
    this.slot = where.slot;
    this.ask = where.ask;
    this.backup = backup;
    this.startedMs = startedMs;
    this.progressMs = nowMs;
    this.reportedMs = nowMs;
  }
}

const RUNNING: AttemptState = { kind: "RUNNING" };

/** Whether a report is about a running attempt and comes from where it runs. */
export function speaksFor(attempt: Attempt, reporter: NodeRef): boolean {
  return attempt.state.kind === "RUNNING" && isOfLife(attempt, reporter);
}

/** Whether the attempt ran, or runs, in this life of a node. */
export function isOfLife({ node }: Attempt, life: NodeRef): boolean {
  return node.id === life.node && node.incarnation === life.incarnation;
}
