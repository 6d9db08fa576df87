import type { ExitCode } from "./exit-code.ts";
import type { FlagSet, FlagValues } from "./flag.ts";
import type { globalFlags } from "./global-flags.ts";
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

export interface Example {
  readonly command: string;
  readonly doc: string;
}

/** A titled list in help: terms with what they mean. */
export interface HelpSection {
  readonly title: string;
  readonly entries: readonly (readonly [term: string, meaning: string])[];
}

/** What a command is given when it runs. */
export interface Invocation<F extends FlagSet> {
  readonly flags: FlagValues<F> & FlagValues<typeof globalFlags>;
  readonly positionals: readonly string[];
  readonly world: World;
}

/** The code of a command, loaded only when it is the one that was asked for. */
export interface Action<F extends FlagSet> {
  run(invocation: Invocation<F>): Promise<ExitCode>;
}

/** A command as one value: everything that help, completion and docs/cli.md say, and where its code is. */
export interface Command<F extends FlagSet = FlagSet> {
  readonly name: string;
  /** One line, no full stop. */
  readonly summary: string;
  /** Paragraphs, for `--help` and the docs. */
  readonly details: readonly string[];
  readonly arguments: readonly Argument[];
  readonly flags: F;
  readonly examples: readonly Example[];
  /** More sections for `--help` and the docs, from code that need not be loaded otherwise. */
  appendix?(): Promise<readonly HelpSection[]>;
  load(): Promise<Action<F>>;
}

/** "sheaf run JOB [INPUT...]": the usage line without flags. */
export function usageOf(command: Command): string {
  const parts = command.arguments.map((argument) => {
    const name = argument.many === true ? `${argument.name}...` : argument.name;
    return argument.required ? name : `[${name}]`;
  });
  return ["sheaf", command.name, ...parts].join(" ");
}
