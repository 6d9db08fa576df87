import { SheafError, describeThrown, isSheafError } from "../../base/errors.ts";
import { escapeControls } from "../../base/escape-controls.ts";
import { shellWord } from "../../base/shell-word.ts";
import { formatSize } from "../../base/size.ts";
import { isScaled, seenFrom } from "../../engine/estimates.ts";
import type { RunResult } from "../../engine/run-result.ts";
import { hotKeyRemedy, hotOnes } from "../../engine/shuffle-tally.ts";
import type { IncrementalReport } from "../../incremental/run-notes.ts";
import type { EstimatedColumn } from "../../job/estimate.ts";
import { asShortage } from "../../storage/fs-error.ts";
import { splitAddress } from "../../storage/store.ts";
import { type ExitCode, exitCodeOf, exitCodes } from "../command.ts";
import { type World, writeJson, writeTo } from "../world.ts";
import { predictedRows } from "./forecast.ts";
import { type ColorWhen, type Style, styleFor } from "./style.ts";
import {
  displayPath,
  formatByteRate,
  formatCount,
  formatDuration,
  padText,
  plural,
  shareText,
  worthARate,
} from "./text.ts";

/** Counters shown; the others are in sheaf show. */
const COUNTERS_SHOWN_MAX = 20;
/** A partition is worth a word when it is this many times the mean and big enough to matter. */
const SKEW_RATIO_MIN = 2;
const SKEW_BYTES_MIN = 4 * 1024 * 1024;

export interface SummaryLook {
  readonly style: Style;
  readonly cwd: string;
  /** False when the output directory is a temporary one that the user never sees. */
  readonly showOutput: boolean;
  /** False when nobody knows how many records were read. Default true. */
  readonly countsRecords?: boolean;
}

/** What is said when a job has succeeded. */
export function summaryText(result: RunResult, look: SummaryLook): string {
  const { style } = look;
  const { stats } = result;
  if (result.sameAs !== null) return sameText(result, look);
  const written = outputText(result, look);
  const rows: [string, string][] = look.countsRecords === false ? [] : [["read", readText(result)]];
  if (result.incremental !== null) rows.push(["kept", keptText(result.incremental)]);
  if (stats.shuffleBytes > 0) rows.push(["shuffled", shuffleText(result)]);
  rows.push(["wrote", written]);
  rows.push(...predictedRows(result));
  rows.push(...noteworthy(result, look));
  rows.push(...counterRows(result));
  const head = `${style.green(style.bold("done"))}    ${formatDuration(stats.elapsedMs)}${headFact(result, look)}`;
  const body = rows.map(([term, text]) => `  ${padText(term, 9)} ${text}`);
  const next = nextCommand(result, look);
  return `${[head, ...body, ...(next === undefined ? [] : [`  ${padText("look", 9)} ${style.cyan(next)}`])].join("\n")}\n`;
}

/** With --once: nothing had to be run. */
function sameText(result: RunResult, look: SummaryLook): string {
  const where =
    result.output !== null && look.showOutput
      ? `; its output is in ${displayPath(result.output, look.cwd)}`
      : "";
  const head = `${look.style.green(look.style.bold("done"))}    nothing had to be run: ${result.sameAs} has done the same${where}`;
  return `${head}\n`;
}

function headFact({ steps, workers }: RunResult, { countsRecords }: SummaryLook): string {
  if (steps.length > 0) {
    const ran = steps.filter(({ status }) => status === "SUCCEEDED").length;
    return `  ${ran === steps.length ? plural(ran, "step") : `${ran} of ${plural(steps.length, "step")} run`}`;
  }
  return countsRecords === false ? "" : `  ${plural(workers, "worker")}`;
}

/** What is said when the user has stopped a job. */
export function cancelledText(result: RunResult, output: string | undefined, by: string): string {
  const where = output === undefined ? "nothing was written" : `nothing was written, ${output} is as it was`;
  return `stopped by ${by} after ${formatDuration(result.stats.elapsedMs)}: ${where}\n`;
}

