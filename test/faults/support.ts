import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import { pathToFileURL } from "node:url";
import { sheafHere, startSheaf, tempDir } from "../cli/support.ts";
import type { RunningSheaf, SheafOptions, SheafResult } from "../cli/support.ts";
import { pass } from "../kit/wait.ts";

export interface Measured {
  until(text: string): Promise<void>;
  readonly done: Promise<{ readonly result: SheafResult; readonly peakBytes: number }>;
}

/** A directory of one test's own in which commands run, with state and temporary files of theirs below it. */
export class Place {
  readonly root: string;
  readonly #own = new Set(["state", "tmp"]);
  readonly #mounts: string[] = [];
  readonly #test: TestContext;

  constructor(t: TestContext) {
    this.#test = t;
    // Before the directory is removed, which is registered next.
    t.after(() => {
      for (const path of this.#mounts) execFileSync("umount", ["-l", path]);
    });
    this.root = tempDir(t);
    mkdirSync(this.path("tmp"));
  }

  path(...names: string[]): string {
    return join(this.root, ...names);
  }

  /** Writes a file below the root and returns its path. */
  file(name: string, content: string | Uint8Array): string {
    const path = this.path(name);
    this.#own.add(name.split("/")[0]!);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    return path;
  }

  /** A small file system of the test's; false, and the test is skipped, where none may be mounted. */
  mount(name: string, options: string): boolean {
    const mounted = this.mountIf(name, options);
    if (!mounted) this.#test.skip("no file system can be mounted here");
    return mounted;
  }

  /** A file system in memory; false where none may be mounted. */
  mountIf(name: string, options: string): boolean {
    const path = this.path(name);
    this.own(name);
    mkdirSync(path);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", path], { stdio: "ignore" });
    } catch {
      return false;
    }
    this.#mounts.push(path);
    return true;
  }

  /** Tells that a name below the root is the test's. */
  own(name: string): void {
    this.#own.add(name);
  }

  start(args: readonly string[], options: SheafOptions = {}): RunningSheaf {
    const env = { SHEAF_STATE: this.path("state"), TMPDIR: this.path("tmp"), ...options.env };
    return startSheaf(args, { cwd: this.root, ...options, env });
  }

  sheaf(args: readonly string[], options: SheafOptions = {}): Promise<SheafResult> {
    return this.start(args, options).done;
  }

  /** In this process: nothing asks for one of its own. */
  here(args: readonly string[], options: Pick<SheafOptions, "cwd" | "env"> = {}): Promise<SheafResult> {
    const env = { SHEAF_STATE: this.path("state"), TMPDIR: this.path("tmp"), ...options.env };
    return sheafHere(args, { cwd: this.root, ...options, env });
  }

  /** Starts the command; at its end, tells also the most memory its process had in use, in bytes. */
  startMeasured(args: readonly string[]): Measured {
    const peak = this.file("peak/bytes", "");
    const preload = this.file("peak/preload.mjs", PEAK_PRELOAD);
    const node = ["--import", pathToFileURL(preload).href];
    const run = this.start(args, { node, env: { TEST_PEAK_FILE: peak }, timeoutMs: 600_000 });
    const done = run.done.then((result) => ({ result, peakBytes: Number(readFileSync(peak, "utf8")) }));
    return { until: (text) => run.until(text), done };
  }

  measured(args: readonly string[]): Measured["done"] {
    return this.startMeasured(args).done;
  }

  /** What lies in the root and in the temporary directory besides what the test put there. */
  left(): string[] {
    const here = readdirSync(this.root).filter((name) => !this.#own.has(name));
    return [...here, ...readdirSync(this.path("tmp")).map((name) => `tmp/${name}`)].sort();
  }

  parts(output = "out"): string[] {
    const directory = this.path(output);
    const names = readdirSync(directory).filter((name) => name.startsWith("part-"));
    return names.sort().map((name) => join(directory, name));
  }

  /** The lines of all parts, in order. */
  lines(output = "out"): string[] {
    return this.parts(output).flatMap((part) => linesOf(readFileSync(part, "utf8")));
  }
}

const PEAK_PRELOAD = `
import { writeFileSync } from "node:fs";
import { isMainThread } from "node:worker_threads";
if (isMainThread) {
  process.on("exit", () => {
    writeFileSync(process.env.TEST_PEAK_FILE, String(process.resourceUsage().maxRSS * 1024));
  });
}
`;

export function linesOf(text: string): string[] {
  return text.split("\n").slice(0, -1);
}

/** The command failed with the code; no output, no file else and no process is left. */
export async function assertFailed(
  place: Place,
  result: SheafResult,
  code: string,
  says = /./,
): Promise<void> {
  assert.equal(result.code, code === "USAGE" ? 2 : 1, `${result.stdout}\n${result.stderr}`);
  assert.match(result.stderr, new RegExp(`\\[${code}\\]$`, "m"));
  assert.match(result.stderr, says);
  assert.deepEqual(place.left(), []);
  await assertNoProcess(place);
}

/** The command succeeded, its output is complete and as committed, and nothing else is left. */
export async function assertDone(place: Place, result: SheafResult, output = "out"): Promise<void> {
  assert.equal(result.code, 0, `${result.stdout}\n${result.stderr}`);
  assert.deepEqual(place.left(), [output]);
  const success = JSON.parse(readFileSync(place.path(output, "_SUCCESS"), "utf8")) as {
    parts: { file: string }[];
  };
  const named = success.parts.map(({ file }) => file);
  const present = readdirSync(place.path(output)).filter((name) => name !== "_SUCCESS" && name !== "_bad");
  assert.deepEqual(present.sort(), named.sort());
}

const PROCESS_END_MS = 10_000;

/**
 * No process is left that was started with the place's state directory. Without /proc nothing is checked.
 */
export async function assertNoProcess(place: Place): Promise<void> {
  const deadline = performance.now() + PROCESS_END_MS;
  let alive = processesOf(place);
  // The compiler's helper ends when its pipe closes, a moment after its parent.
  while (alive.length > 0 && performance.now() < deadline) {
    await pass(10);
    alive = processesOf(place);
  }
  assert.deepEqual(alive, []);
}

function processesOf(place: Place): string[] {
  const mark = `SHEAF_STATE=${place.path("state")}\0`;
  const ids = readdirIf("/proc").filter((name) => /^\d+$/.test(name));
  return ids
    .filter((id) => readIf(`/proc/${id}/environ`).includes(mark))
    .filter((id) => !isOwnCompiler(id))
    .map((id) => readIf(`/proc/${id}/cmdline`));
}

/** The compiler's helper of this very process ends with it. */
function isOwnCompiler(id: string): boolean {
  const parent = /^PPid:\t(\d+)$/m.exec(readIf(`/proc/${id}/status`))?.[1];
  return Number(parent) === process.pid && readIf(`/proc/${id}/cmdline`).includes("--service=");
}

function readdirIf(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function readIf(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
