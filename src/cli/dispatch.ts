import { SheafError } from "../base/errors.ts";
import { shellWord } from "../base/shell-word.ts";
import { type CliCommand, type ExitCode, type Invocation, exitCodes } from "./command.ts";
import { commands } from "./commands.ts";
import type { ConnectFlags } from "./connection.ts";
import type { FlagSet } from "./flag.ts";
import { globalFlags } from "./flags.ts";
import { bindFlags, checkPositionals, tokenizeArguments } from "./parse-arguments.ts";
import type { World } from "./world.ts";

type HelpLength = "short" | "long";

/**
 * Runs the command the words name. Never rejects: what goes wrong is said on standard error and in the exit
 * code.
 */
export async function dispatch(words: readonly string[], world: World): Promise<ExitCode> {
  try {
    const [first, ...rest] = words;
    if (first === undefined || first === "-h" || first === "--help")
      return await showHelp(undefined, "long", world);
    if (first === "-V" || first === "--version")
      return await execute(await commands.find("version"), rest, world);
    if (first.startsWith("-")) throw flagBeforeCommand(first);
    const command = await commandFor(first);
    const own = command.words?.(rest) ?? rest;
    const help = helpAsked(own);
    if (help !== undefined) return await showHelp(command.name, help, world);
    return await execute(command, own, world);
  } catch (error) {
    const { reportError } = await import("./ui/summary.ts");
    return reportError(error, words, world);
  }
}

async function execute(command: CliCommand, words: readonly string[], world: World): Promise<ExitCode> {
  const flags: FlagSet = { ...command.flags, ...globalFlags };
  const end = command.passes === undefined ? -1 : words.indexOf("--");
  const [own, passed] = end < 0 ? [words, []] : [words.slice(0, end), words.slice(end + 1)];
  const { texts, positionals } = tokenizeArguments(own, flags, command.name);
  const bound = bindFlags(texts, flags);
  checkPositionals(positionals, command);
  const values = (await connected(command, bound, world)) as Invocation<FlagSet>["flags"];
  return command.run({ flags: values, positionals, passed, world, commands });
}

/** Where a command goes that asks a coordinator: one that takes a job file asks that file's own project. */
async function connected(
  command: CliCommand,
  bound: Record<string, unknown>,
  world: World,
): Promise<Record<string, unknown>> {
  const takesJob = command.arguments.some(({ complete }) => complete === "job");
  if (!("profile" in command.flags) || takesJob) return bound;
  const { connectedByProject } = await import("./connection.ts");
  return { ...(await connectedByProject(bound as unknown as ConnectFlags, world)) };
}

async function showHelp(name: string | undefined, length: HelpLength, world: World): Promise<ExitCode> {
  const { help } = await import("./command/help.ts");
  await help(commands, name, length, world);
  return exitCodes.ok;
}

/** Help is given whatever else is on the line, right or wrong. */
function helpAsked(words: readonly string[]): HelpLength | undefined {
  const end = words.indexOf("--");
  const flags = end < 0 ? words : words.slice(0, end);
  return flags.includes("--help") ? "long" : flags.includes("-h") ? "short" : undefined;
}

async function commandFor(word: string): Promise<CliCommand> {
  if (!commands.names.includes(word) && /[./\\]/.test(word)) {
    throw new SheafError("USAGE", `there is no command "${word}"`, {
      hint: `Did you mean sheaf run ${shellWord(word)}?`,
    });
  }
  return commands.find(word);
}

function flagBeforeCommand(word: string): SheafError {
  return new SheafError("USAGE", `${word} stands where a command should`, {
    hint: "Write the command first, then its flags: sheaf run job.ts -o out. See sheaf help.",
  });
}
