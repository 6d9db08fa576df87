import { parseArgs } from "node:util";
import { SheafError } from "../base/errors.ts";
import { suggest } from "../base/suggest.ts";
import { type CliCommand, usageOf } from "./command.ts";
import type { Flag, FlagSet } from "./flag.ts";

/** The arguments of one command as written, each flag's texts gathered; nothing is interpreted yet. */
export interface TokenizedArguments {
  /** By property name in the flag set. */
  readonly texts: ReadonlyMap<string, readonly string[]>;
  readonly positionals: readonly string[];
}

/**
 * Sorts the words after the command's name into flags and positionals: `--flag=value`, `--flag value`, `-f
 * value`, `-fvalue`, `--no-switch`, `--` ends flags.
 * @throws SheafError USAGE for a flag that does not exist, is given twice, or lacks (or cannot take) an
 * argument
 */
export function tokenizeArguments(
  words: readonly string[],
  flags: FlagSet,
  command: string,
): TokenizedArguments {
  const texts = new Map<string, string[]>();
  const positionals: string[] = [];
  for (const token of tokens(words, flags)) {
    if (token.kind === "positional") positionals.push(token.value);
    if (token.kind !== "option") continue;
    const { key, flag, negated } = findFlag(token, flags, command);
    const text =
      flag.arity === "switch"
        ? switchText(token, negated)
        : flag.arity === "optional" && token.inlineValue !== true
          ? ""
          : argumentText(token, flag);
    const before = texts.get(key);
    if (before === undefined) texts.set(key, [text]);
    else if (flag.arity === "many") before.push(text);
    else throw givenTwice(flag, before[0]!, text);
  }
  return { texts, positionals };
}

/** The values of the flags, read by their types. Switches are bound like any other. */
export function bindFlags(
  texts: ReadonlyMap<string, readonly string[]>,
  flags: FlagSet,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(flags).map(([key, flag]) => [key, flag.bind(texts.get(key) ?? [])]),
  );
}

/** @throws SheafError USAGE for too few or too many positionals, or one that is not among its choices */
export function checkPositionals(positionals: readonly string[], command: CliCommand): void {
  const usage = `Usage: ${usageOf(command)}`;
  const required = command.arguments.filter((argument) => argument.required);
  const missing = required[positionals.length];
  if (missing !== undefined) {
    throw new SheafError("USAGE", `sheaf ${command.name}: ${missing.name} is missing`, { hint: usage });
  }
  const takesMany = command.arguments.at(-1)?.many === true;
  const extra = positionals[command.arguments.length];
  if (extra !== undefined && !takesMany) {
    throw new SheafError("USAGE", `sheaf ${command.name}: "${extra}" is one argument too many`, {
      hint: usage,
    });
  }
  for (const [i, argument] of command.arguments.entries()) {
    const given = positionals[i];
    if (given === undefined || argument.choices === undefined || argument.choices.includes(given)) continue;
    const near = suggest(given, argument.choices);
    throw new SheafError("USAGE", `sheaf ${command.name}: ${argument.name} is "${given}"`, {
      hint: near === undefined ? `It may be ${argument.choices.join(", ")}.` : `Did you mean ${near}?`,
    });
  }
}

type Token = NonNullable<ReturnType<typeof parseArgs>["tokens"]>[number];
type OptionToken = Extract<Token, { kind: "option" }>;

function tokens(words: readonly string[], flags: FlagSet): readonly Token[] {
  const options: Record<string, { type: "string" | "boolean"; short?: string }> = {};
  for (const flag of Object.values(flags)) {
    options[flag.name] = {
      type: flag.arity === "switch" || flag.arity === "optional" ? "boolean" : "string",
      ...(flag.short !== undefined && { short: flag.short }),
    };
  }
  return parseArgs({ args: [...words], options, strict: false, allowPositionals: true, tokens: true }).tokens;
}

function findFlag(
  token: OptionToken,
  flags: FlagSet,
  command: string,
): { readonly key: string; readonly flag: Flag<unknown>; readonly negated: boolean } {
  const entries = Object.entries(flags);
  const named = entries.find(([, flag]) => flag.name === token.name);
  if (named !== undefined) return { key: named[0], flag: named[1], negated: false };

  const positive = token.name.startsWith("no-") ? token.name.slice(3) : undefined;
  const switched = entries.find(([, flag]) => flag.name === positive && flag.arity === "switch");
  if (switched !== undefined) return { key: switched[0], flag: switched[1], negated: true };

  const names = entries.map(([, flag]) => flag.name);
  const near = token.rawName.startsWith("--") ? suggest(token.name, names) : undefined;
  throw new SheafError("USAGE", `sheaf ${command}: there is no flag ${token.rawName}`, {
    hint: near === undefined ? `See sheaf ${command} -h for its flags.` : `Did you mean --${near}?`,
  });
}

function switchText(token: OptionToken, negated: boolean): string {
  if (token.inlineValue !== true) return String(!negated);
  if (!negated && (token.value === "true" || token.value === "false")) return token.value;
  throw new SheafError("USAGE", `${token.rawName} takes no argument, but "${token.value}" was given`, {
    hint: `Write --${token.name} for on and --no-${token.name} for off.`,
  });
}

function argumentText(token: OptionToken, flag: Flag<unknown>): string {
  const example = `--${flag.name}=${flag.placeholder}`;
  if (token.value === undefined) {
    throw new SheafError("USAGE", `${token.rawName} needs an argument`, { hint: `Write ${example}.` });
  }
  // A lone "-" is an argument (standard input); anything else with a dash is a flag whose predecessor lacks
  // its argument.
  if (token.inlineValue !== true && /^-[^\d]/.test(token.value)) {
    throw new SheafError("USAGE", `${token.rawName} needs an argument, but the flag ${token.value} follows`, {
      hint: `Write ${example}; an argument that begins with a dash needs the "=".`,
    });
  }
  return token.value;
}

function givenTwice(flag: Flag<unknown>, first: string, second: string): SheafError {
  const values = flag.arity === "switch" ? "" : ` ("${first}", then "${second}")`;
  return new SheafError("USAGE", `--${flag.name} is given twice${values}`, { hint: "Give it once." });
}
