import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import type { RunEvent } from "#src/engine/events.js";
import type { LocalRunOptions } from "#src/engine/options.js";
import type { RunResult } from "#src/engine/run-result.js";
import { runJob } from "#src/runner/run.js";

export interface Elsewhere {
  /** Exit code or signal of the process. */
  readonly exit: number | string | null;
  readonly stderr: string;
  readonly status?: string;
  readonly code?: string;
  readonly message?: string;
  readonly failed?: number;
}

/**
 * A directory of one test's own: job files, inputs and outputs are made in it, and all of it is removed
 * after.
 */
export class Bench {
  readonly root: string;
  readonly output: string;
  readonly state: string;
  readonly events: RunEvent[] = [];

  constructor(t: TestContext) {
    this.root = mkdtempSync(join(tmpdir(), "sheaf-runner-test-"));
    this.output = join(this.root, "place", "out");
    this.state = join(this.root, "state");
    mkdirSync(dirname(this.output));
    t.after(() => rmSync(this.root, { recursive: true, force: true }));
  }

  /** Writes a file and returns its path. */
  file(name: string, text: string | Uint8Array): string {
    const path = join(this.root, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  }

  /** Runs a job of this text to the output directory; two attempts per task unless told otherwise. */
  async run(job: string, options: LocalRunOptions = {}, name = "job.ts"): Promise<RunResult> {
    const file = this.file(name, job);
    this.events.length = 0;
    return runJob(file, {
      output: this.output,
      stateDirectory: this.state,
      attempts: 2,
      workers: 2,
      ...options,
      onEvent: (event) => {
        this.events.push(event);
        options.onEvent?.(event);
      },
    });
  }

  /**
   * Runs the job in a process of its own, with nothing of the test runner's in it. `shell` is put in front of
   * the
   * command: "ulimit -f 8; ".
   */
  async runElsewhere(job: string, options: LocalRunOptions = {}, shell = ""): Promise<Elsewhere> {
    const run = new URL("../../../dist/inside/runner/run.js", import.meta.url).href;
    const given = { output: this.output, stateDirectory: this.state, attempts: 2, workers: 2, ...options };
    const script = this.file(
      "run.mjs",
      `import { runJob } from ${JSON.stringify(run)};
       const result = await runJob(${JSON.stringify(this.file("job.ts", job))}, ${JSON.stringify(given)});
       const { status, error, failedAttempts } = result;
       const failed = failedAttempts.length;
       console.log(JSON.stringify({ status, code: error?.code, message: error?.message, failed }));
       await result.dispose();`,
    );
    const child = spawn("sh", ["-c", `${shell}exec "$0" "$1"`, process.execPath, script], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk) => (stdout += String(chunk)));
    child.stderr.on("data", (chunk) => (stderr += String(chunk)));
    const [code, signal] = (await once(child, "close")) as [number | null, string | null];
    const said = stdout.trim().split("\n").at(-1) ?? "";
    return {
      exit: code ?? signal,
      stderr,
      ...(said.startsWith("{") ? (JSON.parse(said) as Partial<Elsewhere>) : {}),
    };
  }

  of<K extends RunEvent["kind"]>(kind: K): Extract<RunEvent, { kind: K }>[] {
    return this.events.filter((event): event is Extract<RunEvent, { kind: K }> => event.kind === kind);
  }

  /** What lies in the directory of the output: names, sorted. Anything but "out" was left behind. */
  left(): string[] {
    return readdirSync(dirname(this.output)).sort();
  }

  /** The lines of all parts, in order. */
  lines(collection = ""): string[] {
    return this.parts(collection).flatMap((part) =>
      readFileSync(part, "utf8")
        .split("\n")
        .filter((line) => line !== ""),
    );
  }

  parts(collection = ""): string[] {
    const directory = join(this.output, collection);
    return readdirSync(directory)
      .filter((name) => name.startsWith("part-"))
      .sort()
      .map((name) => join(directory, name));
  }

  /** The path of something in the run's work directory, while it runs. */
  work(...names: string[]): string {
    const [name] = readdirSync(dirname(this.output)).filter((one) => one.startsWith(".out.sheaf-"));
    assert.ok(name, "there is no work directory");
    return join(dirname(this.output), name, "work", ...names);
  }
}

/** A word count whose map and reduce first run the given statements. */
export function wordCount(
  parts: { map?: string; reduce?: string; top?: string; more?: string } = {},
): string {
  return `
    import { job, text } from "sheaf";
    ${parts.top ?? ""}
    export default job({
      input: text(),
      params: { mode: "" },
      map(line, emit, ctx) {
        ctx.count("lines");
        ${parts.map ?? ""}
        for (const word of line.split(" ")) emit(word, 1);
      },
      reduce(key: string, values: Iterable<number>, ctx) {
        ${parts.reduce ?? ""}
        let sum = 0;
        for (const value of values) sum += value;
        return sum;
      },
      ${parts.more ?? ""}
    });
  `;
}

export const inputText = "to be or\nnot to be\nthat is\nthe question\n";
export const expectedLines = [
  "be\t2",
  "is\t1",
  "not\t1",
  "or\t1",
  "question\t1",
  "that\t1",
  "the\t1",
  "to\t2",
];

/** Asserts that the job failed with the code, wrote nothing and left nothing. */
export function assertFailed(bench: Bench, result: RunResult, code: string): void {
  assert.equal(result.status, "FAILED", result.error?.report);
  assert.equal(result.error?.code, code, result.error?.report);
  assert.deepEqual(bench.left(), []);
  assert.equal(bench.of("job-finished").length, 1);
  assert.deepEqual(result.parts, []);
}

/**
 * Asserts that the job gave the word count of `inputText`, whatever happened on the way, and left nothing
 * else.
 */
export function assertCounted(bench: Bench, result: RunResult): void {
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.deepEqual(bench.lines().sort(), expectedLines);
  assert.deepEqual(bench.left(), ["out"]);
  assert.equal(result.counters["lines"], 4);
}
