import { escapeControls } from "../../../base/escape-controls.ts";
import { formatSize } from "../../../base/size.ts";
import type { StepRecord } from "../../../engine/events.ts";
import { formatCount, formatDuration, padText, textWidth } from "../../ui/text.ts";

/**
 * The graph of steps as text: a line for each, those it needs above it, with lines that lead from one to the
 * other. The steps must come in an order in which each stands behind those it needs.
 */
export function drawGraph(steps: readonly Pick<StepRecord, "name" | "needs">[]): GraphLine[] {
  /** What each column leads to; null: it is free. */
  const lanes: (string | null)[] = [];
  const lines: GraphLine[] = [];
  for (const [index, { name }] of steps.entries()) {
    const incoming = lanes.flatMap((target, column) => (target === name ? [column] : []));
    const column = incoming[0] ?? freeAfter(lanes, -1);
    const [, ...others] = incoming;
    if (others.length > 0) lines.push({ step: null, text: joint(lanes, column, others, "┘┴") });
    for (const other of others) lanes[other] = null;
    lanes[column] = name;
    lines.push({ step: name, text: nodeLine(lanes, column) });
    const readers = steps.slice(index + 1).filter(({ needs }) => needs.includes(name));
    lanes[column] = readers[0]?.name ?? null;
    const split = readers.slice(1).map((reader) => {
      const lane = freeAfter(lanes, column);
      lanes[lane] = reader.name;
      return lane;
    });
    if (split.length > 0) lines.push({ step: null, text: joint(lanes, column, split, "┐┬") });
    while (lanes.at(-1) === null) lanes.pop();
  }
  return lines;
}

export interface GraphLine {
  /** The step that the line is of; null: it only leads somewhere. */
  readonly step: string | null;
  readonly text: string;
}

function freeAfter(lanes: readonly (string | null)[], column: number): number {
  for (let lane = column + 1; lane < lanes.length; lane++) if (lanes[lane] === null) return lane;
  return Math.max(lanes.length, column + 1);
}

function nodeLine(lanes: readonly (string | null)[], column: number): string {
  return lanes
    .map((target, lane) => (lane === column ? "o" : target === null ? " " : "│"))
    .join(" ")
    .trimEnd();
}

/** @param ends the sign of the last of `others`, and of those before it */
function joint(
  lanes: readonly (string | null)[],
  column: number,
  others: readonly number[],
  ends: string,
): string {
  const last = Math.max(...others);
  let text = "";
  for (let lane = 0; lane < lanes.length; lane++) {
    const isUsed = lanes[lane] !== null;
    const isWithin = lane > column && lane < last;
    if (lane === column) text += "├";
    else if (lane === last) text += ends[0];
    else if (others.includes(lane)) text += ends[1];
    else if (isWithin) text += isUsed ? "┼" : "─";
    else text += isUsed ? "│" : " ";
    text += lane >= column && lane < last ? "─" : " ";
  }
  return text.trimEnd();
}

/** The graph, each step with how it went. */
export function stepLines(steps: readonly StepRecord[], isRunning: boolean): string[] {
  const lines = drawGraph(steps);
  const width = Math.max(...lines.map(({ text }) => textWidth(text)));
  const nameWidth = Math.max(...steps.map(({ name }) => textWidth(name)));
  return lines.map(({ step, text }) => {
    const record = steps.find(({ name }) => name === step);
    if (record === undefined) return `  ${text}`;
    return `  ${padText(text, width)}  ${padText(record.name, nameWidth)}  ${stepFacts(record, isRunning)}`.trimEnd();
  });
}

function stepFacts(record: StepRecord, isRunning: boolean): string {
  const { kind, status, elapsedMs, recordsIn, recordsOut, bytesOut, run, why, kept, jobId } = record;
  const words = {
    SUCCEEDED: "done",
    FAILED: "failed",
    CANCELLED: "stopped",
    RUNNING: isRunning ? "running" : "stopped",
  };
  const state =
    status === "done" ? "done before" : status in words ? words[status as keyof typeof words] : status;
  const facts = [padText(kind, 4), padText(state, 11)];
  if (elapsedMs !== null) facts.push(formatDuration(elapsedMs));
  if (recordsIn > 0 || recordsOut > 0)
    facts.push(`${formatCount(recordsIn)} in, ${formatCount(recordsOut)} out (${formatSize(bytesOut)})`);
  if (kept) facts.push("kept");
  if (run > 1) facts.push(`run ${run}`);
  if (why !== null && why !== "it has not run yet") facts.push(`since ${escapeControls(why)}`);
  if (jobId !== null) facts.push(jobId);
  return facts.join("  ");
}
