import { formatSize } from "../../base/size.ts";
import { formatDuration } from "../duration.ts";
import {
  formatByteRate,
  formatCount,
  formatShortCount,
  formatTimeLeft,
  plural,
  worthARate,
} from "./numbers.ts";
import type { PhaseView, ProgressModel } from "./progress-model.ts";
import { finishedStats, phaseRates } from "./progress-model.ts";
import type { Style } from "./style.ts";
import { padText, textWidth, truncateText } from "./text-width.ts";

const LABEL_COLUMNS = 6;
const BAR_COLUMNS_MIN = 8;
const BAR_COLUMNS_MAX = 28;

/** One line per phase that is running, each at most `columns` wide. */
export function progressLines(model: ProgressModel, nowMs: number, columns: number, style: Style): string[] {
  const running = [...model.phases.values()].filter((phase) => phase.elapsedMs === null);
  return running.map((phase) => progressLine(phase, model, nowMs, columns, style));
}

/** What a pipe sees, and what stays on the terminal, when a phase has ended. */
export function phaseEndLine(phase: PhaseView): string {
  const elapsedMs = phase.elapsedMs ?? 0;
  const sum = finishedStats(phase);
  if (phase.finished.size < phase.tasks) {
    const done = `${formatCount(phase.finished.size)} of ${plural(phase.tasks, "task")} done`;
    return `${padText(phase.phase, LABEL_COLUMNS)}  stopped after ${formatDuration(elapsedMs)}  ${done}`;
  }
  const facts = [plural(phase.tasks, "task"), formatDuration(elapsedMs)];
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
  phase: PhaseView,
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
function facts(phase: PhaseView, model: ProgressModel, nowMs: number): string[] {
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