function readText(result: RunResult): string {
  const { recordsIn, bytesIn, elapsedMs } = result.stats;
  const rate = worthARate(bytesIn) ? ` (${formatByteRate(bytesIn, elapsedMs)})` : "";
  const bytes = bytesIn > 0 ? `, ${formatSize(bytesIn)}${rate}` : "";
  return plural(recordsIn, "record") + bytes;
}

function keptText({ full, kept, goneFiles, stateBytes }: IncrementalReport): string {
  const next = `${formatSize(stateBytes)} for the next run in _state`;
  if (full !== null) return `nothing: ${full}; ${next}`;
  const gone = goneFiles > 0 ? `, ${plural(goneFiles, "file")} gone` : "";
  const tasks = plural(kept.tasks, "map task");
  return `${plural(kept.records, "record")}, ${formatSize(kept.bytes)} (${tasks})${gone}; ${next}`;
}

function shuffleText(result: RunResult): string {
  const { emitted, shuffleBytes, groups, spills } = result.stats;
  // Every map task leaves one run per collection; more of them is memory that did not suffice.
  const collections = new Set(result.parts.map((part) => part.collection)).size;
  const extra =
    spills > result.mapTasks * Math.max(1, collections) ? `, ${plural(spills, "sorted run")}` : "";
  return `${plural(emitted, "pair")} as ${formatSize(shuffleBytes)}, ${plural(groups, "group")}${extra}`;
}

function outputText(result: RunResult, look: SummaryLook): string {
  const bytes = result.parts.reduce((sum, part) => sum + part.bytes, 0);
  const records = plural(result.stats.recordsOut, "record");
  if (result.output === null || result.parts.length === 0) return records;
  const where = look.showOutput ? ` in ${displayPath(result.output, look.cwd)}` : "";
  return `${records}, ${formatSize(bytes)}${where} (${plural(result.parts.length, "file")})`;
}

/** Rows for what a user would want to know without having asked. */
function noteworthy(result: RunResult, look: SummaryLook): [string, string][] {
  const rows: [string, string][] = [];
  const { yellow } = look.style;
  if (result.sample < 1) {
    rows.push([
      yellow("sampled"),
      `about ${shareText(result.sample)} of the records (--sample ${result.sample})`,
    ]);
    rows.push(...estimateRows(result));
  }
  if (result.made !== null && result.made.stoppedBy !== null) {
    const why = result.made.stoppedBy === "time" ? "its time was over" : "its stop condition was true";
    rows.push(["made", `${plural(result.made.records, "record")} until ${why}`]);
  }
  if (result.materialized !== null) {
    const { directory, records, parts } = result.materialized;
    rows.push([
      "kept",
      `${plural(records, "record")} in ${displayPath(directory, look.cwd)} (${plural(parts.length, "file")})`,
    ]);
  }
  if (result.badRecords > 0) {
    const where =
      result.output !== null && look.showOutput
        ? ` set aside in ${displayPath(result.output, look.cwd)}/_bad`
        : " left out";
    rows.push([yellow("bad"), plural(result.badRecords, "record") + where]);
  }
  const { emptyFiles, stats: read } = result;
  if (emptyFiles !== null) {
    const names = emptyFiles.names.map((text) => escapeControls(text)).join(", ");
    const more = emptyFiles.files - emptyFiles.names.length;
    const rest = more > 0 ? ` and ${formatCount(more)} more` : "";
    rows.push([yellow("empty"), `no record in ${names}${rest}: is the reader the right one?`]);
  } else if (look.countsRecords !== false && read.recordsIn === 0 && read.bytesIn > 0) {
    rows.push([
      yellow("empty"),
      `no record in all of ${formatSize(read.bytesIn)}: is the reader the right one?`,
    ]);
  }
  if (result.failedAttempts.length > 0) {
    rows.push([
      yellow("retried"),
      `${plural(result.failedAttempts.length, "attempt")} failed; see sheaf show`,
    ]);
  }
  for (const hot of hotOnes(result.hotKeys)) {
    const name = hot.name === "" ? "" : `${hot.name}: `;
    const share = `${formatCount(hot.values)} pairs, ${Math.round(hot.share * 100)}%, in one reduce task`;
    rows.push([yellow("hot key"), `${name}${escapeControls(hot.key)}: ${share}`], ["", hotKeyRemedy]);
  }
  for (const skew of result.skew) {
    if (skew.ratio < SKEW_RATIO_MIN || skew.largestBytes < SKEW_BYTES_MIN) continue;
    const name = skew.collection === "" ? "" : `${skew.collection}: `;
    const share = `${formatSize(skew.largestBytes)}, ${skew.ratio.toFixed(1)} times the mean`;
    rows.push([
      yellow("skew"),
      `${name}partition ${skew.largestPartition} of ${skew.partitions} has ${share}`,
    ]);
  }
  return rows;
}

