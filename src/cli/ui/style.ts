import { randomInt } from "node:crypto";
import { controls, escapeControls } from "../../base/escape-controls.ts";

/**
 * What our own sequences begin with until they are printed: no text from elsewhere can, since nobody else
 * knows it. Four digits at most, so that code that looks for sequences of a terminal finds these as well.
 */
const mark = `\x1b[${randomInt(1_000, 10_000)};${randomInt(1_000, 10_000)};`;
const ownOrControl = new RegExp(
  `${mark.replace("[", String.raw`\[`)}([?0-9;]*[A-Za-z])|${controls.source}`,
  "g",
);

const colourOrControl = new RegExp(String.raw`\x1b\[[0-9;]*m|\r\n|${controls.source}`, "g");

/** A control sequence of our own, "2A" or "?25l": the only kind that gets through `printed`. */
export function ownSequence(body: string): string {
  return mark + body;
}

/** The text with everything escaped that does something to a terminal, but lines, tabs and our own. */
export function escapeForeign(text: string): string {
  return text.replace(ownOrControl, (found, own?: string) =>
    own === undefined ? escapeControls(found, "\n\t") : found,
  );
}

/** The text as it may go to a terminal: our own sequences work, all others are shown. */
export function printed(text: string): string {
  return escapeForeign(text).replaceAll(mark, "\x1b[");
}

/** The text with all escaped but lines, tabs and colours, whose ever they are. */
export function keepColours(text: string): string {
  return text.replace(colourOrControl, (found) => (found.length > 1 ? found : escapeControls(found, "\n\t")));
}

/** Marks text for the eye. The plain one returns text as it is. */
export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
  cyan(text: string): string;
}

const as = (text: string): string => text;
export const plainStyle: Style = { bold: as, dim: as, red: as, green: as, yellow: as, cyan: as };

const sgr =
  (on: number, off: number) =>
  (text: string): string =>
    text === "" ? "" : `${ownSequence(`${on}m`)}${text}${ownSequence(`${off}m`)}`;

export const ansiStyle: Style = {
  bold: sgr(1, 22),
  dim: sgr(2, 22),
  red: sgr(31, 39),
  green: sgr(32, 39),
  yellow: sgr(33, 39),
  cyan: sgr(36, 39),
};

export type ColorWhen = "auto" | "always" | "never";

/**
 * The style for one stream. "auto" follows https://no-color.org: no colours when NO_COLOR is set and not
 * empty, on a dumb terminal, or where there is no terminal (unless FORCE_COLOR asks for them).
 */
export function styleFor(
  stream: { readonly isTTY?: boolean },
  env: Readonly<Record<string, string | undefined>>,
  when: ColorWhen = "auto",
): Style {
  if (when !== "auto") return when === "always" ? ansiStyle : plainStyle;
  if ((env["NO_COLOR"] ?? "") !== "") return plainStyle;
  const force = env["FORCE_COLOR"];
  if (force !== undefined) return force === "0" || force === "false" ? plainStyle : ansiStyle;
  return stream.isTTY === true && env["TERM"] !== "dumb" ? ansiStyle : plainStyle;
}
