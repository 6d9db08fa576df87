import { packageVersion } from "../../base/package-places.ts";
import {
  type CliCommand,
  type CommandTable,
  type ExitCode,
  type HelpSection,
  type Invocation,
  exitCodeDocs,
  exitCodes,
  usageOf,
} from "../command.ts";
import { type Flag, type FlagSet, flagCategories, inCategory, switchFlag } from "../flag.ts";
import { globalFlags } from "../flags.ts";
import { type Style, styleFor } from "../ui/style.ts";
import { definitions, paragraph, termColumns } from "../ui/text.ts";
import { type World, writeTo } from "../world.ts";

export const helpFlags = inCategory("Display", {
  markdown: switchFlag("--markdown", "All of it as one Markdown page: docs/cli.md"),
});

export const helpCommand: CliCommand<typeof helpFlags> = {
  name: "help",
  summary: "Show help for sheaf or one of its commands",
  details: [],
  arguments: [{ name: "COMMAND", doc: "Command to explain", required: false }],
  flags: helpFlags,
  examples: [["sheaf help run", "The same as sheaf run --help"]],
  run,
};

async function run({ flags, positionals, world, commands }: Invocation<typeof helpFlags>): Promise<ExitCode> {
  if (flags.markdown === true) {
    await writeTo(world.stdout, await helpMarkdown(await commands.all()));
  } else {
    await help(commands, positionals[0], "long", world);
  }
  return exitCodes.ok;
}

/** Help for one command, or the overview. */
export async function help(
  commands: CommandTable,
  name: string | undefined,
  length: "short" | "long",
  world: World,
): Promise<void> {
  const look: HelpLook = {
    width: Math.min(Math.max(world.stdout.columns ?? 80, 40), 100),
    style: styleFor(world.stdout, world.env),
  };
  if (name === undefined) {
    await writeTo(world.stdout, overviewText(await commands.all(), packageVersion(), look));
    return;
  }
  const command = await commands.find(name);
  await writeTo(world.stdout, length === "short" ? shortHelp(command, look) : await longHelp(command, look));
}

interface HelpLook {
  /** Columns to wrap at. */
  readonly width: number;
  readonly style: Style;
}

/** What `sheaf` alone says. */
function overviewText(commands: readonly CliCommand[], version: string, look: HelpLook): string {
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
function shortHelp(command: CliCommand, look: HelpLook): string {
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
export async function longHelp(command: CliCommand, look: HelpLook): Promise<string> {
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
function flagTerm(flag: Flag<unknown>): string {
  const short = flag.short === undefined ? "    " : `-${flag.short}, `;
  const argument = flag.type?.choices?.join("|") ?? flag.placeholder;
  const shown = flag.arity === "optional" ? `[=${argument}]` : argument === undefined ? "" : ` ${argument}`;
  return `${short}--${flag.name}${shown}`;
}

/** A command's own flags and those every command has. */
export function allFlags(command: CliCommand): FlagSet {
  return { ...command.flags, ...globalFlags };
}

/** The flags by category, in the order of the categories; empty ones are left out. */
function flagSections(flags: FlagSet): readonly (readonly [string, readonly Flag<unknown>[]])[] {
  return flagCategories
    .map(
      (category) =>
        [category, Object.values(flags).filter((flag) => (flag.category ?? "Display") === category)] as const,
    )
    .filter(([, list]) => list.length > 0);
}

function argumentSection(command: CliCommand): readonly HelpSection[] {
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

function exampleSection(command: CliCommand, look: HelpLook): readonly string[] {
  if (command.examples.length === 0) return [];
  const examples = command.examples.map(
    ([line, doc]) => `${paragraph(`${doc}:`, look.width, 2)}\n    ${look.style.cyan(line)}`,
  );
  return [`${look.style.bold("Examples")}\n${examples.join("\n")}`];
}

function sections(parts: readonly string[]): string {
  return `${parts.join("\n\n")}\n`;
}

/** docs/cli.md: the whole command line as one page. */
async function helpMarkdown(commands: readonly CliCommand[]): Promise<string> {
  const parts = [
    "# The command line",
    "Made by `sheaf help --markdown`; a test holds this page against the program. Change the flags in `src/cli/`, not this page.",
    commands
      .map((command) => `- [\`sheaf ${command.name}\`](#sheaf-${command.name}): ${command.summary}`)
      .join("\n"),
    "Flags bind by name, anywhere after the command: `--flag value`, `--flag=value`, `-f value`. A switch is turned off by " +
      "`--no-flag`. `--` ends the flags. A flag that does not exist, or is given twice, is an error. Sizes are bytes or " +
      "have a unit of 1024 (`64KiB`, `256M`, `1.5GiB`); times have a unit (`500ms`, `30s`, `2m`).",
    "Standard output carries data only: results, listings, events. Everything said to people goes to standard error.",
    "## Exit codes",
    markdownTable(
      ["code", "meaning"],
      exitCodeDocs.map(([code, doc]) => [String(code), doc]),
    ),
    "## Flags of every command",
    flagTable(globalFlags),
  ];
  for (const command of commands) parts.push(...(await commandParts(command)));
  return `${parts.join("\n\n")}\n`;
}

async function commandParts(command: CliCommand): Promise<readonly string[]> {
  const appendix = (await command.appendix?.()) ?? [];
  return [
    `## sheaf ${command.name}`,
    `${command.summary}.`,
    `    ${usageOf(command)}${Object.keys(command.flags).length > 0 ? " [FLAG...]" : ""}`,
    ...command.details,
    ...[...argumentSection(command), ...appendix].map(sectionMarkdown),
    ...flagSections(command.flags).map(
      ([category, flags]) =>
        `### ${category}\n\n${flagTable(Object.fromEntries(flags.map((f) => [f.name, f])))}`,
    ),
    ...command.examples.map(([line, doc]) => `${doc}:\n\n    ${line}`),
  ];
}

function flagTable(flags: FlagSet): string {
  return markdownTable(["flag", "meaning", "default"], Object.values(flags).map(flagRow));
}

function flagRow(flag: Flag<unknown>): readonly string[] {
  const more = flag.details === undefined ? "" : ` ${flag.details}`;
  return [`\`${flagTerm(flag).trim()}\``, `${flag.doc}.${more}`, flag.default ?? ""];
}

function sectionMarkdown(section: HelpSection): string {
  return `### ${section.title}\n\n${markdownTable(
    ["", ""],
    section.entries.map(([term, text]) => [`\`${term}\``, text]),
  )}`;
}

function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
