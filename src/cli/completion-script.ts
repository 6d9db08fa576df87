import type { Command } from "./command.ts";
import type { Flag } from "./flag.ts";
import { allFlags } from "./help-text.ts";

export type Shell = "bash" | "zsh" | "fish";

/** A script that completes commands, flags and their arguments in the shell. */
export function completionScript(shell: Shell, commands: readonly Command[]): string {
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

/** Words offered for a command's positionals; help and its like complete command names. */
function positionalWords(command: Command, commands: readonly Command[]): readonly string[] {
  if (command.name === "help") return commands.map((c) => c.name);
  return command.arguments.flatMap((argument) => argument.choices ?? []);
}

function flagWords(flag: Flag<unknown>): readonly string[] {
  const names = [`--${flag.name}`];
  if (flag.short !== undefined) names.push(`-${flag.short}`);
  return names;
}

function bashScript(commands: readonly Command[]): string {
  const cases = commands.map((command) => {
    const flags = Object.values(allFlags(command));
    const arms = flags
      .filter((flag) => flag.arity !== "switch")
      .map((flag) => {
        const offer = offered(flag);
        const does =
          offer.kind === "words"
            ? `COMPREPLY=($(compgen -W "${offer.words.join(" ")}" -- "$word"))`
            : offer.kind === "path"
              ? 'COMPREPLY=($(compgen -f -- "$word"))'
              : "COMPREPLY=()";
        return `        ${flagWords(flag).join("|")}) ${does}; return ;;`;
      });
    const words = positionalWords(command, commands);
    const rest =
      words.length > 0
        ? `COMPREPLY=($(compgen -W "${words.join(" ")}" -- "$word"))`
        : 'COMPREPLY=($(compgen -f -- "$word"))';
    return `    ${command.name})
      case "$before" in
${arms.join("\n")}
      esac
      if [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "${flags.flatMap(flagWords).join(" ")}" -- "$word"))
      else
        ${rest}
      fi ;;`;
  });
  return `# bash completion for sheaf. Load it with: source <(sheaf completion bash)
_sheaf() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]}
  if (( COMP_CWORD == 1 )); then
    COMPREPLY=($(compgen -W "${commands.map((c) => c.name).join(" ")}" -- "$word"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
${cases.join("\n")}
  esac
}
complete -o filenames -F _sheaf sheaf
`;
}

function zshScript(commands: readonly Command[]): string {
  const cases = commands.map((command) => {
    const specs = Object.values(allFlags(command)).map(zshFlag);
    const words = positionalWords(command, commands);
    specs.push(words.length > 0 ? `'*:argument:(${words.join(" ")})'` : "'*:file:_files'");
    return `    ${command.name})\n      _arguments -s \\\n        ${specs.join(" \\\n        ")} ;;`;
  });
  const names = commands.map((command) => `    ${zshQuote(`${command.name}:${command.summary}`)}`);
  return `#compdef sheaf
# zsh completion for sheaf. Put it in a directory of $fpath as _sheaf.
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
  const specs = flagWords(flag).map((word) => `${repeat}${word}[${doc}]${argument}`);
  return specs.map(zshQuote).join(" ");
}

function zshQuote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function fishScript(commands: readonly Command[]): string {
  const quote = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const lines = ["# fish completion for sheaf. Put it in ~/.config/fish/completions/sheaf.fish."];
  for (const command of commands) {
    lines.push(
      `complete -c sheaf -f -n __fish_use_subcommand -a ${command.name} -d ${quote(command.summary)}`,
    );
  }
  for (const command of commands) {
    const when = `-n ${quote(`__fish_seen_subcommand_from ${command.name}`)}`;
    const words = positionalWords(command, commands);
    lines.push(
      words.length > 0
        ? `complete -c sheaf -f ${when} -a ${quote(words.join(" "))}`
        : `complete -c sheaf -F ${when}`,
    );
    for (const flag of Object.values(allFlags(command))) {
      const offer = offered(flag);
      const argument =
        flag.arity === "switch"
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
