import { escapeControls } from "../../../base/escape-controls.ts";
import { formatSize } from "../../../base/size.ts";
import { nearMapsText } from "../../../engine/near-maps.ts";
import { hotKeyText, hotOnes } from "../../../engine/shuffle-tally.ts";
import type { AttemptView, Bidding, JobView, PhaseView } from "../../../protocol/job-view.ts";
import { formatAttempt, formatTask } from "../../../scheduler/ids.ts";
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
import { counterLines, statLines } from "./job-page.ts";

export interface ClusterJobLook {
  readonly style: Style;
  /** Attempts listed at most; failed and long ones come first when not all are. */
  readonly attemptsMax: number;
}

/** Columns of the bar that says when an attempt ran. */
const barColumns = 24;
const causeLettersMax = 80;

/** Everything `sheaf show --on` says of a job. */
export function clusterJobPage(
  view: JobView,
  attempts: readonly AttemptView[],
  look: ClusterJobLook,
): string {
  const { style } = look;
  const parts = [
    facts(view, style),
    view.bidding === null ? [] : biddingLines(view.bidding),
    phaseLines(view),
    attemptLines(attempts, look),
    counterLines(view.counters),
    noteworthy(view, style),
    view.error === null ? [] : [style.red("error:"), ...view.error.report.trimEnd().split("\n")],
  ];
  return page(parts);
}

/** One task: its attempts, and what it printed. */
export function clusterTaskPage(
  task: string,
  view: JobView,
  attempts: readonly AttemptView[],
  log: readonly string[],
  logLines: number,
  look: ClusterJobLook,
): string {
  const head = [`${look.style.bold(task)}  of ${view.job}`];
  const details = attempts.flatMap((attempt) => attemptFacts(attempt));
  const cut = logLines - log.length;
  const truncated =
    cut > 0 ? ` (truncated: ${plural(cut, "earlier line")}; sheaf logs ${view.job}:${task})` : "";
  const printed =
    log.length === 0 ? [] : [`log${truncated}`, ...log.map((line) => `  ${escapeControls(line)}`)];
  return page([head, attemptLines(attempts, { ...look, attemptsMax: attempts.length }), details, printed]);
}

function facts(view: JobView, style: Style): string[] {
  const colour = view.state === "SUCCEEDED" ? style.green : view.endTime === null ? style.yellow : style.red;
  const time = view.elapsedMs === null ? "" : ` in ${formatDuration(view.elapsedMs)}`;
  const attached = view.endTime === null ? (view.attached ? ", attached" : ", detached") : "";
  const rows: [string, string][] = [
    ["id", view.job],
    [
      "submitted",
      `${shortTime(view.submitTime)} UTC by ${escapeControls(view.submitter)} on ${escapeControls(view.host)}`,
    ],
    ["priority", `${view.priority}${attached}`],
    ["file", `${view.file === null ? "?" : escapeControls(view.file)}  (code ${view.code})`],
    ["inputs", view.inputs.length === 0 ? "none" : view.inputs.map((text) => escapeControls(text)).join(" ")],
    [
      "output",
      view.output ?? (view.parts.length > 0 ? "kept by the coordinator: sheaf results" : "none yet"),
    ],
  ];
  if (view.waitingFor !== null) rows.push([style.yellow("waits for"), view.waitingFor]);
  if (view.sameAs !== undefined) rows.push(["same as", `${view.sameAs}, so that nothing had to be run`]);
  const labels = [view.group, view.project].filter((label) => label !== null);
  if (labels.length > 0) rows.push(["labels", labels.map((text) => escapeControls(text)).join(" ")]);
  if (view.stats !== null) {
    const { recordsIn, bytesIn, recordsOut, bytesOut, shuffleBytes, emitted } = view.stats;
    rows.push(["read", `${plural(recordsIn, "record")}, ${formatSize(bytesIn)}`]);
    if (shuffleBytes > 0)
      rows.push(["shuffled", `${plural(emitted, "pair")} as ${formatSize(shuffleBytes)}`]);
    rows.push(["wrote", `${plural(recordsOut, "record")}, ${formatSize(bytesOut)}`]);
  }
  if (view.sample !== undefined)
    rows.push([style.yellow("sampled"), `about ${shareText(view.sample)} of the records`]);
  if (view.badRecords > 0) rows.push([style.yellow("bad"), plural(view.badRecords, "record")]);
  return [
    `${style.bold(escapeControls(view.name))}  ${colour(view.state)}${time}`,
    ...rows.map(([term, text]) => `  ${padText(term, 9)} ${text}`),
  ];
}

function biddingLines(bidding: Bidding): string[] {
  const { wanted, granted, used, grants, rounds, note } = bidding;
  const by = Object.entries(grants).map(([agent, cores]) => `${agent} ${cores}`);
  const lines = [
    `cores     ${wanted} wanted, ${granted} granted (${by.length === 0 ? "none" : by.join(", ")}), ${used} used at most`,
  ];
  if (note !== null) lines.push(`          ${escapeControls(note)}`);
  const rows = bidRows(rounds);
  const columns = [">BID AT", "ANSWERS"];
  if (rows.length > 0) lines.push(...textTable(columns, rows));
  return lines;
}

