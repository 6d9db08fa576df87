import type { Command, HelpSection } from "./command.ts";
import { usageOf } from "./command.ts";
import { exitCodeDocs } from "./exit-code.ts";
import type { Flag, FlagSet } from "./flag.ts";
import { globalFlags } from "./global-flags.ts";
import { argumentSection, flagSections, flagTerm } from "./help-text.ts";

/** docs/cli.md: the whole command line as one page. */
export async function helpMarkdown(commands: readonly Command[]): Promise<string> {
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

async function commandParts(command: Command): Promise<readonly string[]> {
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
    ...command.examples.map((example) => `${example.doc}:\n\n    ${example.command}`),
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
