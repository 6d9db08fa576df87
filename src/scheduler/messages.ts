import type { ErrorCode } from "../base/errors.ts";
import type { AttemptRef, Blame, Failure, NodeRef, TaskRef } from "./ids.ts";
import type { JobPolicy } from "./policy.ts";

/** Where a task may or would rather run. Empty: anywhere. */
export interface TaskPlan {
  /** Only these nodes can run it (their disks hold its input). Default: every node. */
  readonly pinned?: readonly string[];
  /** These nodes are near its input. */
  readonly preferred?: readonly string[];
}

/** Node to cores: how many attempts of a job may run there at once. A node that is not named gets none. */
export type Grants = Readonly<Record<string, number>>;

/** A job as the scheduler sees it: the phases run one after the other, the tasks of a phase in any order. */
export interface ScheduledJob {
  readonly id: string;
  /** Each step doubles the job's share of the slots. Default 0. */
  readonly priority?: number;
  readonly sample?: readonly TaskPlan[];
  readonly map: readonly TaskPlan[];
  readonly reduce?: readonly TaskPlan[];
  /** Default null: no limit. */
  readonly grants?: Grants | null;
  /** What differs from the defaults. */
  readonly policy?: Partial<JobPolicy>;
}

/**
 * What happened. Reports name the attempt and who reports it: those of an attempt that has ended, of another
 * node, or of an earlier life of the node change nothing; so every event may come late, twice, or in another
 * order.
 */
export type SchedulerEvent<Output = unknown, Detail = unknown> =
  /** A second submission with the same id changes nothing. */
  | { readonly kind: "jobSubmitted"; readonly job: ScheduledJob }
  /** In a commit the outcome is the commit's: SUCCEEDED when it goes through, else CANCELLED. */
  | { readonly kind: "jobCancelled"; readonly job: string; readonly reason: string }
  /** The commit ordered by `commitJob` is done and lasting. */
  | { readonly kind: "jobCommitted"; readonly job: string }
  | {
      readonly kind: "jobCommitFailed";
      readonly job: string;
      readonly blame: Blame;
      readonly code: ErrorCode;
      readonly message: string;
      readonly detail?: Detail;
    }
  /**
   * The driver has found that the job as a whole has failed: too many bad records, output files that do not
   * agree. Counts while its tasks run; a commit checks by itself.
   */
  | {
      readonly kind: "jobFailed";
      readonly job: string;
      readonly blame: Blame;
      readonly code: ErrorCode;
      readonly message: string;
      readonly detail?: Detail;
    }
  /**
   * User code of the job emitted on this node after its attempt was reported: a result that was taken is not
   * complete, so the job fails if its tasks still run. `attempt`: the one it belongs to, whatever became of
   * it; null when the worker cannot tell. Nothing when that life of the node is over, or the attempt is of
   * another: then nothing it made counts.
   */
  | ({
      readonly kind: "lateEmit";
      readonly job: string;
      readonly attempt: AttemptRef | null;
      readonly blame: Blame;
      readonly code: ErrorCode;
      readonly message: string;
      readonly detail?: Detail;
    } & NodeRef)
  /** Takes the place of what was granted before. With less than runs, what runs goes on. */
  | { readonly kind: "jobGranted"; readonly job: string; readonly grants: Grants | null }
  /** Frees the memory of a job that has ended; its history is gone with it. */
  | { readonly kind: "jobForgotten"; readonly job: string }
  /** A node offers slots 0 to slots-1. A higher incarnation than before: its earlier life is over. */
  | ({ readonly kind: "nodeJoined"; readonly slots: number } & NodeRef)
  /**
   * Keeps the node's lease. `running`: the attempts it was given and whose end it has not been able to
   * report. Those that are void here are killed again; after a restore those that are not listed are lost.
   */
  | ({ readonly kind: "nodeHeartbeat"; readonly running: readonly AttemptRef[] } & NodeRef)
  | ({ readonly kind: "nodeLost"; readonly reason: string } & NodeRef)
  /** It gets no new tasks (false: again). What runs goes on; answered by `nodeDrained` when nothing does. */
  | ({ readonly kind: "nodeDraining"; readonly draining: boolean } & NodeRef)
  /** No life of the node gets new tasks, of any job, until it is admitted. What runs goes on. */
  | { readonly kind: "nodeBarredByHand"; readonly node: string; readonly reason: string }
  | { readonly kind: "nodeAdmittedByHand"; readonly node: string }
  /**
   * The worker in a slot is idle and asks for work. `ask` numbers the slot's questions, upwards. A question
   * may be repeated under its number as long as nothing has come; a new number says that the attempt the slot
   * was given before is over.
   */
  | ({ readonly kind: "workerReady"; readonly slot: number; readonly ask: number } & NodeRef)
  /**
   * The worker that asked `ask` last is gone, and its attempt with it: perhaps killed by somebody, perhaps
   * ended by the task. Too many of these under one task that had begun fail it (`workersLostMax`).
   */
  | ({
      readonly kind: "workerGone";
      readonly slot: number;
      readonly ask: number;
      readonly message: string;
    } & NodeRef)
  /**
   * `beat` is a progress count: it grows when work has moved on; 0: work has not begun. The first report
   * shows that the attempt runs at all. Repeat it while it does not grow: an attempt that is reported to
   * stand still fails by the job's fault, one that is not reported is lost (unless `leaseMs` is Infinity:
   * then no report is ever lost). `fraction`: share of its work that is done, from 0 to 1; 0 or left out:
   * unknown.
   */
  | ({
      readonly kind: "attemptProgress";
      readonly attempt: AttemptRef;
      readonly beat: number;
      readonly fraction?: number;
    } & NodeRef)
  /** Asked before output becomes final; answered by grantCommit or denyCommit, repeated when asked again. */
  | ({ readonly kind: "commitRequested"; readonly attempt: AttemptRef } & NodeRef)
  /** Without a `commitRequested` before it: asks for the commit and finishes in one step. */
  | ({
      readonly kind: "attemptFinished";
      readonly attempt: AttemptRef;
      /** Handed back by `outputs`. */
      readonly output: Output;
      readonly counters: Readonly<Record<string, number>>;
      /**
       * Of a map: the same for the same output, whatever attempt made it. Left out: it is taken to be the
       * same.
       */
      readonly fingerprint?: string;
      /**
       * It stopped before its end, as `handOver` asked: so many new tasks of its phase, placed behind it, do
       * what is left. Only the first finish of a task counts. Default 0.
       */
      readonly more?: number;
    } & NodeRef)
  /**
   * The system's WORKER_LOST says that its worker is gone (as `workerGone` does), its CANCELLED that the node
   * has ended the attempt: then it is lost.
   */
  | ({
      readonly kind: "attemptFailed";
      readonly attempt: AttemptRef;
      readonly blame: Blame;
      readonly code: ErrorCode;
      readonly message: string;
      readonly detail?: Detail;
      /**
       * A record ended it that is skipped from now on: the attempt is lost, whatever `blame` and `code` say.
       */
      readonly setAside?: boolean;
    } & NodeRef)
  /**
   * A reduce attempt could not read the output of a map attempt, and has ended. Its attempt is not used up.
   */
  | ({
      readonly kind: "fetchFailed";
      readonly attempt: AttemptRef;
      readonly mapTask: number;
      readonly mapAttempt: number;
      readonly message: string;
    } & NodeRef)
  /**
   * Time has passed: leases, no-progress limits, bars and slowness are looked at. A few times a second is
   * enough. `absentMs`: for so long before this the driver heard nobody (it was stopped, or could not write);
   * that others were silent then is not held against them.
   */
  | { readonly kind: "tick"; readonly absentMs?: number };