/** What is an estimate, what is not, and what is missing. */
function estimateRows({ estimates, sample }: RunResult): [string, string][] {
  if (estimates.length === 0) return [];
  const nameOf = ({ collection, column }: EstimatedColumn): string =>
    escapeControls([collection, column].filter((name) => name !== "").join(".")) || "the result";
  const scaled = estimates.filter(isScaled).map(nameOf).join(", ");
  const rows: [string, string][] = [["estimated", `${scaled}: for all records, with intervals of 95%`]];
  for (const one of estimates)
    if (one.note !== null) rows.push(["", `${nameOf(one)}: ${escapeControls(one.note)}`]);
  const missing = `a key that is missing has fewer than ${formatCount(seenFrom(sample))} records, 95 times of 100`;
  return [...rows, ["", missing]];
}

function counterRows(result: RunResult): [string, string][] {
  const names = Object.keys(result.counters).sort();
  const rows = names
    .slice(0, COUNTERS_SHOWN_MAX)
    .map((name, i): [string, string] => [
      i === 0 ? "counters" : "",
      `${escapeControls(name)} ${formatCount(result.counters[name]!)}`,
    ]);
  if (names.length > rows.length)
    rows.push(["", `... truncated: ${names.length - rows.length} more in sheaf show`]);
  return rows;
}

function nextCommand(result: RunResult, look: SummaryLook): string | undefined {
  if (result.output === null || !look.showOutput || splitAddress(result.output) !== null) return undefined;
  const part = result.parts.find((one) => one.records > 0);
  if (part === undefined) return undefined;
  const path = shellWord(`${displayPath(result.output, look.cwd)}/${part.file}`);
  if (part.file.endsWith(".gz")) return `gzip -dc ${path} | head`;
  if (part.file.endsWith(".zst")) return `zstd -dc ${path} | head`;
  return `head ${path}`;
}

export interface Conclusion {
  readonly flags: {
    readonly output: string | undefined;
    readonly quiet: boolean | undefined;
    readonly json: boolean | undefined;
    readonly debug: boolean | undefined;
    readonly color: ColorWhen | undefined;
  };
  /** False when the output directory is one that the user never sees. */
  readonly showOutput: boolean;
  /** False when the runner does not know how many records were read. Default true. */
  readonly countsRecords?: boolean;
  readonly stoppedBy: string | undefined;
  /** The job that goes on when this command is stopped: it was only looked at. */
  readonly left?: string;
}

