import { stripVTControlCharacters } from "node:util";

/*
 * Columns a text takes on a terminal: East Asian wide and fullwidth characters and emoji two, combining marks
 * none.
 */

const WIDE =
  /[\u1100-\u115F\u2E80-\u303E\u3041-\uA4CF\uA960-\uA97C\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\uFFE0-\uFFE6\u{1F300}-\u{1FAFF}\u{20000}-\u{3FFFD}]/u;
const ZERO = /[\p{Mn}\p{Me}\p{Cf}]/u;
// oxlint-disable-next-line no-control-regex -- control sequences are what it is about
const PIECES = /(?:\x1b\[[0-9;]*m)|./gsu;

function characterWidth(character: string): number {
  if (character < "\u0300") return 1;
  return ZERO.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
}

/** Columns of one line; ANSI colours count nothing. */
export function textWidth(text: string): number {
  let width = 0;
  for (const character of stripVTControlCharacters(text)) width += characterWidth(character);
  return width;
}

/** The text cut to at most `columns`, ending in "…" where something was cut. Colours stay balanced. */
export function truncateText(text: string, columns: number): string {
  if (textWidth(text) <= columns) return text;
  if (columns <= 0) return "";
  let width = 0;
  let out = "";
  let full = false;
  for (const [piece] of text.matchAll(PIECES)) {
    if (piece.startsWith("\x1b")) {
      out += piece;
      continue;
    }
    if (full) continue;
    const next = characterWidth(piece);
    if (width + next > columns - 1) {
      out += "…";
      full = true;
      continue;
    }
    out += piece;
    width += next;
  }
  return out;
}

/** The text with spaces added at its end, or before it, up to `columns`. */
export function padText(text: string, columns: number, side: "left" | "right" = "left"): string {
  const spaces = " ".repeat(Math.max(0, columns - textWidth(text)));
  return side === "left" ? text + spaces : spaces + text;
}
