import type { EstimatedColumn } from "../job/estimate.ts";
import { type AttemptRef, formatAttempt, type Phase, PHASES } from "../scheduler/ids.ts";
import { emptyStats, PROGRESS_CELLS } from "../task/task-spec.ts";
import type { TaskStats, TaskSuccess } from "../task/task-spec.ts";
import type { PhaseProgress } from "./events.ts";

interface PhaseTally {
  finished: number;
  recordsIn: number;
  bytesIn: number;
  recordsOut: number;
  spillBytes: number;
}

/** What running attempts last showed on their boards, and the sums of the finished ones. */
export class ProgressTally {
  readonly #tasks: Record<Phase, number>;
  readonly #done: Record<Phase, PhaseTally>;
  readonly #running = new Map<string, { readonly phase: Phase; readonly cells: Float64Array }>();
  /** By task: a map whose output was lost finishes twice and counts once. */
  readonly #finished: Record<Phase, (TaskStats | undefined)[]> = { sample: [], map: [], reduce: [] };
  /** How much is done, as those say who run tasks elsewhere, and tell of each only when all are done. */
  readonly #told: Record<Phase, number> = { sample: 0, map: 0, reduce: 0 };
  #badRecords = 0;

  constructor(tasks: Readonly<Record<Phase, { readonly length: number }>>) {
    this.#tasks = { sample: tasks.sample.length, map: tasks.map.length, reduce: tasks.reduce.length };
    this.#done = { sample: newTally(), map: newTally(), reduce: newTally() };
  }

  started(ref: AttemptRef): void {
    this.#running.set(formatAttempt(ref), {
      phase: ref.phase,
      cells: new Float64Array(Object.keys(PROGRESS_CELLS).length),
    });
  }

  look(ref: AttemptRef, board: Readonly<Float64Array>): void {
    this.#running.get(formatAttempt(ref))?.cells.set(board.subarray(0, Object.keys(PROGRESS_CELLS).length));
  }

  /** @param share of the phase's tasks, 0 to 1. A smaller one than before changes nothing */
  tellShare(phase: Phase, share: number): void {
    this.#told[phase] = Math.max(this.#told[phase], Math.min(1, share));
  }

  stopped(ref: AttemptRef): void {
    this.#running.delete(formatAttempt(ref));
  }

  finished(ref: AttemptRef, { stats }: Pick<TaskSuccess, "stats">): void {
    const finished = this.#finished[ref.phase];
    const before = finished[ref.task];
    if (before !== undefined) this.#add(ref.phase, before, -1);
    finished[ref.task] = stats;
    this.#add(ref.phase, stats, 1);
  }

  #add(phase: Phase, stats: TaskStats, sign: 1 | -1): void {
    const tally = this.#done[phase];
    tally.finished += sign;
    tally.recordsIn += sign * stats.recordsIn;
    tally.bytesIn += sign * stats.bytesIn;
    tally.recordsOut += sign * stats.recordsOut;
    tally.spillBytes += sign * stats.shuffleBytes;
    this.#badRecords += sign * stats.badRecords;
  }

  /** Tasks have come that do the rest of others. */
  grown(phase: Phase, count: number): void {
    this.#tasks[phase] += count;
  }

  isDone(phase: Phase): boolean {
    return this.#done[phase].finished >= this.#tasks[phase];
  }

  snapshot(): { readonly phases: PhaseProgress[]; readonly badRecords: number } {
    const phases = PHASES.filter((phase) => this.#tasks[phase] > 0).map((phase) => this.#phase(phase));
    return { phases, badRecords: this.#badRecords };
  }

  #phase(phase: Phase): PhaseProgress {
    const sum = { ...this.#done[phase] };
    let running = 0;
    let share = 0;
    for (const one of this.#running.values()) {
      if (one.phase !== phase) continue;
      running++;
      share += Math.min(1, one.cells[PROGRESS_CELLS.fraction]!);
      sum.recordsIn += one.cells[PROGRESS_CELLS.recordsIn]!;
      sum.bytesIn += one.cells[PROGRESS_CELLS.bytesIn]!;
      sum.recordsOut += one.cells[PROGRESS_CELLS.recordsOut]!;
      sum.spillBytes += one.cells[PROGRESS_CELLS.spillBytes]!;
    }
    const tasks = this.#tasks[phase];
    const fraction = Math.min(1, (sum.finished + share) / tasks);
    const told = this.#told[phase];
    if (told <= fraction) return { phase, tasks, ...sum, running, fraction };
    // A share is a count that was divided. Of what runs nothing is known.
    const finished = Math.floor(told * tasks + 1e-6);
    return { phase, tasks, ...sum, finished, running: Math.min(running, tasks - finished), fraction: told };
  }
}

function newTally(): PhaseTally {
  return { finished: 0, recordsIn: 0, bytesIn: 0, recordsOut: 0, spillBytes: 0 };
}

/**
 * Sums over tasks; `elapsedMs` is given, since tasks overlap. Output is what was written, not what was
 * shuffled.
 */
export function sumStats(
  map: readonly Pick<TaskSuccess, "stats" | "parts">[],
  reduce: readonly Pick<TaskSuccess, "stats" | "parts">[],
  elapsedMs: number,
): TaskStats {
  const sum: TaskStats = { ...emptyStats, elapsedMs };
  for (const [results, isMap] of [
    [map, true],
    [reduce, false],
  ] as const) {
    for (const { stats, parts } of results) {
      if (isMap) {
        sum.recordsIn += stats.recordsIn;
        sum.bytesIn += stats.bytesIn;
        sum.emitted += stats.emitted;
        sum.shuffleBytes += stats.shuffleBytes;
      }
      sum.spills += stats.spills;
      sum.badRecords += stats.badRecords;
      sum.groups += stats.groups;
      sum.cpuMs += stats.cpuMs;
      for (const part of parts) {
        if (part.kind !== "output") continue;
        sum.recordsOut += part.records;
        sum.bytesOut += part.bytes;
      }
    }
    if (!isMap && results.every(({ parts }) => parts.every((part) => part.kind !== "output"))) {
      for (const { stats } of results) sum.recordsOut += stats.recordsOut;
    }
  }
  return sum;
}

/** What the last event says of `--sample` and `--estimate`: nothing when all records were read. */
export function sampledBy(
  share: number,
  estimates: readonly EstimatedColumn[] = [],
): { readonly sample?: number; readonly estimates?: EstimatedColumn[] } {
  if (share >= 1) return {};
  return { sample: share, ...(estimates.length > 0 && { estimates: [...estimates] }) };
}

/** What the record of a job says of its sums. */
export function recordedStats({ recordsIn, recordsOut, bytesIn, bytesOut, badRecords }: TaskStats) {
  return { recordsIn, recordsOut, bytesIn, bytesOut, badRecords };
}
