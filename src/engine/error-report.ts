import { fileURLToPath, pathToFileURL } from "node:url";
import type { SheafError } from "../base/errors.ts";
import { escapeControls } from "../base/escape-controls.ts";
import { builtUrl, packageUrl } from "../base/package-places.ts";
import { mapStack, shortPath } from "../bundle/source-map.ts";
import type { MappedStack } from "../bundle/source-map.ts";
import { isFinal } from "../scheduler/ids.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import { RunFailure } from "./run-result.ts";

export interface ReportContext {
  /** "" when no task had begun. */
  readonly task: string;
  /** From 1; 0: not known. */
  readonly attempt: number;
  /** The stack mapped to the sources; null without one. */
  readonly mapped: MappedStack | null;
  /** What to run to replay the task; null when it cannot be. */
  readonly replay: string | null;
}

const recordCharsMax = 240;
const sourceCharsMax = 96;
const logLinesMax = 8;
const frameLinesMax = 6;

/**
 * One screen that says what failed, where in the source and on which record, and what to do. Ends without
 * newline.
 */
export function formatFailure(failure: TaskFailure, context: ReportContext): string {
  const lines = [headline(failure, context)];
  const place = context.mapped?.place;
  if (place) {
    lines.push("", `  at ${shortPath(place.path)}:${place.line}:${place.column}`);
    for (const { line, text } of place.excerpt) {
      const isIt = line === place.line;
      const { shown, column } = window(text, isIt ? place.column : 1);
      lines.push(`  ${isIt ? ">" : " "} ${String(line).padStart(4)} | ${shown}`);
      if (isIt) lines.push(`         | ${" ".repeat(column - 1)}^`);
    }
  }
  const frames = (context.mapped?.text ?? failure.stack ?? "").split("\n").filter(isFrame);
  if (frames.length > 1 || (frames.length === 1 && !place)) {
    lines.push("", ...frames.slice(0, frameLinesMax).map((frame) => `    ${frame.trim()}`));
  }
  const facts: [string, string][] = [];
  if (failure.path !== null) {
    facts.push([
      failure.blame === "system" ? "file" : "input",
      failure.offset === null ? failure.path : `${failure.path}:${failure.offset} (byte offset)`,
    ]);
  }
  if (failure.record !== null) facts.push(["record", printable(failure.record, recordCharsMax)]);
  if (failure.key !== null) facts.push(["key", printable(failure.key, recordCharsMax)]);
  if (facts.length > 0) lines.push("", ...facts.map(([name, value]) => `  ${name.padEnd(7)} ${value}`));
  if (failure.log.length > 0) {
    lines.push("", "  last lines it printed:");
    lines.push(...failure.log.slice(-logLinesMax).map((line) => `    ${printable(line, 160)}`));
  }
  if (failure.hint !== null) lines.push("", `  ${failure.hint}`);
  if (context.replay !== null) {
    lines.push(
      "",
      `  To run this task again: ${context.replay}   (--inspect stops at the record in a debugger)`,
    );
  }
  return lines.join("\n");
}

/** The part of a source line around a column (from 1), and where that column then is. */
function window(text: string, column: number): { readonly shown: string; readonly column: number } {
  const plain = printable(text.replaceAll("\t", " "), Number.POSITIVE_INFINITY);
  const from = column <= sourceCharsMax * 0.8 ? 0 : column - Math.floor(sourceCharsMax / 2);
  const cut = plain.slice(from, from + sourceCharsMax);
  const shown = `${from > 0 ? "..." : ""}${cut}${from + sourceCharsMax < plain.length ? "..." : ""}`;
  return { shown, column: column - from + (from > 0 ? 3 : 0) };
}

function headline(failure: TaskFailure, { task, attempt }: ReportContext): string {
  const name = failure.name === "SheafError" || failure.name === "Error" ? "" : `${failure.name}: `;
  const message = `${name}${printable(failure.message, 1_000)}`;
  if (task === "") return message;
  const phase = task.startsWith(failure.phase) ? "" : ` in ${failure.phase}`;
  const facts = [
    ...(attempt > 0 ? [`attempt ${attempt}`] : []),
    ...(isFinal(failure) ? ["not tried again: the input would be the same"] : []),
  ];
  const about = facts.length > 0 ? ` (${facts.join(", ")})` : "";
  return `${task} failed${phase}${about}: ${message}`;
}

/** What does something to a terminal is escaped, but for line breaks and tabs; cut to a length. */
function printable(text: string, charsMax: number): string {
  const cut = text.length > charsMax ? `${text.slice(0, charsMax)}... (${text.length} characters)` : text;
  return escapeControls(cut, "\n\t");
}

/** The running package's own files, compiled and as written, whose frames say nothing to a user. */
const engineFiles = [fileURLToPath(builtUrl), fileURLToPath(new URL("src/", packageUrl))];
/** As frames name them before they are mapped, and after. */
const engineMarks = engineFiles.flatMap((path) => [pathToFileURL(path).href, `(${path}`, ` ${path}`]);

/**
 * Maps a failure's stack; null when it has none. `bundle`: path of job.mjs as loaded, null for a Job object.
 */
export async function mapFailure(failure: TaskFailure, bundle: string | null): Promise<MappedStack | null> {
  if (failure.stack === null) return null;
  try {
    // Of a bug of the engine's, its own frames are what tells.
    return await mapStack(failure.stack, bundle, failure.code === "INTERNAL" ? [] : engineFiles);
  } catch {
    // A machine that is short of files or memory, most likely: what failed first must be told all the same.
    return null;
  }
}

/**
 * The failure without frames of the engine and of Node where the data is to blame: where the engine was when
 * it found that out explains nothing. Frames of the job's code, a reader of its own for one, stay.
 */
export function withoutEngineFrames(failure: TaskFailure): TaskFailure {
  if (failure.blame !== "data" || failure.stack === null) return failure;
  const lines = failure.stack.split("\n");
  const kept = lines.filter((line) => !isFrame(line) || !isEngineFrame(line));
  return { ...failure, stack: kept.some(isFrame) ? kept.join("\n") : null };
}

function isFrame(line: string): boolean {
  return /^\s*at /.test(line);
}

function isEngineFrame(line: string): boolean {
  return line.includes("node:internal/") || engineMarks.some((mark) => line.includes(mark));
}

/** What a run rejects with when it was no task that failed. */
export function failureOutsideTasks(error: SheafError): RunFailure {
  const report = error.hint === undefined ? error.message : `${error.message}\n\n  ${error.hint}`;
  return new RunFailure(error.code, error.message, {
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    details: error.details,
    cause: error,
    failed: null,
    report,
  });
}
