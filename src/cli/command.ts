import type { ErrorCode } from "../base/errors.ts";
import type { FlagSet, FlagValues } from "./flag.ts";
import type { globalFlags } from "./flags.ts";
import type { World } from "./world.ts";

/** A positional argument. Required ones come first; only the last may be `many`. */
export interface Argument {
  /** As in help: "JOB". */
  readonly name: string;
  readonly doc: string;
  readonly required: boolean;
  readonly many?: boolean;
  /** The words it may be, where it is one of a few. */
  readonly choices?: readonly string[];
  /** What a shell may offer: files, jobs by name besides files, or handles of jobs that ran here. */
  readonly complete?: "path" | "job" | "handle";
}

/** A command line, and what it is for. */
export type Example = readonly [command: string, doc: string];

/** A titled list in help: terms with what they mean. */
export interface HelpSection {
  readonly title: string;
  readonly entries: readonly (readonly [term: string, meaning: string])[];
}

/** What a command is given when it runs. */
export interface Invocation<F extends FlagSet> {
  readonly flags: FlagValues<F> & FlagValues<typeof globalFlags>;
  readonly positionals: readonly string[];
  /** What stands after --, of a command that passes it on. */
  readonly passed: readonly string[];
  readonly world: World;
  readonly commands: CommandTable;
}

/** The commands there are. Each is loaded when it is needed. */
export interface CommandTable {
  /** In the order help lists them. */
  readonly names: readonly string[];
  /** @throws SheafError USAGE, with the nearest name, when there is no such command */
  find(name: string): Promise<CliCommand>;
  all(): Promise<readonly CliCommand[]>;
}

/** A command as one value: everything that help, completion and docs/cli.md say, and what it does. */
export interface CliCommand<F extends FlagSet = FlagSet> {
  readonly name: string;
  /** One line, no full stop. */
  readonly summary: string;
  /** Paragraphs, for `--help` and the docs. */
  readonly details: readonly string[];
  readonly arguments: readonly Argument[];
  /** Words after -- are not its own: it passes them on, under this name in help. */
  readonly passes?: string;
  readonly flags: F;
  readonly examples: readonly Example[];
  /** Its words as they would be written with two dashes, for a command whose flags others have named. */
  words?(words: readonly string[]): string[];
  /** More sections for `--help` and the docs, from code that need not be loaded otherwise. */
  appendix?(): Promise<readonly HelpSection[]>;
  /** What it needs beyond showing help it loads itself. */
  run(invocation: Invocation<F>): Promise<ExitCode>;
}

/** The fields that are not undefined. Where a field is left out, the default of the callee holds. */
export function given<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/** "sheaf run JOB [INPUT...]": the usage line without flags. */
export function usageOf(command: CliCommand): string {
  const parts = command.arguments.map((argument) => {
    const name = argument.many === true ? `${argument.name}...` : argument.name;
    return argument.required ? name : `[${name}]`;
  });
  const passed = command.passes === undefined ? [] : [`[-- ${command.passes}...]`];
  return ["sheaf", command.name, ...parts, ...passed].join(" ");
}

/** What the process says when it ends. Scripts rely on these numbers: frozen. */
export const exitCodes = {
  ok: 0,
  /** The job failed, or could not start: a bad job file, no input, an output that exists. */
  failed: 1,
  /** A wrong command, flag or argument: nothing was tried. */
  usage: 2,
  /**
   * Stopped by the user (SIGINT, SIGTERM), and cleaned up. A second signal kills: shells then show 130 or
   * 143.
   */
  cancelled: 3,
  /** A bug in sheaf. */
  internal: 4,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** One line each, for help and docs. */
export const exitCodeDocs: readonly (readonly [ExitCode, string])[] = [
  [0, "the command did what was asked"],
  [1, "the job failed, or could not start (bad job file, no input, output exists ...)"],
  [2, "wrong command, flag or argument: nothing was tried"],
  [3, "stopped by Ctrl-C (SIGINT) or SIGTERM and cleaned up; a second Ctrl-C kills at once (130)"],
  [4, "a bug in sheaf"],
];

export function exitCodeOf(code: ErrorCode): ExitCode {
  switch (code) {
    case "USAGE":
      return exitCodes.usage;
    case "CANCELLED":
      return exitCodes.cancelled;
    case "INTERNAL":
      return exitCodes.internal;
    default:
      return exitCodes.failed;
  }
}
