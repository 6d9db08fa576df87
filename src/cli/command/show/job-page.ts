import { readFileSync } from "node:fs";
import { join } from "node:path";
import { escapeControls } from "../../../base/escape-controls.ts";
import { formatSize } from "../../../base/size.ts";
import type { RunEvent, RunPhase } from "../../../engine/events.ts";
import type { JobRecord } from "../../../engine/job-directory.ts";
import { type NearMaps, nearMapsText } from "../../../engine/near-maps.ts";
import type { TaskFailure, TaskStats } from "../../../task/task-spec.ts";
import type { Style } from "../../ui/style.ts";
import {
  formatCount,
  formatDuration,
  padText,
  page,
  plural,
  shareText,
  shortTime,
  textTable,
} from "../../ui/text.ts";
import { stepLines } from "./step-graph.ts";

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
  /** Where an engine has told. */
  readonly nearMaps?: NearMaps;
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
function tellJobStory(events: readonly RunEvent[]): JobStory {
  const phases = new Map<string, PhaseStory>();
  const tasks = new Map<string, TaskStory>();
  const warnings: string[] = [];
  let nearMaps: NearMaps | undefined;
  for (const event of events) {
    if (event.kind === "phase-started") {
      phases.set(event.phase, { phase: event.phase, tasks: event.tasks, elapsedMs: null });
    } else if (event.kind === "phase-finished") {
      const phase = phases.get(event.phase);
      if (phase !== undefined) phase.elapsedMs = event.elapsedMs;
    } else if (event.kind === "warning") {
      warnings.push(event.message);
    } else if (event.kind === "maps-placed") {
      const { maps, local, rack } = event;
      nearMaps = { maps, local, ...(rack !== undefined && { rack }) };
    } else {
      takeAttempt(tasks, event);
    }
  }
  return {
    phases: [...phases.values()],
    tasks: [...tasks.values()],
    warnings,
    ...(nearMaps !== undefined && { nearMaps }),
  };
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

export interface JobPageLook {
  readonly style: Style;
  readonly directory: string;
  /** Tasks listed at most; failed and slow ones come first when not all are. */
  readonly tasksMax: number;
}

/** Everything `sheaf show` says of a job. */
export function jobPage(record: JobRecord, story: JobStory, look: JobPageLook): string {
  const { style } = look;
  return page([
    facts(record, look),
    (record.steps ?? []).length === 0 ? [] : stepLines(record.steps!, record.status === "RUNNING"),
    phaseLines(story),
    taskLines(story, look),
    counterLines(record.counters),
    story.warnings.map((text) => `${style.yellow("warning:")} ${text}`),
    record.exception === null ? [] : [style.red("error:"), ...record.exception.split("\n")],
  ]);
}

export function counterLines(counters: Readonly<Record<string, number>>): string[] {
  const rows = Object.entries(counters)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => [escapeControls(name), formatCount(value)]);
  return rows.length === 0 ? [] : textTable(["COUNTER", ">VALUE"], rows);
}

/** What an attempt did. `more`: of its shuffle. */
export function statLines(
  stats: Pick<
    TaskStats,
    "recordsIn" | "bytesIn" | "recordsOut" | "bytesOut" | "emitted" | "shuffleBytes" | "cpuMs"
  >,
  more = "",
): string[] {
  return [
    `  in      ${plural(stats.recordsIn, "record")}, ${formatSize(stats.bytesIn)}`,
    `  out     ${plural(stats.recordsOut, "record")}, ${formatSize(stats.bytesOut)}`,
    `  shuffle ${plural(stats.emitted, "pair")}, ${formatSize(stats.shuffleBytes)}${more}`,
    `  cpu     ${formatDuration(stats.cpuMs)}`,
  ];
}

/** Everything about one task: its attempts, and what it printed. */
export function taskPage(task: TaskStory, log: readonly string[], logCut: number, look: JobPageLook): string {
  const { style } = look;
  const parts = [[style.bold(task.task)], task.attempts.flatMap((attempt) => attemptLines(attempt))];
  if (log.length > 0) {
    const head =
      logCut > 0 ? [`log (truncated: ${plural(logCut, "earlier line")} in ${look.directory}/logs)`] : ["log"];
    parts.push([...head, ...log.map((line) => `  ${escapeControls(line)}`)]);
  }
  return page(parts);
}

