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
    text === "" ? "" : `\x1b[${on}m${text}\x1b[${off}m`;

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
