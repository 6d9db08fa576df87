#!/usr/bin/env node
import { isatty } from "node:tty";
import { systemClock } from "../base/clock.ts";
import { SheafError } from "../base/errors.ts";
import { shellWord } from "../base/shell-word.ts";
import { type Command, type ExitCode, type Invocation, exitCodes } from "./command.ts";
import { commands } from "./commands.ts";
import type { ConnectFlags } from "./connection.ts";
import type { FlagSet } from "./flag.ts";
import { globalFlags } from "./flags.ts";
import { bindFlags, checkPositionals, tokenizeArguments } from "./parse-arguments.ts";
import { type World, ownStream, unwritable, writeTo } from "./world.ts";

const { stdout, stderr } = process;

// A reader that went away (`sheaf ... | head`) is no error: what was to be written is simply not wanted any
// more. Data that cannot be written is one; what is said to people is lost when there is no place for it.
let dataLost: Error | null = null;
stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") dataLost ??= error;
});
stderr.on("error", () => undefined);

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

const world: World = {
  cwd: process.cwd(),
  env: process.env,
  stdinIsTerminal: () => isatty(0),
  stdout: ownStream(stdout),
  stderr: ownStream(stderr),
  clock: systemClock,
  onSignal(callback) {
    for (const signal of SIGNALS) process.on(signal, callback);
    return () => {
      for (const signal of SIGNALS) process.off(signal, callback);
    };
  },
  die(signal) {
    for (const each of SIGNALS) process.removeAllListeners(each);
    process.kill(process.pid, signal);
  },
  onExit(callback) {
    process.on("exit", callback);
    return () => void process.off("exit", callback);
  },
};

const words = process.argv.slice(2);
let code = await dispatch(words, world);
// What is written must be out before the process ends; whatever a job left open (timers, sockets) must not
// keep it.
await Promise.all([writeTo(world.stdout, "").catch(() => false), writeTo(world.stderr, "")]);
if (dataLost !== null && code === exitCodes.ok) {
  const { reportError } = await import("./ui/summary.ts");
  code = await reportError(unwritable(dataLost), words, world);
}
process.exit(code);

type HelpLength = "short" | "long";

/**
 * Runs the command the words name. Never rejects: what goes wrong is said on standard error and in the exit
 * code.
 */
async function dispatch(words: readonly string[], world: World): Promise<ExitCode> {
  try {
    const [first, ...rest] = words;
    if (first === undefined || first === "-h" || first === "--help")
      return await showHelp(undefined, "long", world);
    if (first === "-V" || first === "--version")
      return await execute(await commands.find("version"), rest, world);
    if (first.startsWith("-")) throw flagBeforeCommand(first);
    const command = await commandFor(first);
    const help = helpAsked(rest);
    if (help !== undefined) return await showHelp(command.name, help, world);
    return await execute(command, rest, world);
  } catch (error) {
    const { reportError } = await import("./ui/summary.ts");
    return reportError(error, words, world);
  }
}

async function execute(command: Command, words: readonly string[], world: World): Promise<ExitCode> {
  const flags: FlagSet = { ...command.flags, ...globalFlags };
  const { texts, positionals } = tokenizeArguments(words, flags, command.name);
  const bound = bindFlags(texts, flags);
  checkPositionals(positionals, command);
  const values = (await connected(command, bound)) as Invocation<FlagSet>["flags"];
  return command.run({ flags: values, positionals, world, commands });
}

/** Where a command goes that asks a coordinator: one that takes a job file asks that file's own project. */
async function connected(command: Command, bound: Record<string, unknown>): Promise<Record<string, unknown>> {
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

async function commandFor(word: string): Promise<Command> {
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
