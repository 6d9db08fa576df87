import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { RunEvent, RunPhase } from "../engine/events.ts";
import type { TaskFailure, TaskStats } from "../task/task-spec.ts";

/** What became of one attempt. */
export interface AttemptStory {
  readonly attempt: number;
  readonly startedMs: number;
  endedMs: number | null;
  outcome: "running" | "finished" | "failed" | "lost" | "cancelled";
  stats: TaskStats | null;
  failure: TaskFailure | null;
  /** Why it was cancelled. */
  reason: string | null;
}

export interface TaskStory {
  readonly task: string;
  readonly attempts: AttemptStory[];
}

export interface PhaseStory {
  readonly phase: RunPhase;
  readonly tasks: number;
  elapsedMs: number | null;
}

/** How a job went, told from its events. */
export interface JobStory {
  readonly phases: readonly PhaseStory[];
  /** In the order they began. */
  readonly tasks: readonly TaskStory[];
  readonly warnings: readonly string[];
}

/** Reads a job directory's events.jsonl; a last line that was cut by a crash is left out. */
export function readJobStory(directory: string): JobStory {
  let text: string;
  try {
    text = readFileSync(join(directory, "events.jsonl"), "utf8");
  } catch {
    return { phases: [], tasks: [], warnings: [] };
  }
  const lines = text.split("\n").filter((line) => line !== "");
  return tellJobStory(lines.flatMap(parseEvent));
}

/** Pure: folds the events. */
export function tellJobStory(events: readonly RunEvent[]): JobStory {
  const phases = new Map<string, PhaseStory>();
  const tasks = new Map<string, TaskStory>();
  const warnings: string[] = [];
  for (const event of events) {
    if (event.kind === "phase-started") {
      phases.set(event.phase, { phase: event.phase, tasks: event.tasks, elapsedMs: null });
    } else if (event.kind === "phase-finished") {
      const phase = phases.get(event.phase);
      if (phase !== undefined) phase.elapsedMs = event.elapsedMs;
    } else if (event.kind === "warning") {
      warnings.push(event.message);
    } else {
      takeAttempt(tasks, event);
    }
  }
  return { phases: [...phases.values()], tasks: [...tasks.values()], warnings };
}

function takeAttempt(tasks: Map<string, TaskStory>, event: RunEvent): void {
  switch (event.kind) {
    case "attempt-started":
      attemptOf(tasks, event.task, event.attempt, event.atMs);
      return;
    case "attempt-finished":
      end(attemptOf(tasks, event.task, event.attempt, event.atMs), event.atMs, "finished").stats =
        event.stats;
      return;
    case "attempt-failed":
      end(attemptOf(tasks, event.task, event.attempt, event.atMs), event.atMs, event.outcome).failure =
        event.failure;
      return;
    case "attempt-cancelled":
      end(attemptOf(tasks, event.task, event.attempt, event.atMs), event.atMs, "cancelled").reason =
        event.reason;
      return;
    default:
      return;
  }
}

function end(attempt: AttemptStory, atMs: number, outcome: AttemptStory["outcome"]): AttemptStory {
  attempt.endedMs = atMs;
  attempt.outcome = outcome;
  return attempt;
}

function attemptOf(tasks: Map<string, TaskStory>, task: string, number: number, atMs: number): AttemptStory {
  const story = tasks.get(task) ?? { task, attempts: [] };
  tasks.set(task, story);
  const found = story.attempts.find((attempt) => attempt.attempt === number);
  if (found !== undefined) return found;
  const begun: AttemptStory = {
    attempt: number,
    startedMs: atMs,
    endedMs: null,
    outcome: "running",
    stats: null,
    failure: null,
    reason: null,
  };
  story.attempts.push(begun);
  return begun;
}

function parseEvent(line: string): RunEvent[] {
  try {
    return [JSON.parse(line) as RunEvent];
  } catch {
    return [];
  }
}
