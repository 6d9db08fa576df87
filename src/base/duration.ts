import { SheafError } from "./errors.ts";

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/**
 * Milliseconds meant by "500ms", "30s", "1.5m", "2h". A bare number is refused: it could mean either.
 * @throws SheafError USAGE when the text is no duration; `what` names the flag in the message.
 */
export function parseDuration(text: string, what: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d|w)\s*$/i.exec(text);
  const ms =
    match === null
      ? text.trim() === "0"
        ? 0
        : Number.NaN
      : Number(match[1]) * UNIT_MS[match[2]!.toLowerCase()]!;
  if (!Number.isFinite(ms)) {
    throw new SheafError("USAGE", `${what}: "${text}" is not a duration`, {
      hint: 'Give a number with a unit: "500ms", "30s", "2m", "1h", "7d".',
    });
  }
  return Math.round(ms);
}
