import { describeThrown, isSheafError } from "../base/errors.ts";
import { asShortage } from "../storage/fs-error.ts";
import { exitCodeOf, exitCodes } from "./exit-code.ts";
import type { ExitCode } from "./exit-code.ts";
import type { ColorWhen, Style } from "./ui/style.ts";
import { styleFor } from "./ui/style.ts";
import type { World } from "./world.ts";
import { writeTo } from "./world.ts";

/**
 * Says on standard error what went wrong and what to do (with --json also on standard output), and how to
 * exit.
 */
export async function reportError(
  thrown: unknown,
  words: readonly string[],
  world: World,
): Promise<ExitCode> {
  const error = asShortage(thrown) ?? thrown;
  const known = isSheafError(error) ? error : undefined;
  const code = known?.code ?? "INTERNAL";
  if (words.includes("--json")) {
    const event = { kind: "error", code, message: describeThrown(error), hint: known?.hint ?? null };
    // It may be standard output that is wrong.
    await writeTo(world.stdout, `${JSON.stringify(event)}\n`).catch(() => false);
  }
  await writeTo(
    world.stderr,
    errorText(error, words.includes("--debug"), styleFor(world.stderr, world.env, colorIn(words))),
  );
  return known === undefined ? exitCodes.internal : exitCodeOf(known.code);
}

/** What --color says, if the words say it rightly: they may be what is wrong. */
function colorIn(words: readonly string[]): ColorWhen {
  const at = words.findIndex((word) => word === "--color" || word.startsWith("--color="));
  const value =
    at < 0 ? undefined : words[at] === "--color" ? words[at + 1] : words[at]!.slice("--color=".length);
  return value === "always" || value === "never" ? value : "auto";
}

/**
 * The one-screen report of a failed task as it is; else message, code and hint; with the stack for bugs and
 * --debug.
 */
export function errorText(error: unknown, debug: boolean, style: Style): string {
  const known = isSheafError(error) ? error : undefined;
  const code = known?.code ?? "INTERNAL";
  const lines: string[] = [];
  if (known !== undefined && "report" in known && typeof known.report === "string") {
    // A report has the hint in it.
    lines.push(reportText(known.report, code, style));
  } else {
    lines.push(reportText(describeThrown(error), code, style));
    if (known?.hint !== undefined) lines.push(...known.hint.split("\n").map((line) => `  ${line}`));
  }
  if (code === "INTERNAL") lines.push("  This is a bug in sheaf. Please report it with the stack below.");
  if ((debug || code === "INTERNAL") && error instanceof Error) lines.push(style.dim(stackText(error)));
  return `${lines.join("\n")}\n`;
}

/** The text as an error of this code. Ends without newline. */
export function reportText(text: string, code: string, style: Style): string {
  const [headline, ...rest] = text.trimEnd().split("\n");
  // Of a short report the hint stands right below, as it does for other errors.
  if (rest.length === 2 && rest[0] === "") rest.shift();
  return [`${style.red(style.bold("error:"))} ${headline} ${style.dim(`[${code}]`)}`, ...rest].join("\n");
}

/** The stack and those of its causes, without the message, which has been said. */
function stackText(error: Error): string {
  const frames = (error.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  const cause =
    error.cause instanceof Error ? `\n  caused by: ${error.cause.stack ?? error.cause.message}` : "";
  return frames.join("\n") + cause;
}
