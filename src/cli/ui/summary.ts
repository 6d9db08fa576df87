import { escapeControls } from "../../base/escape-controls.ts";
import { shellWord } from "../../base/shell-word.ts";
import { relative } from "node:path";
import { formatSize } from "../../base/size.ts";
import type { RunResult } from "../../engine/options.ts";
import { hotKeyRemedy, hotOnes } from "../../engine/shuffle-tally.ts";
import { formatDuration } from "../duration.ts";
import { formatByteRate, formatCount, plural, shareText, worthARate } from "./numbers.ts";
import type { Style } from "./style.ts";
import { padText } from "./text-width.ts";

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
  const written = outputText(result, look);
  const rows: [string, string][] = look.countsRecords === false ? [] : [["read", readText(result)]];
  if (stats.shuffleBytes > 0) rows.push(["shuffled", shuffleText(result)]);
  rows.push(["wrote", written]);
  rows.push(...noteworthy(result, look));
  rows.push(...counterRows(result));
  const head = `${style.green(style.bold("done"))}    ${formatDuration(stats.elapsedMs)}${look.countsRecords === false ? "" : `  ${plural(result.workers, "worker")}`}`;
  const body = rows.map(([term, text]) => `  ${padText(term, 9)} ${text}`);
  const next = nextCommand(result, look);
  return `${[head, ...body, ...(next === undefined ? [] : [`  ${padText("look", 9)} ${style.cyan(next)}`])].join("\n")}\n`;
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
  if (result.output === null || !look.showOutput) return undefined;
  const part = result.parts.find((one) => one.records > 0);
  if (part === undefined) return undefined;
  const path = shellWord(`${displayPath(result.output, look.cwd)}/${part.file}`);
  if (part.file.endsWith(".gz")) return `gzip -dc ${path} | head`;
  if (part.file.endsWith(".zst")) return `zstd -dc ${path} | head`;
  return `head ${path}`;
}

/** Relative where that is shorter, as a person would write it. */
export function displayPath(path: string, cwd: string): string {
  const near = relative(cwd, path);
  return near !== "" && near.length < path.length && !near.startsWith("../../") ? near : path;
}
