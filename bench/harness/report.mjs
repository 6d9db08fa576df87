// Tables of results: as text for a terminal, as markdown, as data.
import { formatSize } from "./size.mjs";

export function columnsOf(table) {
  return ["", "seconds", "MB/s", table.ratioName, "peak memory", "CPU s", "spread"];
}

export function cellsOf(row) {
  if (row.skipped !== null) return [row.name, `skipped: ${row.skipped.split("\n")[0]}`, "", "", "", "", ""];
  const spread =
    row.all.length < 2 ? "" : `${Math.min(...row.all).toFixed(2)}-${Math.max(...row.all).toFixed(2)}`;
  return [
    row.wrong === null ? row.name : `${row.name} (WRONG: ${row.wrong})`,
    row.seconds.toFixed(row.seconds < 1 ? 3 : 2),
    row.megabytesPerSecond === null
      ? ""
      : row.megabytesPerSecond.toFixed(row.megabytesPerSecond < 10 ? 1 : 0),
    row.ratio === null ? "" : row.ratio.toFixed(2),
    row.peakBytes === null ? "" : formatSize(row.peakBytes),
    row.cpuSeconds === null ? "" : row.cpuSeconds.toFixed(1),
    spread,
  ];
}

export function textTable(table) {
  const lines = [columnsOf(table), ...table.rows.map(cellsOf)];
  // A skipped row's reason may run on to the right without making its column wide.
  const width = (column) =>
    Math.max(...lines.map((cells) => (cells[column].startsWith("skipped") ? 7 : cells[column].length)));
  const widths = lines[0].map((_, column) => width(column));
  const format = (cells) =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join("  ");
  return `${table.title}\n${lines.map((cells) => `  ${format(cells)}`.trimEnd()).join("\n")}\n`;
}

export function markdownTable(table) {
  const columns = columnsOf(table);
  const line = (cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  const rule = `| --- |${" ---: |".repeat(columns.length - 1)}`;
  const lines = [line(columns), rule, ...table.rows.map((row) => line(cellsOf(row)))];
  return `### ${table.title}\n\n${lines.join("\n")}\n`;
}
