import { escapeControls } from "../../base/escape-controls.ts";
import { formatSize } from "../../base/size.ts";
import type { PartialResult, PhaseProgress, RunEvent } from "../../engine/events.ts";
import type { TaskStats } from "../../task/task-spec.ts";
import type { Style } from "./style.ts";
import {
  formatByteRate,
  formatCount,
  formatDuration,
  formatShortCount,
  formatTimeLeft,
  padText,
  plural,
  textWidth,
  truncateText,
  worthARate,
} from "./text.ts";

const LABEL_COLUMNS = 6;
const BAR_COLUMNS_MIN = 8;
const BAR_COLUMNS_MAX = 28;

/** One line per phase that is running, each at most `columns` wide. */
export function progressLines(model: ProgressModel, nowMs: number, columns: number, style: Style): string[] {
  const running = [...model.phases.values()].filter((phase) => phase.elapsedMs === null);
  return running.map((phase) => progressLine(phase, model, nowMs, columns, style));
}

/** Keys of a collection that are shown, with --live. */
const LIVE_KEYS = 5;

/** What the job has come to so far, each line at most `columns` wide; none where nobody asked. */
export function partialLines({ partial }: ProgressModel, columns: number, style: Style): string[] {
  if (partial === null) return [];
  const { records, collections } = partial;
  const head = `so far  ${plural(records, "record")} in ${plural(partial.finished + partial.running, "map task")}`;
  const lines = collections.flatMap(({ name, keys, more, top }) => {
    const left = keys - Math.min(top.length, LIVE_KEYS);
    const rest = left > 0 || more ? [style.dim(`        ${restText(left, more)}`)] : [];
    const shown = top
      .slice(0, LIVE_KEYS)
      .map(({ key, value }) => `        ${escapeControls(`${plainText(key)}  ${plainText(value)}`)}`);
    return [...(name === "" ? [] : [style.dim(`        ${name}`)]), ...shown, ...rest];
  });
  return [head, ...lines].map((line) => truncateText(line, columns));
}

function restText(left: number, more: boolean): string {
  return more ? `and ${formatCount(left)} more keys and others` : `and ${plural(left, "more key")}`;
}

/** `{ n: 1, mean: 2.5 }` as n 1, mean 2.5. */
function plainText(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value !== "object" || value === null || Array.isArray(value)) return JSON.stringify(value) ?? "";
  return Object.entries(value)
    .map(([name, member]) => {
      const isNested = typeof member === "object" && member !== null && !Array.isArray(member);
      return `${name} ${isNested ? `(${plainText(member)})` : plainText(member)}`;
    })
    .join(", ");
}

/** What a pipe sees, and what stays on the terminal, when a phase has ended. */
export function phaseEndLine(phase: PhaseLine): string {
  const elapsedMs = phase.elapsedMs ?? 0;
  const sum = finishedStats(phase);
  // An engine tells what its tasks have done when all are done, whatever their phase.
  const finished = Math.max(phase.finished.size, phase.latest?.finished ?? 0);
  if (finished < phase.tasks) {
    const done = `${formatCount(finished)} of ${plural(phase.tasks, "task")} done`;
    return `${padText(phase.phase, LABEL_COLUMNS)}  stopped after ${formatDuration(elapsedMs)}  ${done}`;
  }
  const facts = [plural(phase.tasks, "task"), formatDuration(elapsedMs)];
  if (phase.finished.size < phase.tasks) return `${padText(phase.phase, LABEL_COLUMNS)}  ${facts.join("  ")}`;
  if (phase.phase === "map") {
    facts.push(plural(sum.recordsIn, "record"));
    if (sum.bytesIn > 0) facts.push(formatSize(sum.bytesIn));
    if (worthARate(sum.bytesIn)) facts.push(formatByteRate(sum.bytesIn, elapsedMs));
  }
  if (phase.phase === "reduce") {
    facts.push(
      plural(sum.groups, "group"),
      `${plural(sum.recordsOut, "record")} out`,
      formatSize(sum.bytesOut),
    );
  }
  return `${padText(phase.phase, LABEL_COLUMNS)}  ${facts.join("  ")}`;
}

