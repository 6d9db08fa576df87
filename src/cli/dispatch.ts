import { SheafError } from "../base/errors.ts";
import { shellWord } from "../base/shell-word.ts";
import type { Command, Invocation } from "./command.ts";
import { commandNames, findCommand } from "./commands.ts";
import { exitCodes } from "./exit-code.ts";
import type { ExitCode } from "./exit-code.ts";
import type { FlagSet } from "./flag.ts";
import { globalFlags } from "./global-flags.ts";
import { bindFlags, checkPositionals, tokenizeArguments } from "./parse-arguments.ts";
import type { World } from "./world.ts";

/**
 * Runs the command the words name. Never rejects: what goes wrong is said on standard error and in the exit
 * code.
 */
export async function dispatch(words: readonly string[], world: World): Promise<ExitCode> {
  try {
    const [first, ...rest] = words;
    if (first === undefined || first === "-h" || first === "--help") return await showHelp([], world);
    if (first === "-V" || first === "--version")
      return await execute(await findCommand("version"), rest, world);
    if (first.startsWith("-")) throw flagBeforeCommand(first);
    const command = await commandFor(first);
    const help = helpAsked(rest);
    if (help !== undefined)
      return await showHelp([command.name, ...(help === "short" ? ["--short"] : [])], world);
    return await execute(command, rest, world);
  } catch (error) {
    const { reportError } = await import("./report-error.ts");
    return reportError(error, words, world);
  }
}

async function execute(command: Command, words: readonly string[], world: World): Promise<ExitCode> {
  const flags: FlagSet = { ...command.flags, ...globalFlags };
  const { texts, positionals } = tokenizeArguments(words, flags, command.name);
  const values = bindFlags(texts, flags);
  checkPositionals(positionals, command);
  const action = await command.load();
  return action.run({ flags: values as Invocation<FlagSet>["flags"], positionals, world });
}

async function showHelp(words: readonly string[], world: World): Promise<ExitCode> {
  const { help } = await import("./action/help.ts");
  const short = words.includes("--short");
  await help(
    words.find((word) => word !== "--short"),
    short ? "short" : "long",
    world,
  );
  return exitCodes.ok;
}

/** Help is given whatever else is on the line, right or wrong. */
function helpAsked(words: readonly string[]): "short" | "long" | undefined {
  const end = words.indexOf("--");
  const flags = end < 0 ? words : words.slice(0, end);
  if (flags.includes("--help")) return "long";
  return flags.includes("-h") ? "short" : undefined;
}

async function commandFor(word: string): Promise<Command> {
  if (!commandNames.includes(word) && /[./\\]/.test(word)) {
    throw new SheafError("USAGE", `there is no command "${word}"`, {
      hint: `Did you mean sheaf run ${shellWord(word)}?`,
    });
  }
  return findCommand(word);
}

function flagBeforeCommand(word: string): SheafError {
  return new SheafError("USAGE", `${word} stands where a command should`, {
    hint: "Write the command first, then its flags: sheaf run job.ts -o out. See sheaf help.",
  });
}