/** A row for each round that had answers; those before it, which nobody answered, are one. */
function bidRows(rounds: Bidding["rounds"]): string[][] {
  const rows: string[][] = [];
  let silent: number[] = [];
  const flush = (): void => {
    if (silent.length > 0) rows.push([[...new Set([silent[0]!, silent.at(-1)!])].join("-"), "nobody"]);
    silent = [];
  };
  for (const { bar, answers } of rounds) {
    if (answers.length === 0) {
      silent.push(bar);
      continue;
    }
    flush();
    const told = answers.map(({ node, utility, cores }) => `${node} (${Math.round(utility)}%): ${cores}`);
    rows.push([String(bar), told.join(", ")]);
  }
  flush();
  return rows;
}

function phaseLines(view: JobView): string[] {
  if (view.phases.length === 0) return [];
  const timing = new Map(view.timings.map(({ phase, elapsedMs }) => [phase, elapsedMs]));
  const rows = view.phases.map((phase: PhaseView) => [
    phase.phase,
    formatCount(phase.tasks),
    formatCount(phase.finished),
    formatCount(phase.running),
    formatCount(phase.failed),
    formatCount(phase.backups),
    phase.recordsIn === undefined ? "" : formatCount(phase.recordsIn),
    phase.fraction === undefined ? "" : `${Math.floor(phase.fraction * 100)}%`,
    timing.has(phase.phase) ? formatDuration(timing.get(phase.phase)!) : "",
  ]);
  const counts = [">TASKS", ">FINISHED", ">RUNNING", ">FAILED", ">BACKUPS", ">RECORDS IN"];
  const told = view.nearMaps === undefined ? [] : [nearMapsText(view.nearMaps)];
  return [...textTable(["PHASE", ...counts, ">DONE", ">TIME"], rows), ...told];
}

function attemptLines(attempts: readonly AttemptView[], look: ClusterJobLook): string[] {
  if (attempts.length === 0) return [];
  const all = attempts.length <= look.attemptsMax;
  const chosen = all ? attempts : [...attempts].sort(byInterest).slice(0, look.attemptsMax);
  const spanMs = Math.max(1, ...attempts.map(({ startedMs, endedMs }) => endedMs ?? startedMs));
  const columns = ["ATTEMPT", "AGENT", "STATE", ">BEGAN", ">TIME", "WHEN", "CAUSE"];
  const lines = textTable(
    columns,
    chosen.map((one) => attemptRow(one, spanMs)),
  );
  if (!all) {
    const count = `${chosen.length} of ${formatCount(attempts.length)}`;
    lines.push(`truncated: ${count} attempts, failed and long ones first; --all lists all`);
  }
  return lines;
}

function attemptRow(view: AttemptView, spanMs: number): readonly string[] {
  const cause = view.outputLost === null ? view.cause : `output lost: ${view.outputLost}`;
  return [
    formatAttempt(view.attempt),
    `${view.agent}/${view.slot}`,
    `${view.state}${view.backup ? " (backup)" : ""}`,
    formatDuration(view.startedMs),
    view.endedMs === null ? "" : formatDuration(view.endedMs - view.startedMs),
    bar(view, spanMs),
    cause === null ? "" : escapeControls(cause.split("\n")[0]!.slice(0, causeLettersMax)),
  ];
}

/** "     ####       " over the time from the job's submission to its last attempt's end. */
function bar({ startedMs, endedMs }: AttemptView, spanMs: number): string {
  const column = (ms: number): number => Math.min(barColumns, Math.floor((ms / spanMs) * barColumns));
  const from = Math.min(barColumns - 1, column(startedMs));
  const to = Math.max(from + 1, endedMs === null ? barColumns : column(endedMs));
  return `|${" ".repeat(from)}${"#".repeat(to - from)}${" ".repeat(barColumns - to)}|`;
}

function byInterest(a: AttemptView, b: AttemptView): number {
  const rank = ({ state }: AttemptView): number => (state === "FAILED" || state === "LOST" ? 1 : 0);
  const time = ({ startedMs, endedMs }: AttemptView): number => (endedMs ?? Number.MAX_VALUE) - startedMs;
  return rank(b) - rank(a) || time(b) - time(a) || (formatTask(a.attempt) < formatTask(b.attempt) ? -1 : 1);
}

function attemptFacts(view: AttemptView): string[] {
  const lines = [`${formatAttempt(view.attempt)} on ${view.agent}, slot ${view.slot}`];
  if (view.cause !== null) lines.push(...view.cause.split("\n").map((line) => `  ${escapeControls(line)}`));
  if (view.outputLost !== null) lines.push(`  output lost: ${escapeControls(view.outputLost)}`);
  if (view.stats !== null) {
    lines.push(...statLines(view.stats));
  }
  return lines;
}

function noteworthy(view: JobView, style: Style): string[] {
  return [
    ...view.barred.map(
      ({ agent, reason }) => `${style.yellow("barred")}  ${agent}: ${escapeControls(reason)}`,
    ),
    ...hotOnes(view.hotKeys).map(
      (hot) => `${style.yellow("warning:")} ${escapeControls(hotKeyText({ ...hot, name: hot.collection }))}`,
    ),
    ...view.failedTasks.map((task) => `${style.yellow("given up")}  ${task}: its records are missing`),
  ];
}
