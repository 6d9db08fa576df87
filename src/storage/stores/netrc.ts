import { readFileSync } from "node:fs";
import { join } from "node:path";

/** What a .netrc file says of a host, as curl reads it; null when it says nothing. */
export function netrcLogin(text: string, host: string): { login: string; password: string } | null {
  const words = wordsOf(text);
  let here = false;
  let login = "";
  let password: string | null = null;
  for (let at = 0; at < words.length; at++) {
    const word = words[at];
    if (word === "machine" || word === "default") {
      if (here && password !== null) break;
      here = word === "default" || words[++at]?.toLowerCase() === host.toLowerCase();
      login = "";
      password = null;
    } else if (here && word === "login") login = words[++at] ?? "";
    else if (here && word === "password") password = words[++at] ?? "";
  }
  return here && password !== null ? { login, password } : null;
}

/** Words, with or without quotes; comments and macros are left out. */
function wordsOf(text: string): string[] {
  const lines = text.split(/\r?\n/);
  const words: string[] = [];
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]!;
    if (/^\s*#/.test(line)) continue;
    if (/^\s*macdef\b/.test(line)) {
      while (at + 1 < lines.length && lines[at + 1]!.trim() !== "") at++;
      continue;
    }
    for (const [, quoted, plain] of line.matchAll(/"((?:\\.|[^"\\])*)"|(\S+)/g)) {
      words.push(quoted === undefined ? plain! : quoted.replace(/\\(.)/g, "$1"));
    }
  }
  return words;
}

/** The file that $NETRC names, else ~/.netrc; "" when there is none that can be read. */
export function readNetrc(env: Readonly<Record<string, string | undefined>>): string {
  const path = env["NETRC"] ?? (env["HOME"] === undefined ? null : join(env["HOME"], ".netrc"));
  if (path === null) return "";
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
