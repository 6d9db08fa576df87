import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after } from "node:test";
import type { LocalRunOptions } from "#src/engine/options.js";
import type { RunResult } from "#src/engine/run-result.js";
import type { Job } from "#src/index.js";
import { runJob } from "#src/runner/run.js";

export const root = mkdtempSync(join(tmpdir(), "sheaf-exec-test-"));
after(() => rmSync(root, { recursive: true, force: true }));

export function file(name: string, content: string | Buffer, mode = 0o644): string {
  const path = join(root, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

let runs = 0;

export interface Ran {
  readonly result: RunResult;
  /** All parts, as they follow each other, byte by byte. */
  readonly output: string;
}

export async function ran(
  what: Job,
  input: string | readonly string[],
  options: LocalRunOptions = {},
): Promise<Ran> {
  const output = join(root, `out-${runs++}`);
  const result = await runJob(what, {
    inputs: typeof input === "string" ? [input] : [...input],
    output,
    stateDirectory: null,
    memory: "16MiB",
    attempts: 1,
    ...options,
  });
  const parts =
    result.status === "SUCCEEDED" ? readdirSync(output).filter((name) => name.startsWith("part")) : [];
  await result.dispose();
  return {
    result,
    output: parts
      .sort()
      .map((name) => readFileSync(join(output, name), "latin1"))
      .join(""),
  };
}

export async function outputOf(
  what: Job,
  input: string | readonly string[],
  options?: LocalRunOptions,
): Promise<string> {
  const { result, output } = await ran(what, input, options);
  result.throwIfFailed();
  return output;
}

export async function errorOf(what: Job, input: string): Promise<NonNullable<RunResult["error"]>> {
  const { result } = await ran(what, input);
  assert.equal(result.status, "FAILED");
  return result.error!;
}

export const lines = Array.from({ length: 30_000 }, (_, i) => `k${(i * 7_919) % 1_000}\tv${i}`);
export const many = file("many.txt", `${lines.join("\n")}\n`);
