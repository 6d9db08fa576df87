import type { Failure } from "./failure.ts";
import type { AttemptRef, NodeRef, TaskRef } from "./ids.ts";

export type JobStatus = "SUCCEEDED" | "FAILED" | "CANCELLED";

/**
 * What the driver has to do, in this order. Commands may be lost on their way to a node: the node's next
 * words bring them again.
 */
export type Command =
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
   * What this question was answered with is void by now: a worker that still waits on it asks under the next
   * number.
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
  /** What this attempt wrote is of no use to anyone. */
  | { readonly kind: "discardOutput"; readonly attempt: AttemptRef }
  /**
   * This life of the node is over: it ends all it runs, forgets what it made, and joins with a higher
   * incarnation.
   */
  | ({ readonly kind: "fenceNode" } & NodeRef)
  /**
   * A life of a node not heard of before speaks without having joined, or its joining was lost: it joins
   * (again).
   */
  | ({ readonly kind: "inviteNode" } & NodeRef)
  /**
   * On the draining node nothing runs: it may leave. So many of its map outputs would have to be made again.
   * Repeated with its heartbeats.
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
      readonly cause: Failure | null;
      /** Of the committed attempts, each task once. */
      readonly counters: Readonly<Record<string, number>>;
      /** Tasks given up within the allowed share. */
      readonly failedTasks: readonly TaskRef[];
    };
