import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";

/** What esbuild read and tried while it resolved the imports of a job file. Absolute paths. */
export interface LookedAt {
  /** Whatever it named: files, directories, and places where nothing was. */
  readonly paths: ReadonlySet<string>;
  /** Directories it listed, there or not. */
  readonly directories: ReadonlySet<string>;
  /** Names it tried endings at: what begins so may win in its directory. */
  readonly stems: ReadonlySet<string>;
  /** Directories of which every entry counts, since a pattern walked them. */
  readonly walked: ReadonlySet<string>;
}

/**
 * Has esbuild resolve all imports from `entry` once more, telling every step: its verbose log is the only
 * place where it says which places it tried in vain. Null when the log cannot be had or is not understood.
 * @param flags those of the build that have a say in resolution
 */
export async function lookedAt(entry: string, flags: readonly string[]): Promise<LookedAt | null> {
  const binary = esbuildBinary();
  if (binary === null) return null;
  const log = await verboseLog(binary, entry, flags);
  const looked = log === null ? null : parseVerboseLog(log);
  // Another version may look elsewhere.
  return looked === null ? null : { ...looked, paths: new Set([...looked.paths, binary]) };
}

function esbuildBinary(): string | null {
  const given = process.env["ESBUILD_BINARY_PATH"];
  if (given !== undefined && given !== "") return given;
  const file = process.platform === "win32" ? "esbuild.exe" : "bin/esbuild";
  try {
    return createRequire(import.meta.url).resolve(`@esbuild/${process.platform}-${process.arch}/${file}`);
  } catch {
    return null;
  }
}

function verboseLog(binary: string, entry: string, flags: readonly string[]): Promise<string | null> {
  const args = [entry, "--bundle", "--log-level=verbose", "--log-limit=0", "--color=false", ...flags];
  return new Promise((done) => {
    const child = spawn(binary, args, { cwd: dirname(entry), stdio: ["ignore", "ignore", "pipe"] });
    const chunks: Buffer[] = [];
    child.stderr.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.on("error", () => done(null));
    child.on("close", (_code, signal) =>
      done(signal === null ? Buffer.concat(chunks).toString("utf8") : null),
    );
  });
}

const MESSAGE = /^\S+ \[VERBOSE\] Resolving (glob )?import (.*) in directory ("(?:[^"\\]|\\.)*") of type /;
const DIRECTORY = /^\s+(?:Read \d+ entr(?:y|ies) for|Failed to read) directory ("(?:[^"\\]|\\.)*")/;
const ATTEMPT = /^\s+Attempting to load ("(?:[^"\\]|\\.)*") as a file/;
const QUOTED = /"(?:[^"\\]|\\.)*"/g;

/** The text is esbuild's own, for people; what is quoted in it and absolute is a path it looked at. */
export function parseVerboseLog(log: string): LookedAt | null {
  const [paths, directories, stems, walked] = Array.from({ length: 4 }, () => new Set<string>()) as [
    Set<string>,
    Set<string>,
    Set<string>,
    Set<string>,
  ];
  /** What paths begin with that the pattern of this message may match; null for other messages. */
  let pattern: string | null = null;
  let messages = 0;
  for (const line of log.split("\n")) {
    const message = MESSAGE.exec(line);
    if (message !== null) {
      messages++;
      const quoted = QUOTED.exec(message[2]!)?.[0];
      QUOTED.lastIndex = 0;
      pattern =
        message[1] === undefined || quoted === undefined
          ? null
          : patternStart(unquoted(message[3]!), unquoted(quoted));
      if (pattern !== null) stems.add(pattern);
    }
    const directory = DIRECTORY.exec(line)?.[1];
    if (directory !== undefined) {
      const path = unquoted(directory);
      directories.add(path);
      if (pattern !== null && `${path}/`.startsWith(pattern)) walked.add(path);
      continue;
    }
    const attempt = ATTEMPT.exec(line)?.[1];
    if (attempt !== undefined) stems.add(unquoted(attempt));
    for (const [quoted] of line.matchAll(QUOTED)) {
      const path = unquoted(quoted);
      if (isAbsolute(path) && !path.includes("*")) paths.add(path);
    }
  }
  return messages === 0 || directories.size === 0 ? null : { paths, directories, stems, walked };
}

/** "./lib/**\/*" in /a: /a/lib/ ; "./lang-*.ts" in /a: /a/lang-. */
function patternStart(directory: string, pattern: string): string {
  const fixed = pattern.slice(0, pattern.indexOf("*") === -1 ? undefined : pattern.indexOf("*"));
  return fixed.endsWith("/")
    ? `${resolve(directory, fixed)}/`
    : join(resolve(directory, dirname(`${fixed}x`)), basename(fixed));
}

/** As Go's %q, which is JSON for all that paths contain but bytes that are no UTF-8. */
function unquoted(text: string): string {
  try {
    return JSON.parse(text) as string;
  } catch {
    return text.slice(1, -1);
  }
}