function progressLine(
  phase: PhaseLine,
  model: ProgressModel,
  nowMs: number,
  columns: number,
  style: Style,
): string {
  const fraction = Math.min(1, Math.max(0, phase.latest?.fraction ?? 0));
  const percent = `${String(Math.floor(fraction * 100)).padStart(3)}%`;
  const label = padText(phase.phase, LABEL_COLUMNS);
  const fixed = textWidth(label) + 1 + percent.length;

  // Facts go in by weight as long as they leave room for a bar; on a narrow terminal only the first few do.
  const shown: string[] = [];
  let used = fixed;
  for (const fact of facts(phase, model, nowMs)) {
    const room = columns >= fixed + BAR_COLUMNS_MIN + 1 ? BAR_COLUMNS_MIN + 1 : 0;
    if (used + 2 + textWidth(fact) + room > columns) continue;
    shown.push(fact);
    used += 2 + textWidth(fact);
  }
  const barColumns = Math.min(BAR_COLUMNS_MAX, columns - used - 1);
  const drawn = barColumns >= BAR_COLUMNS_MIN ? `${bar(fraction, barColumns, style)} ` : "";
  const tail = shown.length === 0 ? "" : `  ${shown.join("  ")}`;
  return truncateText(`${style.bold(label)} ${drawn}${percent}${tail}`, columns);
}

/** What is worth saying of a phase, the weightiest first. */
function facts(phase: PhaseLine, model: ProgressModel, nowMs: number): string[] {
  const rates = phaseRates(phase, nowMs);
  const latest = phase.latest;
  const list: string[] = [];
  list.push(
    rates.leftMs === undefined
      ? formatDuration(nowMs - phase.startedMs)
      : `${formatTimeLeft(rates.leftMs)} left`,
  );
  if (rates.bytesPerSecond > 0) list.push(`${formatSize(Math.round(rates.bytesPerSecond))}/s`);
  const rate = rates.recordsPerSecond;
  if (rate > 0) list.push(`${rate < 9.95 ? rate.toFixed(1) : formatShortCount(rate)} rec/s`);
  if (model.retries > 0) list.push(`${model.retries} ${model.retries === 1 ? "retry" : "retries"}`);
  if (latest !== undefined) {
    list.push(`${formatCount(latest.finished)}/${formatCount(latest.tasks)} tasks`);
    if (latest.running > 0) list.push(`${latest.running} running`);
    if (latest.recordsIn > 0) list.push(plural(latest.recordsIn, "record"));
    if (latest.spillBytes > 0) list.push(`spill ${formatSize(latest.spillBytes)}`);
  }
  if (model.badRecords > 0) list.push(`${formatCount(model.badRecords)} bad`);
  return list;
}

function bar(fraction: number, columns: number, style: Style): string {
  const halves = Math.round(fraction * columns * 2);
  const full = "━".repeat(Math.floor(halves / 2));
  const half = halves % 2 === 1 ? "╸" : "";
  const rest = "─".repeat(columns - full.length - half.length);
  return style.green(full + half) + style.dim(rest);
}

export type TaskPhase = PhaseProgress["phase"];

/** One phase as a progress line needs it. */
export interface PhaseLine {
  readonly phase: TaskPhase;
  readonly startedMs: number;
  /** Null while it runs. */
  elapsedMs: number | null;
  tasks: number;
  latest: PhaseProgress | undefined;
  /** What came in over the last seconds, for rates: oldest first. */
  readonly samples: Sample[];
  /** Of finished tasks, each once. */
  readonly finished: Map<string, TaskStats>;
}

export interface Sample {
  readonly atMs: number;
  readonly bytes: number;
  readonly records: number;
}

/** What is known of a run so far. Times count from its start. */
export interface ProgressModel {
  readonly phases: Map<TaskPhase, PhaseLine>;
  retries: number;
  badRecords: number;
  partial: PartialResult | null;
}

