import type { AttemptRef } from "../scheduler/ids.ts";
import type { EngineCommand } from "./loop.ts";

/** One command of the scheduler's. */
export type CommandOf<K extends EngineCommand["kind"]> = Extract<EngineCommand, { kind: K }>;

/**
 * Runs attempts where there is room: worker threads and processes of this machine, agents, programs in other
 * languages. It offers its slots to the scheduler by `workerReady`, and reports how each attempt went.
 * What is optional here cannot happen, or needs nothing done, with some of them.
 */
export interface Executor {
  start(order: CommandOf<"startAttempt">): void;
  /** The order to end an attempt, and to delete what it wrote. */
  kill(order: CommandOf<"killAttempt">): void;
  /** What this attempt wrote is of no use to anybody. */
  discard(attempt: AttemptRef): void;
  /** As `discard`, told to the node that asked to commit. */
  deny?(order: CommandOf<"denyCommit">): void;
  handOver?(order: CommandOf<"handOver">): void;
  askAnew?(order: CommandOf<"askAnew">): void;
  /** This life of the node is over. */
  fence?(order: CommandOf<"fenceNode"> | CommandOf<"inviteNode">): void;
  /** A job may use other nodes than before. */
  barsChanged?(): void;
}

/** The steps in a job's life that the scheduler orders. */
export interface JobSteps {
  /** All samples are taken. Comes before the first map starts. */
  sampled(job: string): void;
  /** All tasks are done: make the output final, and say so by `jobCommitted` or `jobCommitFailed`. */
  commit(job: string): void;
  ended(end: CommandOf<"jobEnded">): void;
}

/** Carries out a command. */
export function carryOut(command: EngineCommand, executor: Executor, steps: JobSteps): void {
  switch (command.kind) {
    case "startAttempt":
      return executor.start(command);
    case "killAttempt":
      return executor.kill(command);
    case "discardOutput":
      return executor.discard(command.attempt);
    case "denyCommit":
      return executor.deny?.(command);
    case "handOver":
      return executor.handOver?.(command);
    case "askAnew":
      return executor.askAnew?.(command);
    case "fenceNode":
    case "inviteNode":
      return executor.fence?.(command);
    case "nodeBarred":
    case "nodeAdmitted":
      return executor.barsChanged?.();
    case "sampleReady":
      return steps.sampled(command.job);
    case "commitJob":
      return steps.commit(command.job);
    case "jobEnded":
      return steps.ended(command);
    // Told with the answers to those who asked.
    case "grantCommit":
    case "nodeDrained":
      return;
  }
}
