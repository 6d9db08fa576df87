import { padText, textWidth } from "./text-width.ts";

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

export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
}

/** Rows under titles, columns as wide as they need. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const widths = columns.map((column, i) =>
    Math.max(textWidth(column.title), ...rows.map((row) => textWidth(row[i] ?? ""))),
  );
  const line = (cells: readonly string[]): string =>
    columns
      .map((column, i) => padText(cells[i] ?? "", widths[i]!, column.align === "right" ? "right" : "left"))
      .join("  ")
      .trimEnd();
  return [line(columns.map((column) => column.title)), ...rows.map(line)];
}