/** Rates are of this long a stretch: short enough to show a change, long enough not to flicker. */
const RATE_WINDOW_MS = 4000;
/** A time left is a guess; before this much is done it would be a wild one. */
const ETA_FRACTION_MIN = 0.02;
const ETA_ELAPSED_MS_MIN = 1000;

export function emptyProgress(): ProgressModel {
  return { phases: new Map(), retries: 0, badRecords: 0, partial: null };
}

/** Takes one event into account. */
export function applyEvent(model: ProgressModel, event: RunEvent): void {
  switch (event.kind) {
    case "phase-started":
      if (isTaskPhase(event.phase))
        model.phases.set(event.phase, startPhase(event.phase, event.atMs, event.tasks));
      return;
    case "phase-finished": {
      const phase = isTaskPhase(event.phase) ? model.phases.get(event.phase) : undefined;
      if (phase !== undefined) phase.elapsedMs = event.elapsedMs;
      return;
    }
    case "progress":
      model.badRecords = event.badRecords;
      for (const progress of event.phases) takeProgress(model, progress, event.atMs);
      return;
    case "partial":
      model.partial = event;
      return;
    case "attempt-finished": {
      const name = event.task.split("-")[0];
      if (name !== undefined && isTaskPhase(name))
        model.phases.get(name)?.finished.set(event.task, event.stats);
      return;
    }
    case "attempt-failed":
      if (event.willRetry) model.retries++;
      return;
    default:
      return;
  }
}

export interface Rates {
  readonly bytesPerSecond: number;
  readonly recordsPerSecond: number;
  /** Undefined while it would be a wild guess. */
  readonly leftMs: number | undefined;
}

export function phaseRates(phase: PhaseLine, nowMs: number): Rates {
  const first = phase.samples[0];
  const last = phase.samples.at(-1);
  const seconds = first === undefined || last === undefined ? 0 : (last.atMs - first.atMs) / 1000;
  const fraction = phase.latest?.fraction ?? 0;
  const elapsed = nowMs - phase.startedMs;
  const guess = fraction >= ETA_FRACTION_MIN && elapsed >= ETA_ELAPSED_MS_MIN;
  return {
    bytesPerSecond: seconds > 0 ? (last!.bytes - first!.bytes) / seconds : 0,
    recordsPerSecond: seconds > 0 ? (last!.records - first!.records) / seconds : 0,
    leftMs: guess ? (elapsed * (1 - fraction)) / fraction : undefined,
  };
}

/** Sums over the tasks of the phase that have finished. */
function finishedStats(
  phase: PhaseLine,
): Pick<TaskStats, "recordsIn" | "bytesIn" | "recordsOut" | "bytesOut" | "groups"> {
  const sum = { recordsIn: 0, bytesIn: 0, recordsOut: 0, bytesOut: 0, groups: 0 };
  for (const stats of phase.finished.values()) {
    sum.recordsIn += stats.recordsIn;
    sum.bytesIn += stats.bytesIn;
    sum.recordsOut += stats.recordsOut;
    sum.bytesOut += stats.bytesOut;
    sum.groups += stats.groups;
  }
  return sum;
}

function startPhase(phase: TaskPhase, atMs: number, tasks: number): PhaseLine {
  return {
    phase,
    startedMs: atMs,
    elapsedMs: null,
    tasks,
    latest: undefined,
    samples: [],
    finished: new Map(),
  };
}

function takeProgress(model: ProgressModel, progress: PhaseProgress, atMs: number): void {
  const phase = model.phases.get(progress.phase);
  if (phase === undefined) return;
  if (phase.samples.length === 0) phase.samples.push({ atMs: phase.startedMs, bytes: 0, records: 0 });
  phase.samples.push({ atMs, bytes: progress.bytesIn, records: progress.recordsIn });
  while (phase.samples.length > 2 && phase.samples[0]!.atMs < atMs - RATE_WINDOW_MS) phase.samples.shift();
  phase.latest = progress;
  phase.tasks = progress.tasks;
}

function isTaskPhase(phase: string): phase is TaskPhase {
  return phase === "sample" || phase === "map" || phase === "reduce";
}
