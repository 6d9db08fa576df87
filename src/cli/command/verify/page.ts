import { escapeControls } from "../../../base/escape-controls.ts";
import { formatSize } from "../../../base/size.ts";
import type { RunDifference } from "../../../runners/compare-runs.ts";
import type { VerifiedRun } from "../../../runners/verify.ts";
import type { Style } from "../../ui/style.ts";
import { formatCount, formatDuration, padText, plural } from "../../ui/text.ts";

/** How one run went, and what it was given. */
export function runLine({ result, variation, differences }: VerifiedRun, style: Style): string {
  const { status, mapTasks, reduceTasks, workers, stats, failedAttempts } = result;
  if (status !== "SUCCEEDED") return style.red(status);
  const { memory, isolate } = variation;
  const about = [
    formatDuration(stats.elapsedMs),
    plural(workers, "worker") + (isolate === "process" ? " (processes)" : ""),
    `${plural(mapTasks, "map task")}, ${plural(reduceTasks, "reduce task")}`,
    ...(memory === undefined ? [] : [`${formatSize(memory)} of memory`]),
    ...(failedAttempts.length === 0 ? [] : [`${plural(failedAttempts.length, "attempt")} failed`]),
  ].join(", ");
  return differences.length === 0 ? about : `${about}: ${style.red("differs")}`;
}

/** What came out: that all agree, or where each run differs from the first. */
export function verifyPage(runs: readonly VerifiedRun[], style: Style): string {
  const [first, ...others] = runs;
  if (first === undefined) return "";
  const differing = others.filter(({ differences }) => differences.length > 0);
  if (differing.length === 0) {
    const { parts, counters, stats } = first.result;
    const what = [
      plural(parts.length, "file"),
      plural(stats.recordsOut, "result"),
      plural(Object.keys(counters).length, "counter"),
    ].join(", ");
    return `${style.green(style.bold("same"))}    ${what}, in ${plural(runs.length, "run")}`;
  }
  return differing.map((run) => differenceText(first, run, style)).join("\n");
}

function differenceText(first: VerifiedRun, run: VerifiedRun, style: Style): string {
  const [a, b] = [first.place.name, run.place.name];
  const width = Math.max(...["counters", a, b].map((name) => name.length));
  const row = (term: string, text: string): string => `  ${padText(term, width)} ${text}`;
  const counts = run.differences.filter((one) => one.kind === "count");
  const lines = [`${style.red(style.bold("differs"))} ${a} and ${b} do not agree`];
  for (const difference of run.differences) lines.push(...rowsOf(difference, [a, b], row));
  if (counts.length > 0) {
    const texts = counts.map(
      (one) => `${escapeControls(one.name)}: ${count(one.first)}, ${count(one.other)}`,
    );
    lines.push(...texts.map((text, index) => row(index === 0 ? "counts" : "", text)));
  }
  const hint = hintOf(run.differences);
  return [...lines, ...hint.map((text) => `  ${text}`)].join("\n");
}

function rowsOf(
  difference: RunDifference,
  [a, b]: readonly [string, string],
  row: (term: string, text: string) => string,
): string[] {
  switch (difference.kind) {
    case "count":
      return [];
    case "status":
      return [row(a, escapeControls(difference.first)), row(b, escapeControls(difference.other))];
    case "bytes": {
      const { part, offset, onlyIn } = difference;
      const what =
        offset !== null
          ? `other bytes from offset ${formatCount(offset)} on, of the same results`
          : `${onlyIn === "first" ? a : b} has more of it`;
      return [row("part", part), row("", what)];
    }
    case "record": {
      const { collection, part, index, first, other, onlyIn } = difference;
      const where = `result ${formatCount(index + 1)}${collection === "" ? "" : ` of ${collection}`}`;
      const rows = [row("part", part === null ? where : `${part}, ${where}`)];
      if (first !== null && other !== null && first.key === other.key)
        return [...rows, row("key", first.key), row(a, first.value), row(b, other.value)];
      const side = (one: typeof first): string =>
        one === null ? "no more results" : `${one.key} -> ${one.value}`;
      const alone = onlyIn === "first" ? first : onlyIn === "other" ? other : null;
      const told =
        alone === null ? [] : [row("key", `${alone.key} is in ${onlyIn === "first" ? a : b} only`)];
      return [...rows, ...told, row(a, side(first)), row(b, side(other))];
    }
  }
}

function count(value: number | null): string {
  return value === null ? "none" : formatCount(value);
}

function hintOf(differences: readonly RunDifference[]): string[] {
  if (differences.some((one) => one.kind === "record" && one.isRounding)) {
    return [
      "The values differ as floats do that were added in another order: a combine adds them in groups that depend",
      "on splits. sum() and the other aggregators do not; nor does a reduce without combine.",
    ];
  }
  if (differences.every((one) => one.kind === "status")) return [];
  if (differences.some((one) => one.kind === "record" || one.kind === "count")) {
    return [
      "Results must follow from records alone: look for state that outlives a record, process.pid, clocks,",
      "Math.random, and a combine that is not associative. docs/determinism.md has the list.",
    ];
  }
  return ["The results are the same, and what the job's writer made of them is not."];
}

/** For programs. */
export function jsonOf({ place, variation, result, differences }: VerifiedRun) {
  const { status, error, mapTasks, reduceTasks, workers, stats, parts, counters, failedAttempts } = result;
  return {
    on: place.on,
    name: place.name,
    status,
    error: error === null ? null : { code: error.code, message: error.message },
    variation,
    mapTasks,
    reduceTasks,
    workers,
    failedAttempts: failedAttempts.length,
    elapsedMs: stats.elapsedMs,
    parts,
    counters,
    differences,
  };
}
