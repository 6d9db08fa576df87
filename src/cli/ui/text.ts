import fastWidth from "fast-string-truncated-width";
import { relative } from "node:path";
import { formatSize } from "../../base/size.ts";

/** The text broken at spaces into lines of at most `width` columns; a longer word has a line to itself. */
export function wrapText(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && textWidth(line) + 1 + textWidth(word) > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

/** A paragraph with every line indented. */
export function paragraph(text: string, width: number, indent: number): string {
  const margin = " ".repeat(indent);
  return wrapText(text, width - indent)
    .map((line) => margin + line)
    .join("\n");
}

const TERM_COLUMNS_MAX = 34;
/** With less room beside the terms than this, meanings go below them. */
const MEANING_COLUMNS_MIN = 20;

/** Columns the terms of these lists need, not counting any that are too long for a column. */
export function termColumns(entries: readonly (readonly [string, string])[]): number {
  return Math.max(0, ...entries.map(([term]) => textWidth(term)).filter((w) => w <= TERM_COLUMNS_MAX));
}

/** Terms on the left, what they mean wrapped on the right; a term that is too long has a line to itself. */
export function definitions(
  entries: readonly (readonly [string, string])[],
  width: number,
  longest: number = termColumns(entries),
): string {
  const column = 2 + longest + 2;
  if (width - column < MEANING_COLUMNS_MIN) {
    return entries.map(([term, meaning]) => `  ${term}\n${paragraph(meaning, width, 6)}`).join("\n");
  }
  const lines: string[] = [];
  for (const [term, meaning] of entries) {
    const right = meaning === "" ? [] : wrapText(meaning, width - column);
    const fits = textWidth(term) <= longest;
    const first = fits ? (right.shift() ?? "") : "";
    lines.push(`  ${padText(term, longest)}  ${first}`.trimEnd());
    for (const line of right) lines.push(" ".repeat(column) + line);
  }
  return lines.join("\n");
}

/** Rows under titles, columns as wide as they need; those whose title begins with ">" are aligned right. */
export function textTable(titles: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const named = titles.map((title) => title.replace(/^>/, ""));
  const widths = named.map((title, i) =>
    Math.max(textWidth(title), ...rows.map((row) => textWidth(row[i] ?? ""))),
  );
  const line = (cells: readonly string[]): string =>
    titles
      .map((title, i) => padText(cells[i] ?? "", widths[i]!, title.startsWith(">") ? "right" : "left"))
      .join("  ")
      .trimEnd();
  return [line(named), ...rows.map(line)];
}

/** Relative where that is shorter, as a person would write it. */
export function displayPath(path: string, cwd: string): string {
  if (path.includes("://")) return path;
  const near = relative(cwd, path);
  return near !== "" && near.length < path.length && !near.startsWith("../../") ? near : path;
}

/** Columns of one line on a terminal; ANSI colours count nothing. */
export function textWidth(text: string): number {
  return fastWidth(text).width;
}

/** The text cut to at most `columns`, ending in "…" where something was cut. Colours stay balanced. */
export function truncateText(text: string, columns: number): string {
  if (columns <= 0) return "";
  const cut = fastWidth(text, { limit: columns, ellipsis: "…" });
  if (!cut.truncated) return text;
  const colours = text.slice(cut.index).match(COLOURS) ?? [];
  return text.slice(0, cut.index) + (cut.ellipsed ? "…" : "") + colours.join("");
}

// oxlint-disable-next-line no-control-regex -- control sequences are what it is about
const COLOURS = /\x1b\[[0-9;]*m/g;

/** The text with spaces added at its end, or before it, up to `columns`. */
export function padText(text: string, columns: number, side: "left" | "right" = "left"): string {
  const spaces = " ".repeat(Math.max(0, columns - textWidth(text)));
  return side === "left" ? text + spaces : spaces + text;
}

/** Parts of a page with a blank line between them; empty ones are left out. */
export function page(parts: readonly (readonly string[])[]): string {
  const filled = parts.filter((lines) => lines.length > 0).map((lines) => lines.join("\n"));
  return `${filled.join("\n\n")}\n`;
}

/** "1,234,567". */
export function formatCount(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** Three figures for a rate: "950", "12.3k", "1.25M". */
export function formatShortCount(value: number): string {
  const units = ["", "k", "M", "G", "T"];
  let scaled = value;
  let unit = 0;
  while (scaled >= 999.5 && unit < units.length - 1) {
    scaled /= 1000;
    unit++;
  }
  const digits = unit === 0 || scaled >= 99.95 ? 0 : scaled >= 9.995 ? 1 : 2;
  return `${scaled.toFixed(digits)}${units[unit]}`;
}

/** "1 task", "20 tasks". */
export function plural(count: number, noun: string, nouns = `${noun}s`): string {
  return `${formatCount(count)} ${count === 1 ? noun : nouns}`;
}

/** A rate of less than this is the cost of starting, and says nothing. */
export function worthARate(bytes: number): boolean {
  return bytes >= 1024 * 1024;
}

export function formatByteRate(bytes: number, elapsedMs: number): string {
  return `${formatSize(Math.round((bytes * 1000) / Math.max(1, elapsedMs)))}/s`;
}

/** Time left, coarse on purpose: "<1 s", "8 s", "1m 20s", "2h 05m". */
export function formatTimeLeft(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 1) return "<1 s";
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${String(seconds % 60).padStart(2, "0")}s`;
  return `${Math.floor(seconds / 3600)}h ${String(Math.floor((seconds % 3600) / 60)).padStart(2, "0")}m`;
}

/** A share of at most 1 as a percentage: 0.015 is "1.5%". */
export function shareText(share: number): string {
  return `${Number((share * 100).toPrecision(6))}%`;
}

/** "2026-01-31 12:05:09" for an ISO 8601 time; always UTC, so that listings of machines can be compared. */
export function shortTime(iso: string): string {
  return iso.replace("T", " ").replace(/(?:\.\d+)?Z$/, "");
}

/** For people, three figures or so: "0.42 s", "12.3 s", "4m 05s", "2h 03m". */
export function formatDuration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 9.995) return `${seconds.toFixed(2)} s`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const two = (n: number): string => String(n).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h ${two(Math.floor((whole % 3600) / 60))}m`;
}
