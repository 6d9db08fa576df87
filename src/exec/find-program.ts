import { closeSync, openSync, readSync, statSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { SheafError } from "../base/errors.ts";
import { isExecutable, placesInPath } from "../base/programs.ts";

const FIRST_LINE_BYTES = 512;

/**
 * The file that a program's name means: by a path, from its current directory; else there, then in PATH, as
 * Hadoop Streaming looks. That it can be started is looked at before it is, since the system's own words for
 * it ("No such file or directory", for a script whose interpreter is missing) mislead.
 * @param directory the program's current directory; null: names without a "/" are looked up in PATH only
 * @param path of its environment
 * @throws SheafError PROGRAM_UNUSABLE
 */
export function findProgram(name: string, directory: string | null, path: string | undefined): string {
  const places = name.includes("/")
    ? [resolve(directory ?? "", name)]
    : [...(directory === null ? [] : [join(directory, name)]), ...placesInPath(name, path)];
  const files = places.filter(isFile);
  const found = files.find(isExecutable);
  if (found !== undefined) {
    checkFirstLine(found, name, directory ?? "", path);
    return found;
  }
  if (files[0] !== undefined) {
    throw unusable(
      `${name} is not executable`,
      `Run chmod +x on it, or start it with its interpreter: exec(["python3", "${name}"]).`,
    );
  }
  const problem = places.some(exists) ? `${name} is a directory` : `there is no program ${name}`;
  throw unusable(
    problem,
    name.includes("/")
      ? "Give an absolute path that is there on every machine, or name the file in the job's `files` (-file)."
      : "Install it on every machine, within PATH, or name the file in the job's `files` (-file).",
  );
}

/** What a script's first line asks for must be there; a carriage return in it is part of a name. */
function checkFirstLine(file: string, name: string, directory: string, path: string | undefined): void {
  const line = firstLine(file);
  if (line === undefined) return;
  const [interpreter = "", ...words] = line.replace(/\r$/, "").trim().split(/\s+/);
  if (line.endsWith("\r")) {
    throw unusable(
      `${name} has the line ends of Windows: its first line asks for ${JSON.stringify(`${interpreter}\r`)}`,
      `Take the carriage returns out (sed -i 's/\\r$//' FILE, or dos2unix), or start it with its interpreter.`,
    );
  }
  if (interpreter === "") {
    throw unusable(`the first line of ${name} names no interpreter`, "Write #!/usr/bin/env python3 there.");
  }
  if (!isFile(resolve(directory, interpreter))) {
    throw unusable(
      `the first line of ${name} asks for ${interpreter}, which is not there`,
      "Install it, or write another first line, such as #!/usr/bin/env python3.",
    );
  }
  if (!interpreter.endsWith("/env")) return;
  const wanted = words.find((word) => !word.startsWith("-") && !word.includes("="));
  const places = (path ?? "").split(delimiter).map((one) => join(one, wanted ?? ""));
  if (wanted === undefined || wanted.includes("/") || places.some(isFile)) return;
  throw unusable(
    `the first line of ${name} asks for ${wanted}, which is not in PATH`,
    `Install it on every machine, or start the program with another: exec(["...", "${name}"]).`,
  );
}

/** Behind "#!", without its newline; undefined where there is no such line. */
function firstLine(file: string): string | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(file, "r");
  } catch {
    // A program that may be run and not read.
    return undefined;
  }
  try {
    const head = Buffer.alloc(FIRST_LINE_BYTES);
    const text = head.toString("latin1", 0, readSync(descriptor, head, 0, head.length, 0));
    return text.startsWith("#!") ? text.slice(2).split("\n")[0] : undefined;
  } finally {
    closeSync(descriptor);
  }
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function exists(path: string): boolean {
  try {
    statSync(path);
    return true;
  } catch {
    return false;
  }
}

function unusable(problem: string, hint: string): SheafError {
  return new SheafError("PROGRAM_UNUSABLE", problem, { hint });
}