/** Says how a run went, and answers how to exit. */
export async function concludeRun(result: RunResult, about: Conclusion, world: World): Promise<ExitCode> {
  const { flags, showOutput, countsRecords = true } = about;
  const style = styleFor(world.stderr, world.env, flags.color);
  const silent = flags.quiet === true || flags.json === true;
  switch (result.status) {
    case "SUCCEEDED":
      if (!silent)
        await writeTo(
          world.stderr,
          summaryText(result, { style, cwd: world.cwd, showOutput, countsRecords }),
        );
      return exitCodes.ok;
    case "CANCELLED":
      if (!silent) {
        const by = about.stoppedBy;
        const text =
          by !== undefined && about.left !== undefined
            ? `left by ${by}; see it again with: sheaf attach --watch ${about.left}\n`
            : by === undefined && result.error !== null
              ? `${result.error.message}\n`
              : cancelledText(result, flags.output, by ?? "request");
        const { steps, jobId } = result;
        const next = steps.length === 0 ? "" : `go on from there: sheaf resume ${jobId}\n`;
        await writeTo(world.stderr, text + next);
      }
      return exitCodes.cancelled;
    case "FAILED": {
      const error = result.error ?? new SheafError("INTERNAL", "the job failed without a cause");
      await writeTo(world.stderr, errorText(error, flags.debug === true, style));
      return exitCodeOf(error.code);
    }
  }
}

/**
 * Says on standard error what went wrong and what to do (with --json also on standard output), and how to
 * exit.
 */
export async function reportError(
  thrown: unknown,
  words: readonly string[],
  world: World,
): Promise<ExitCode> {
  const error = asShortage(thrown) ?? thrown;
  const known = isSheafError(error) ? error : undefined;
  const code = known?.code ?? "INTERNAL";
  if (words.includes("--json")) {
    const event = { kind: "error", code, message: describeThrown(error), hint: known?.hint ?? null };
    // It may be standard output that is wrong.
    await writeJson(world, event).catch(() => false);
  }
  await writeTo(
    world.stderr,
    errorText(error, words.includes("--debug"), styleFor(world.stderr, world.env, colorIn(words))),
  );
  return known === undefined ? exitCodes.internal : exitCodeOf(known.code);
}

/** What --color says, if the words say it rightly: they may be what is wrong. */
function colorIn(words: readonly string[]): ColorWhen {
  const at = words.findIndex((word) => word === "--color" || word.startsWith("--color="));
  const value =
    at < 0 ? undefined : words[at] === "--color" ? words[at + 1] : words[at]!.slice("--color=".length);
  return value === "always" || value === "never" ? value : "auto";
}

/**
 * The one-screen report of a failed task as it is; else message, code and hint; with the stack for bugs and
 * --debug.
 */
export function errorText(error: unknown, debug: boolean, style: Style): string {
  const known = isSheafError(error) ? error : undefined;
  const code = known?.code ?? "INTERNAL";
  const lines: string[] = [];
  if (known !== undefined && "report" in known && typeof known.report === "string") {
    // A report has the hint in it.
    lines.push(reportText(known.report, code, style));
  } else {
    lines.push(reportText(describeThrown(error), code, style));
    if (known?.hint !== undefined) lines.push(...known.hint.split("\n").map((line) => `  ${line}`));
  }
  if (code === "INTERNAL") lines.push("  This is a bug in sheaf. Please report it with the stack below.");
  if ((debug || code === "INTERNAL") && error instanceof Error) lines.push(style.dim(stackText(error)));
  return `${lines.join("\n")}\n`;
}

/** The text as an error of this code. Ends without newline. */
export function reportText(text: string, code: string, style: Style): string {
  const [headline, ...rest] = text.trimEnd().split("\n");
  // Of a short report the hint stands right below, as it does for other errors.
  if (rest.length === 2 && rest[0] === "") rest.shift();
  return [`${style.red(style.bold("error:"))} ${headline} ${style.dim(`[${code}]`)}`, ...rest].join("\n");
}

/** The stack and those of its causes, without the message, which has been said. */
function stackText(error: Error): string {
  const frames = (error.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  const cause =
    error.cause instanceof Error ? `\n  caused by: ${error.cause.stack ?? error.cause.message}` : "";
  return frames.join("\n") + cause;
}
