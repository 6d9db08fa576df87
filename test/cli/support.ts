import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcess, ChildProcessWithoutNullStreams, SpawnOptions } from "node:child_process";
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { systemClock } from "#src/base/clock.js";
import { dispatch } from "#src/cli/dispatch.js";
import type { World } from "#src/cli/world.js";

/** The binary as it ships. */
export const sheafBinary = fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));
export const packageRoot = fileURLToPath(new URL("../../../", import.meta.url));

/** Job directories of the commands under test: one place per test process, removed with it. */
export const stateDirectory = join(tmpdir(), `sheaf-test-state-${process.pid}`);
process.once("exit", () => rmSync(stateDirectory, { recursive: true, force: true }));

export interface SheafOptions {
  readonly cwd?: string;
  /** Added to the environment; undefined removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Bytes on standard input, which is then closed. Default: nothing, closed. */
  readonly stdin?: string | Uint8Array;
  /** The run is killed, and the test fails, after this long. Default 60 s. */
  readonly timeoutMs?: number;
  /** Bash that is run before the command takes its place: "ulimit -f 64; ", "exec >/dev/full; ". */
  readonly shell?: string;
  /** Arguments of Node itself. */
  readonly node?: readonly string[];
}

export interface SheafResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningSheaf {
  readonly child: ChildProcess;
  readonly done: Promise<SheafResult>;
  /** Settles when the text has appeared on standard output or error; rejects if the command ends first. */
  until(text: string): Promise<void>;
}

/** Runs the real binary to its end. Never rejects because of an exit code. */
export function sheaf(args: readonly string[], options: SheafOptions = {}): Promise<SheafResult> {
  return startSheaf(args, options).done;
}

/** What commands in this process change of it, and how many of them run. */
const before = { cwd: process.cwd(), env: { ...process.env } };
let running = 0;
/** What `run()` takes from its process. */
const ofProcess = ["SHEAF_STATE", "SHEAF_TOKEN_FILE", "TMPDIR"];

function putInPlace(cwd: string, env: Readonly<Record<string, string | undefined>>): void {
  process.chdir(cwd);
  for (const name of ofProcess) {
    if (env[name] === undefined) delete process.env[name];
    else process.env[name] = env[name];
  }
}

/**
 * What the binary does, in this process: for commands of which nothing but their own end and what they say
 * matters, since a process of its own takes up to a second to start. `--inline` jobs run in this thread.
 * Commands that run at the same time must have one directory.
 */
export async function sheafHere(
  args: readonly string[],
  { cwd = before.cwd, env: more = {} }: Pick<SheafOptions, "cwd" | "env"> = {},
): Promise<SheafResult> {
  const env: Record<string, string | undefined> = {
    ...process.env,
    NO_COLOR: "1",
    SHEAF_STATE: stateDirectory,
    ...more,
  };
  putInPlace(cwd, env);
  running++;
  const said = { stdout: "", stderr: "" };
  const stream = (name: keyof typeof said): Writable => {
    const decoder = new StringDecoder("utf8");
    const write = (chunk: Buffer, _encoding: string, taken: () => void): void => {
      said[name] += decoder.write(chunk);
      taken();
    };
    return new Writable({ write });
  };
  const world: World = {
    cwd,
    env,
    stdinIsTerminal: () => false,
    stdout: stream("stdout"),
    stderr: stream("stderr"),
    clock: systemClock,
    onSignal: () => () => undefined,
    die: (signal) => assert.fail(`it would have ended by ${signal}`),
    onExit: () => () => undefined,
  };
  const code = await dispatch(args, world);
  // The next test may remove the directory.
  if (--running === 0) putInPlace(before.cwd, before.env);
  return { code, signal: null, ...said };
}

/** Starts the real binary, for tests that send signals or look at it while it runs. */
export function startSheaf(args: readonly string[], options: SheafOptions = {}): RunningSheaf {
  const env: Record<string, string | undefined> = {
    ...process.env,
    NO_COLOR: "1",
    SHEAF_STATE: stateDirectory,
    ...options.env,
  };
  // The runner of these tests talks to its children through these; the command under test is no such child.
  delete env["NODE_TEST_CONTEXT"];
  delete env["NODE_OPTIONS"];
  if (options.env?.["FORCE_COLOR"] === undefined) delete env["FORCE_COLOR"];
  const { shell, node = [] } = options;
  const command = [...node, sheafBinary, ...args];
  const spawned = { cwd: options.cwd, env, stdio: ["pipe", "pipe", "pipe"] } satisfies SpawnOptions;
  const child: ChildProcessWithoutNullStreams =
    shell === undefined
      ? spawn(process.execPath, command, spawned)
      : spawn("bash", ["--norc", "-c", `${shell}exec "$@"`, "bash", process.execPath, ...command], spawned);
  let stdout = "";
  let stderr = "";
  const watchers = new Set<() => void>();
  const seen = (): void => {
    for (const watcher of watchers) watcher();
  };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    seen();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
    seen();
  });
  // A command that does not read its input closes the pipe; that is its right.
  child.stdin.on("error", () => undefined);
  child.stdin.end(options.stdin ?? "");

  const timeoutMs = options.timeoutMs ?? 60_000;
  const done = new Promise<SheafResult>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`sheaf ${args.join(" ")}: still running after ${timeoutMs} ms\n${stdout}\n${stderr}`));
    }, timeoutMs);
    child.once("error", reject);
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout, stderr });
    });
  });
  const until = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (!stdout.includes(text) && !stderr.includes(text)) return;
        watchers.delete(look);
        resolve();
      };
      watchers.add(look);
      look();
      done.then(
        () => reject(new Error(`sheaf ${args.join(" ")} ended without "${text}"\n${stdout}\n${stderr}`)),
        reject,
      );
    });
  return { child, done, until };
}

/** A fresh directory (no links in its path), removed when the test ends. */
export function tempDir(t: TestContext): string {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), "sheaf-test-")));
  t.after(() => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }));
  return directory;
}