function facts(record: JobRecord, look: JobPageLook): string[] {
  const { style } = look;
  const status = record.status === "SUCCEEDED" ? style.green(record.status) : style.red(record.status);
  const time =
    record.elapsedMs === null ? `in ${record.currentPhase}` : `in ${formatDuration(record.elapsedMs)}`;
  const code = record.code === null ? "" : `  (code ${record.code})`;
  const rows: [string, string][] = [
    ["id", record.jobId],
    ["started", `${shortTime(record.startTime)} UTC by ${record.submitter} on ${record.host}`],
    ["file", `${record.file ?? "(a Job object)"}${code}`],
    [
      "inputs",
      record.inputs.length === 0 ? "none" : record.inputs.map((text) => escapeControls(text)).join(" "),
    ],
    ["output", record.output ?? "none"],
    ["read", `${plural(record.recordsIn, "record")}, ${formatSize(record.bytesIn)}`],
    ["wrote", `${plural(record.recordsOut, "record")}, ${formatSize(record.bytesOut)}`],
  ];
  const labels = [record.group ?? null, record.project ?? null].filter((label) => label !== null);
  if (labels.length > 0) rows.push(["labels", labels.map((text) => escapeControls(text)).join(" ")]);
  if (record.sameAs !== undefined && record.sameAs !== null)
    rows.push(["same as", `${record.sameAs}, so that nothing had to be run`]);
  const { sample } = record.settings;
  if (typeof sample === "number" && sample < 1)
    rows.push(["sampled", `about ${shareText(sample)} of the records`]);
  if (record.badRecords > 0) rows.push(["bad", plural(record.badRecords, "record")]);
  const settings = Object.entries(record.settings)
    .filter((setting) => record.steps === undefined && isTelling(setting))
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  if (settings.length > 0) rows.push(["settings", settings.join(" ")]);
  rows.push(["kept in", look.directory]);
  return [
    `${style.bold(escapeControls(record.name))}  ${status} ${time}`,
    ...rows.map(([term, text]) => `  ${padText(term, 8)} ${text}`),
  ];
}

/** Settings that are off or empty say nothing. */
function isTelling([, value]: readonly [string, unknown]): boolean {
  return value !== null && value !== false && JSON.stringify(value) !== "{}";
}

function phaseLines(story: JobStory): string[] {
  if (story.phases.length === 0) return [];
  const rows = story.phases.map((phase) => [
    phase.phase,
    phase.tasks === 0 ? "" : formatCount(phase.tasks),
    phase.elapsedMs === null ? "not finished" : formatDuration(phase.elapsedMs),
  ]);
  const near = story.nearMaps === undefined ? [] : [nearMapsText(story.nearMaps)];
  return [...textTable(["PHASE", ">TASKS", ">TIME"], rows), ...near];
}

function taskLines(story: JobStory, look: JobPageLook): string[] {
  if (story.tasks.length === 0) return [];
  const all = story.tasks.length <= look.tasksMax;
  const chosen = all ? story.tasks : [...story.tasks].sort(byInterest).slice(0, look.tasksMax);
  const columns = ["TASK", "STATE", ">ATTEMPTS", ">TIME", ">RECORDS IN", ">OUT", "LAST FAILURE"];
  const lines = textTable(columns, chosen.map(taskRow));
  if (!all)
    lines.push(
      `truncated: ${chosen.length} of ${formatCount(story.tasks.length)} tasks, failed and slow ones first; --all lists all`,
    );
  return lines;
}

function taskRow(task: TaskStory): readonly string[] {
  const last = task.attempts.at(-1);
  const stats = task.attempts.find((attempt) => attempt.stats !== null)?.stats;
  const failure = task.attempts.findLast((attempt) => attempt.failure !== null)?.failure;
  return [
    task.task,
    stats !== undefined ? "finished" : (last?.outcome ?? ""),
    String(task.attempts.length),
    formatDuration(totalMs(task)),
    stats === undefined || stats === null ? "" : formatCount(stats.recordsIn),
    stats === undefined || stats === null ? "" : formatCount(stats.recordsOut),
    failure === undefined || failure === null
      ? ""
      : escapeControls(failure.message.split("\n")[0]!.slice(0, 80)),
  ];
}

function byInterest(a: TaskStory, b: TaskStory): number {
  return failures(b) - failures(a) || totalMs(b) - totalMs(a);
}

function failures(task: TaskStory): number {
  return task.attempts.filter((attempt) => attempt.failure !== null).length;
}

function totalMs(task: TaskStory): number {
  return task.attempts.reduce(
    (sum, attempt) => sum + ((attempt.endedMs ?? attempt.startedMs) - attempt.startedMs),
    0,
  );
}

function attemptLines(attempt: AttemptStory): string[] {
  const took =
    attempt.endedMs === null ? "" : ` after ${formatDuration(attempt.endedMs - attempt.startedMs)}`;
  const lines = [
    `attempt ${attempt.attempt}: ${attempt.outcome}${took}, begun at ${formatDuration(attempt.startedMs)}`,
  ];
  if (attempt.reason !== null) lines.push(`  ${attempt.reason}`);
  if (attempt.failure !== null) {
    const { code, phase, message, path, offset, record, key } = attempt.failure;
    lines.push(`  ${code} in ${phase}: ${escapeControls(message)}`);
    if (path !== null) lines.push(`  input   ${path}${offset === null ? "" : `:${offset}`}`);
    if (record !== null) lines.push(`  record  ${escapeControls(record)}`);
    if (key !== null) lines.push(`  key     ${escapeControls(key)}`);
  }
  if (attempt.stats !== null) {
    const { spills, groups } = attempt.stats;
    lines.push(...statLines(attempt.stats, `, ${plural(spills, "spill")}, ${plural(groups, "group")}`));
  }
  return lines;
}
