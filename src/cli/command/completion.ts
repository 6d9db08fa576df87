import { listJobs } from "../../engine/job-history.ts";
import { type CliCommand, type ExitCode, type Invocation, exitCodes } from "../command.ts";
import { projectReading, stateDirectoryOf } from "../connection.ts";
import type { Flag } from "../flag.ts";
import { type World, writeTo } from "../world.ts";
import { allFlags } from "./help.ts";

const noFlags = {};

export const completionCommand: CliCommand<typeof noFlags> = {
  name: "completion",
  summary: "Print a completion script for your shell",
  details: [
    "The script knows every command and flag of this version. Names of jobs (of the project file) and handles of those that " +
      "ran here it asks for with sheaf completion jobs and sheaf completion handles, a line each.",
  ],
  arguments: [
    {
      name: "SHELL",
      doc: "bash, zsh or fish; or jobs, handles: what their scripts ask for",
      required: true,
      choices: ["bash", "zsh", "fish", "jobs", "handles"],
    },
  ],
  flags: noFlags,
  examples: [
    ["source <(sheaf completion bash)", "In ~/.bashrc"],
    ["sheaf completion zsh > ~/.zfunc/_sheaf", "A directory of $fpath, before compinit"],
    ["sheaf completion fish > ~/.config/fish/completions/sheaf.fish", "For fish"],
  ],
  run,
};

async function run({ positionals, world, commands }: Invocation<{}>): Promise<ExitCode> {
  // checkPositionals has held it against the choices.
  const asked = positionals[0] as Shell | "jobs" | "handles";
  if (asked === "jobs" || asked === "handles") {
    const words = asked === "jobs" ? await jobNames(world) : await handles(world);
    await writeTo(world.stdout, words.map((word) => `${word}\n`).join(""));
    return exitCodes.ok;
  }
  const shell = asked;
  await writeTo(world.stdout, completionScript(shell, await commands.all()));
  return exitCodes.ok;
}

/** Somebody waits with a finger on a key. */
const completionLoadMs = 2_000;

/** Ids offered, the latest first. */
const idsMax = 20;

async function jobNames(world: World): Promise<string[]> {
  try {
    const { findProject } = await import("../../project/project-file.ts");
    const reading = { ...projectReading(world), tell: () => undefined, loadMs: completionLoadMs };
    return [...((await findProject(world.cwd, reading))?.jobs.keys() ?? [])].filter(isWord);
  } catch {
    // A shell that completes a word has no place for what is wrong with a project file: sheaf run says it.
    return [];
  }
}

async function handles(world: World): Promise<string[]> {
  const jobs = await listJobs(stateDirectoryOf(world));
  if (jobs.length === 0) return [];
  const names = new Set(jobs.map(({ record }) => `@?${record.name}`));
  return ["@", ...names, ...jobs.slice(0, idsMax).map(({ record }) => record.jobId)].filter(isWord);
}

/** What can stand on a line by itself. */
function isWord(text: string): boolean {
  // oxlint-disable-next-line no-control-regex -- these are what must not get into a terminal
  return !/[\x00-\x1f\x7f]/.test(text);
}

type Shell = "bash" | "zsh" | "fish";

/** A script that completes commands, flags and their arguments in the shell. */
function completionScript(shell: Shell, commands: readonly CliCommand[]): string {
  switch (shell) {
    case "bash":
      return bashScript(commands);
    case "zsh":
      return zshScript(commands);
    case "fish":
      return fishScript(commands);
  }
}

/** What may follow a flag: nothing to offer is a word of the user's own. */
function offered(
  flag: Flag<unknown>,
): { readonly kind: "none" | "path" } | { readonly kind: "words"; readonly words: readonly string[] } {
  if (flag.type?.choices !== undefined) return { kind: "words", words: flag.type.choices };
  return { kind: flag.type?.kind === "path" ? "path" : "none" };
}

/** What is offered for a command's positionals; help and its like complete command names. */
function offeredFor(
  command: CliCommand,
  commands: readonly CliCommand[],
):
  | { readonly kind: "path" | "job" | "handle" }
  | { readonly kind: "words"; readonly words: readonly string[] } {
  if (command.name === "help") return { kind: "words", words: commands.map((c) => c.name) };
  const words = command.arguments.flatMap((argument) => argument.choices ?? []);
  if (words.length > 0) return { kind: "words", words };
  const special = command.arguments.find(({ complete }) => complete === "job" || complete === "handle");
  return { kind: special?.complete ?? "path" };
}

function flagWords(flag: Flag<unknown>): readonly string[] {
  const names = [`--${flag.name}`];
  if (flag.short !== undefined) names.push(`-${flag.short}`);
  return names;
}

