import type { Command, HelpSection } from "./command.ts";
import { usageOf } from "./command.ts";
import { exitCodeDocs } from "./exit-code.ts";
import type { Flag, FlagSet } from "./flag.ts";
import { flagCategories } from "./flag.ts";
import { globalFlags } from "./global-flags.ts";
import { definitions, paragraph, termColumns } from "./ui/layout.ts";
import type { Style } from "./ui/style.ts";

export interface HelpLook {
  /** Columns to wrap at. */
  readonly width: number;
  readonly style: Style;
}

/** What `sheaf` alone says. */
export function overviewText(commands: readonly Command[], version: string, look: HelpLook): string {
  const { style, width } = look;
  const heading = (text: string): string => style.bold(text);
  return sections([
    `sheaf ${version}: MapReduce for people who write TypeScript`,
    `${heading("Usage")}\n  sheaf COMMAND [ARGUMENT...] [FLAG...]`,
    `${heading("Commands")}\n${definitions(
      commands.map((c) => [c.name, c.summary]),
      width,
    )}`,
    `${heading("To begin")}\n${definitions(
      [
        ["sheaf init counts", "Write a starter project to counts/"],
        ["sheaf run JOB INPUT... -o DIR", "Run a job, results in DIR"],
        ["sheaf COMMAND --help", "Everything about a command; -h is shorter"],
      ],
      width,
    )}`,
    `${heading("Exit codes")}\n${definitions(
      exitCodeDocs.map(([code, doc]) => [String(code), doc]),
      width,
    )}`,
  ]);
}

/** `-h`: a line per flag. */
export function shortHelp(command: Command, look: HelpLook): string {
  const { style, width } = look;
  const entry = (flag: Flag<unknown>): [string, string] => [flagTerm(flag), flag.doc];
  const columns = termColumns(Object.values(allFlags(command)).map(entry));
  const flags = flagSections(allFlags(command)).map(
    ([category, list]) => `${style.bold(category)}\n${definitions(list.map(entry), width, columns)}`,
  );
  return sections([
    command.summary,
    `${style.bold("Usage")}\n  ${usageOf(command)}${Object.keys(command.flags).length > 0 ? " [FLAG...]" : ""}`,
    ...flags,
    `sheaf ${command.name} --help says more.`,
  ]);
}

/** `--help`: everything. */
export async function longHelp(command: Command, look: HelpLook): Promise<string> {
  const { style, width } = look;
  const flags = flagSections(allFlags(command)).map(
    ([category, list]) =>
      `${style.bold(category)}\n${list.map((flag) => flagParagraph(flag, look)).join("\n\n")}`,
  );
  const appendix = (await command.appendix?.()) ?? [];
  return sections([
    command.summary,
    `${style.bold("Usage")}\n  ${usageOf(command)}${Object.keys(command.flags).length > 0 ? " [FLAG...]" : ""}`,
    ...command.details.map((text) => paragraph(text, width, 0)),
    ...argumentSection(command).map((section) => sectionText(section, look)),
    ...appendix.map((section) => sectionText(section, look)),
    ...flags,
    ...exampleSection(command, look),
  ]);
}

/** "-o, --output DIR". */
export function flagTerm(flag: Flag<unknown>): string {
  const short = flag.short === undefined ? "    " : `-${flag.short}, `;
  const argument = flag.type?.choices?.join("|") ?? flag.placeholder;
  const shown = flag.arity === "optional" ? `[=${argument}]` : argument === undefined ? "" : ` ${argument}`;
  return `${short}--${flag.name}${shown}`;
}

/** A command's own flags and those every command has. */
export function allFlags(command: Command): FlagSet {
  return { ...command.flags, ...globalFlags };
}

/** The flags by category, in the order of the categories; empty ones are left out. */
export function flagSections(flags: FlagSet): readonly (readonly [string, readonly Flag<unknown>[]])[] {
  return flagCategories
    .map((category) => [category, Object.values(flags).filter((flag) => flag.category === category)] as const)
    .filter(([, list]) => list.length > 0);
}

export function argumentSection(command: Command): readonly HelpSection[] {
  if (command.arguments.length === 0) return [];
  return [{ title: "Arguments", entries: command.arguments.map((a) => [a.name, a.doc]) }];
}

function sectionText(section: HelpSection, look: HelpLook): string {
  return `${look.style.bold(section.title)}\n${definitions(section.entries, look.width)}`;
}

function flagParagraph(flag: Flag<unknown>, look: HelpLook): string {
  const more = flag.details === undefined ? "" : ` ${flag.details}`;
  const standard = flag.default === undefined ? "" : ` Default: ${flag.default}.`;
  return `  ${look.style.cyan(flagTerm(flag))}\n${paragraph(`${flag.doc}.${more}${standard}`, look.width, 10)}`;
}

function exampleSection(command: Command, look: HelpLook): readonly string[] {
  if (command.examples.length === 0) return [];
  const examples = command.examples.map(
    (example) => `${paragraph(`${example.doc}:`, look.width, 2)}\n    ${look.style.cyan(example.command)}`,
  );
  return [`${look.style.bold("Examples")}\n${examples.join("\n")}`];
}

function sections(parts: readonly string[]): string {
  return `${parts.join("\n\n")}\n`;
}