export type EventOf<K extends SchedulerEvent["kind"]> = Extract<SchedulerEvent, { kind: K }>;

export type JobStatus = "SUCCEEDED" | "FAILED" | "CANCELLED";

/**
 * What the driver has to do, in this order. Commands may be lost on their way to a node: they are given again
 * when the node next reports.
 */
export type Command<Detail = unknown> =
  /**
   * Run the attempt in the slot that asked `ask`, unless its worker has had this order already: it comes
   * again, word for word, when the question does. `backup`: another attempt of the task runs, too slowly.
   */
  | ({
      readonly kind: "startAttempt";
      readonly attempt: AttemptRef;
      readonly slot: number;
      readonly ask: number;
      readonly backup: boolean;
    } & NodeRef)
  /**
   * The attempt that was the answer to this question is over. A worker that still waits for the answer asks
   * again, under the next number.
   */
  | ({ readonly kind: "askAnew"; readonly slot: number; readonly ask: number } & NodeRef)
  /**
   * Slots are idle while this attempt still has much before it: it stops where it can, finishes with what it
   * has done, and says into how many parts, `parts` at most, it has cut the rest. It need not.
   */
  | ({ readonly kind: "handOver"; readonly attempt: AttemptRef; readonly parts: number } & NodeRef)
  /** End the attempt if it still runs, and delete what it wrote. */
  | ({ readonly kind: "killAttempt"; readonly attempt: AttemptRef; readonly reason: string } & NodeRef)
  /** The attempt, and no other of its task, may make its output final and then report attemptFinished. */
  | ({ readonly kind: "grantCommit"; readonly attempt: AttemptRef } & NodeRef)
  /** Another attempt was granted, or this one is void: stop and delete what it wrote. */
  | ({ readonly kind: "denyCommit"; readonly attempt: AttemptRef } & NodeRef)
  /** Nobody will read what this attempt wrote: delete it. */
  | { readonly kind: "discardOutput"; readonly attempt: AttemptRef }
  /**
   * This life of the node is over: it ends all it runs, forgets what it made, and joins with a higher
   * incarnation.
   */
  | ({ readonly kind: "fenceNode" } & NodeRef)
  /**
   * The node reports in a life that has not joined, or whose `nodeJoined` was lost: it has to join (again).
   */
  | ({ readonly kind: "inviteNode" } & NodeRef)
  /**
   * Nothing runs on the draining node: it may leave. `neededOutputs`: so many of its map outputs would have
   * to be made again. Repeated with its heartbeats.
   */
  | ({ readonly kind: "nodeDrained"; readonly neededOutputs: number } & NodeRef)
  /** The node gets no more tasks of the job until then. */
  | { readonly kind: "nodeBarred"; readonly job: string; readonly node: string; readonly untilMs: number }
  | { readonly kind: "nodeAdmitted"; readonly job: string; readonly node: string }
  /**
   * All sample tasks are finished. Comes before the first map task starts; use their outputs before going on.
   */
  | { readonly kind: "sampleReady"; readonly job: string }
  /** All tasks are done: make the job's output final, then report jobCommitted or jobCommitFailed. */
  | { readonly kind: "commitJob"; readonly job: string }
  /** Exactly once per job; after it only kills, denials and discards mention the job. */
  | {
      readonly kind: "jobEnded";
      readonly job: string;
      readonly status: JobStatus;
      /** null when it succeeded. */
      readonly cause: Failure<Detail> | null;
      /** Of the committed attempts, each task once. */
      readonly counters: Readonly<Record<string, number>>;
      /** Tasks given up within the allowed share. */
      readonly failedTasks: readonly TaskRef[];
    };
