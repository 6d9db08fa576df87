import { escapeControls } from "../../base/escape-controls.ts";
import { formatSize } from "../../base/size.ts";
import type { Advice } from "../../engine/advice.ts";
import type { Range } from "../../engine/extrapolate.ts";
import type { Forecast } from "../../engine/forecast.ts";
import type { RunResult } from "../../engine/run-result.ts";
import type { Style } from "./style.ts";
import { formatCount, formatDuration, padText, plural, shareText } from "./text.ts";

type Show = (value: number) => string;

const size: Show = (bytes) => formatSize(Math.round(bytes));

/** What `sheaf plan` says to people. */
export function forecastText(
  name: string,
  forecast: Forecast,
  advice: readonly Advice[],
  style: Style,
): string {
  const { files, bytes, mapTasks, reduceTasks, workers, tried, bad, skew, notes } = forecast;
  const input = files === 0 ? "generated" : `${plural(files, "file")}, ${formatSize(bytes)}`;
  const tasks = `${plural(mapTasks, "map task")}, ${plural(reduceTasks, "reduce task")}, ${plural(workers, "worker")}`;
  const rows: [string, string][] = [
    ["input", `${input}: ${tasks}`],
    [
      "tried",
      `${formatSize(tried.bytes)}, ${plural(tried.records, "record")}, in ${formatDuration(tried.elapsedMs)}`,
    ],
    ["time", rangeText(forecast.elapsedMs, formatDuration)],
    [
      "",
      `map ${formatDuration(forecast.mapMs.expected)}, reduce ${formatDuration(forecast.reduceMs.expected)}`,
    ],
    ["records", rangeText(forecast.records, formatCount)],
  ];
  if (bad !== null) rows.push(["bad", `${rangeText(bad.share, percent)} of the records`]);
  if (reduceTasks > 0) {
    rows.push([
      "shuffle",
      `${rangeText(forecast.shuffleBytes, size)}, ${rangeText(forecast.pairs, formatCount)} pairs`,
    ]);
    rows.push(["groups", rangeText(forecast.groups, formatCount)]);
  }
  rows.push([
    "output",
    `${rangeText(forecast.bytesOut, size)}, ${rangeText(forecast.recordsOut, formatCount)} records`,
  ]);
  rows.push(["memory", `about ${formatSize(forecast.peakBytes)} for the whole process`]);
  for (const { collection, largestPartition, ratio } of skew) {
    if (ratio < 2) continue;
    const where = collection === "" ? "" : `${collection}: `;
    rows.push(["skew", `${where}partition ${largestPartition} has ${ratio.toFixed(1)} times the mean`]);
  }
  for (const note of notes) rows.push(["note", note]);
  for (const { flag, why } of advice) {
    const text = escapeControls(why);
    rows.push([flag === null ? "mind" : "set", flag === null ? text : `${style.cyan(flag)}  ${text}`]);
  }
  if (advice.length === 0) rows.push(["set", "nothing: the defaults will do"]);
  const head = `${style.bold("plan")}    ${escapeControls(name)}; nothing was written`;
  return `${[head, ...rows.map(([term, text]) => `  ${padText(term, 9)} ${text}`)].join("\n")}\n`;
}

/** In the summary of a run: what was predicted for it, and what came of it. */
export function predictedRows(result: RunResult): [string, string][] {
  const { forecast, stats } = result;
  if (forecast === null) return [];
  const rows: [string, string][] = [
    ["predicted", besides("time", forecast.elapsedMs, stats.elapsedMs, formatDuration)],
  ];
  rows.push(["", besides("processor", forecast.cpuMs, stats.cpuMs, formatDuration)]);
  if (stats.shuffleBytes > 0)
    rows.push(["", besides("shuffle", forecast.shuffleBytes, stats.shuffleBytes, size)]);
  if (stats.groups > 0) rows.push(["", besides("groups", forecast.groups, stats.groups, formatCount)]);
  if (stats.bytesOut > 0) rows.push(["", besides("output", forecast.bytesOut, stats.bytesOut, size)]);
  if (forecast.workers !== result.workers)
    rows.push([
      "",
      `planned for ${plural(forecast.workers, "worker")}, run by ${plural(result.workers, "worker")}`,
    ]);
  return rows;
}

function besides(what: string, range: Range, fact: number, show: Show): string {
  const off = range.expected === 0 ? "" : `, ${signed(fact / range.expected - 1)}`;
  return `${what} ${rangeText(range, show)}: it was ${show(fact)}${off}`;
}

function signed(share: number): string {
  const rounded = Math.round(share * 100);
  return `${rounded > 0 ? "+" : ""}${rounded}%`;
}

/** "21 s (18 s to 26 s)"; the bounds are left out where they say the same. */
function rangeText({ low, expected, high }: Range, show: Show): string {
  const [from, middle, to] = [show(low), show(expected), show(high)];
  return from === middle && to === middle ? middle : `${middle} (${from} to ${to})`;
}

function percent(share: number): string {
  return shareText(Number(share.toPrecision(2)));
}
