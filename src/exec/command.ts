import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Writable } from "node:stream";
import { describeThrown, isSheafError, SheafError } from "../base/errors.ts";
import { clearTimeout, setTimeout } from "../base/own-globals.ts";
import { findProgram } from "./find-program.ts";
import { isPosix, launched, signalGroup } from "./launch.ts";

/** A program with its arguments that is run to its end, reads nothing, and whose lines are a log. */
export interface ProgramCommand {
  /** In PATH by its name, else a path; an argument for each word, and no shell. */
  readonly argv: readonly [string, ...string[]];
  /** Its current directory; relative paths to the program lie there, too. */
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
  /** It is ended when it takes longer. */
  readonly timeoutMs: number | null;
  /** Those that mean success. */
  readonly exitCodes: readonly number[];
  readonly signal: AbortSignal | undefined;
  log(stream: "stdout" | "stderr", line: string): void;
  /** It runs, as the leader of a group of that number. */
  started(pid: number): void;
}

/** From the request to end until a program is killed. */
const graceMs = 5_000;
/** Of what it printed last, told when it fails. */
const tailLines = 10;
const lineCharsMax = 100_000;

/**
 * Runs a program, and ends all that it has started with it: when it ends, when this process does, when it
 * takes too long and when it is not wanted any more; the last is no error.
 * @throws SheafError USER_CODE, the hint being what it has printed last
 */
export async function runProgram(command: ProgramCommand): Promise<void> {
  const { argv, directory, environment, timeoutMs, exitCodes, signal, log } = command;
  const [name, ...words] = argv;
  const file = fileOf(name, directory, environment["PATH"]);
  const isAborted = (): boolean => signal?.aborted === true;
  const [program, given] = launched(file, words);
  const child = spawn(program, given, {
    cwd: directory,
    env: environment,
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    detached: isPosix(),
  });
  const watched = child.stdio[3] as Writable | undefined;
  watched?.on("error", () => undefined);
  const tail: string[] = [];
  for (const stream of ["stdout", "stderr"] as const) {
    linesOf(child[stream]!, (line) => {
      tail.push(line);
      if (tail.length > tailLines) tail.shift();
      log(stream, line);
    });
  }
  let late = false;
  let killed: NodeJS.Timeout | undefined;
  const end = (): void => {
    signalGroup(child.pid, "SIGTERM");
    killed ??= setTimeout(() => signalGroup(child.pid, "SIGKILL"), graceMs);
  };
  const timer = timeoutMs === null ? undefined : setTimeout(() => ((late = true), end()), timeoutMs);
  let cut: NodeJS.Timeout | undefined;
  signal?.addEventListener("abort", end);
  try {
    const [exited, closed] = [once(child, "exit"), once(child, "close")];
    // What keeps it from starting is heard by the next.
    for (const one of [exited, closed]) one.catch(() => undefined);
    await once(child, "spawn");
    command.started(child.pid!);
    const [code, by] = (await exited) as [number | null, string | null];
    for (const one of [timer, killed]) clearTimeout(one);
    // What it left running would write on, and keep its pipes open.
    signalGroup(child.pid, "SIGKILL");
    watched?.destroy();
    // What has left the group, too, is not waited for.
    cut = setTimeout(() => (child.stdout!.destroy(), child.stderr!.destroy()), graceMs);
    await closed;
    if (isAborted()) return;
    if (late) throw failed(`it took longer than ${timeoutMs} ms and was ended`, tail);
    if (code === null) throw failed(`it was ended by ${by}`, tail);
    if (!exitCodes.includes(code)) throw failed(`${name} ended with exit code ${code}`, tail);
  } catch (error) {
    if (error instanceof SheafError || (error as { code?: unknown } | null)?.code === undefined) throw error;
    throw new SheafError("USER_CODE", `${name} cannot be started: ${describeThrown(error)}`, {
      hint: "See that the machine has processes, memory and descriptors left.",
      cause: error,
    });
  } finally {
    for (const one of [timer, killed, cut]) clearTimeout(one);
    signal?.removeEventListener("abort", end);
    // Nobody waits for it any more.
    if (child.exitCode === null && child.signalCode === null) signalGroup(child.pid, "SIGKILL");
    watched?.destroy();
  }
}

/** @throws SheafError USER_CODE */
function fileOf(name: string, directory: string, path: string | undefined): string {
  try {
    return findProgram(name, name.includes("/") ? directory : null, path);
  } catch (error) {
    if (!isSheafError(error)) throw error;
    const isMissing = error.message.startsWith("there is no program");
    const hint = isMissing
      ? "Programs are looked up in PATH; ./NAME lies beside the pipeline's file."
      : error.hint;
    throw new SheafError("USER_CODE", error.message, {
      hint: hint ?? "See that it can be run.",
      cause: error,
    });
  }
}

function failed(why: string, tail: readonly string[]): SheafError {
  const said = tail.length === 0 ? "It printed nothing." : `It said last:\n${tail.join("\n")}`;
  return new SheafError("USER_CODE", why, { hint: said });
}

/** Calls back with every line, without its end; one that is too long in pieces. */
function linesOf(stream: NodeJS.ReadableStream, tell: (line: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) tell(line);
    if (rest.length > lineCharsMax) tell(rest.slice(0, lineCharsMax));
    if (rest.length > lineCharsMax) rest = rest.slice(lineCharsMax);
  });
  stream.on("end", () => {
    if (rest !== "") tell(rest);
  });
}