function bashScript(commands: readonly CliCommand[]): string {
  const cases = commands.map((command) => {
    const flags = Object.values(allFlags(command));
    const arms = flags
      .filter((flag) => flag.arity === "one" || flag.arity === "many")
      .map((flag) => {
        const offer = offered(flag);
        const does =
          offer.kind === "words"
            ? `_sheaf_words ${offer.words.join(" ")}`
            : offer.kind === "path"
              ? "_sheaf_files"
              : "COMPREPLY=()";
        return `        ${flagWords(flag).join("|")}) ${does}; return ;;`;
      });
    const rest = bashPositionals(offeredFor(command, commands));
    return `    ${command.name})
      case "$before" in
${arms.join("\n")}
      esac
      if [[ $word == -* ]]; then
        _sheaf_words ${flags.flatMap(flagWords).join(" ")}
      else
        ${rest}
      fi ;;`;
  });
  return `# bash completion for sheaf. Load it with: source <(sheaf completion bash)
# Bash breaks words at : and =. What was typed is taken from the line, and what stands before such a character
# is cut from the answers.
_sheaf_lines() {
  local line typed=\${COMP_LINE:0:COMP_POINT} cut
  typed=\${typed##*[[:space:]]}
  typed=\${typed//\\\\/}
  cut=\${typed%"\${typed##*[:=]}"}
  while IFS= read -r line; do
    [[ $line == "$typed"* ]] && COMPREPLY+=("\${line#"$cut"}")
  done
}
_sheaf_words() { _sheaf_lines < <(printf '%s\\n' "$@"); }
_sheaf_files() {
  local line
  while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$word")
}
_sheaf() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]}
  COMPREPLY=()
  if (( COMP_CWORD == 1 )); then
    _sheaf_words ${commands.map((c) => c.name).join(" ")}
    return
  fi
  case "\${COMP_WORDS[1]}" in
${cases.join("\n")}
  esac
}
complete -o filenames -F _sheaf sheaf
`;
}

function bashPositionals(offer: ReturnType<typeof offeredFor>): string {
  switch (offer.kind) {
    case "words":
      return `_sheaf_words ${offer.words.join(" ")}`;
    case "job":
      return "_sheaf_lines < <(sheaf completion jobs 2>/dev/null); _sheaf_files";
    case "handle":
      return "_sheaf_lines < <(sheaf completion handles 2>/dev/null)";
    case "path":
      return "_sheaf_files";
  }
}

function zshScript(commands: readonly CliCommand[]): string {
  const cases = commands.map((command) => {
    const specs = Object.values(allFlags(command)).map(zshFlag);
    const offer = offeredFor(command, commands);
    specs.push(
      offer.kind === "words"
        ? `'*:argument:(${offer.words.join(" ")})'`
        : { path: "'*:file:_files'", job: "'*:job:_sheaf_jobs'", handle: "'*:handle:_sheaf_handles'" }[
            offer.kind
          ],
    );
    return `    ${command.name})\n      _arguments -s \\\n        ${specs.join(" \\\n        ")} ;;`;
  });
  const names = commands.map((command) => `    ${zshQuote(`${command.name}:${command.summary}`)}`);
  return `#compdef sheaf
# zsh completion for sheaf. Put it in a directory of $fpath as _sheaf.
_sheaf_jobs() {
  local -a names=(\${(f)"$(sheaf completion jobs 2>/dev/null)"})
  compadd -a names
  _files
}
_sheaf_handles() {
  local -a handles=(\${(f)"$(sheaf completion handles 2>/dev/null)"})
  compadd -a handles
}
_sheaf() {
  local -a commands=(
${names.join("\n")}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${cases.join("\n")}
  esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _sheaf "$@"; else compdef _sheaf sheaf; fi
`;
}

function zshFlag(flag: Flag<unknown>): string {
  const doc = flag.doc.replace(/[[\]]/g, (c) => `\\${c}`);
  const offer = offered(flag);
  const does = offer.kind === "words" ? `(${offer.words.join(" ")})` : offer.kind === "path" ? "_files" : "";
  const argument =
    flag.arity === "switch" ? "" : `:${(flag.placeholder ?? "").replace(/[[\]:]/g, "")}:${does}`;
  const repeat = flag.arity === "many" ? "*" : "";
  // An argument that may be left out comes behind "=" only.
  const only = flag.arity === "optional" ? "=-" : "";
  const specs = flagWords(flag).map(
    (word) => `${repeat}${word}${only}[${doc}]${only === "" ? argument : argument.replace(":", "::")}`,
  );
  return specs.map(zshQuote).join(" ");
}

function zshQuote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function fishScript(commands: readonly CliCommand[]): string {
  const quote = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const lines = ["# fish completion for sheaf. Put it in ~/.config/fish/completions/sheaf.fish."];
  for (const command of commands) {
    lines.push(
      `complete -c sheaf -f -n __fish_use_subcommand -a ${command.name} -d ${quote(command.summary)}`,
    );
  }
  for (const command of commands) {
    const when = `-n ${quote(`__fish_seen_subcommand_from ${command.name}`)}`;
    const offer = offeredFor(command, commands);
    const asked = offer.kind === "job" || offer.kind === "handle";
    if (offer.kind === "words") lines.push(`complete -c sheaf -f ${when} -a ${quote(offer.words.join(" "))}`);
    if (asked) lines.push(`complete -c sheaf -f ${when} -a '(sheaf completion ${offer.kind}s 2>/dev/null)'`);
    if (offer.kind === "path" || offer.kind === "job") lines.push(`complete -c sheaf -F ${when}`);
    for (const flag of Object.values(allFlags(command))) {
      const offer = offered(flag);
      const argument =
        flag.arity === "switch" || flag.arity === "optional"
          ? ""
          : offer.kind === "words"
            ? ` -x -a ${quote(offer.words.join(" "))}`
            : offer.kind === "path"
              ? " -r -F"
              : " -x";
      const short = flag.short === undefined ? "" : ` -s ${flag.short}`;
      lines.push(`complete -c sheaf ${when} -l ${flag.name}${short}${argument} -d ${quote(flag.doc)}`);
    }
  }
  return `${lines.join("\n")}\n`;
}
