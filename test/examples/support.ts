import assert from "node:assert/strict";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { GenerateRequest } from "#src/generate/index.js";
import { generators } from "#src/generate/index.js";
import { packageRoot, sheaf, tempDir } from "../cli/support.ts";

export interface ExampleRun {
  readonly directory: string;
  readonly stderr: string;
  /** Output lines of a collection ("" for the only one), part after part. */
  lines(collection?: string): string[];
  /** Lines cut at their tab: key to the rest. Fails when a key comes twice. */
  table(collection?: string): Map<string, string>;
}

/**
 * Runs an example with the real binary on files made for it: name to content. All of them are inputs, in
 * order; "orders=1.jsonl" is a file 1.jsonl for the input "orders".
 */
export async function runExample(
  t: TestContext,
  example: string,
  files: Readonly<Record<string, string | Uint8Array>>,
  flags: readonly string[] = [],
): Promise<ExampleRun> {
  const directory = tempDir(t);
  for (const [name, content] of Object.entries(files))
    writeFileSync(join(directory, name.replace(/^.*=/, "")), content);
  const job = join(packageRoot, "examples", example);
  const args = ["run", job, ...Object.keys(files), "-o", "out", "--workers", "2", ...flags];
  const done = await sheaf(args, { cwd: directory });
  assert.equal(done.code, 0, `${args.join(" ")}\n${done.stdout}\n${done.stderr}`);
  const lines = (collection = ""): string[] => {
    const place = join(directory, "out", collection);
    const parts = readdirSync(place).filter((name) => name.startsWith("part-"));
    const text = parts.toSorted().map((name) => readFileSync(join(place, name), "utf8"));
    return text.join("").split("\n").slice(0, -1);
  };
  assert.ok(readdirSync(join(directory, "out")).includes("_SUCCESS"));
  return {
    directory,
    stderr: done.stderr,
    lines,
    table(collection) {
      const table = new Map<string, string>();
      for (const line of lines(collection)) {
        const tab = line.indexOf("\t");
        const key = line.slice(0, tab);
        assert.equal(table.has(key), false, `${key} comes twice`);
        table.set(key, line.slice(tab + 1));
      }
      return table;
    },
  };
}

export function generated(kind: string, request: GenerateRequest): string {
  const found = generators.find((one) => one.kind === kind);
  assert.ok(found, `no generator ${kind}`);
  return Buffer.concat([...found.write(request)]).toString("utf8");
}

/** How often each item comes up. */
export function tally(items: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  return counts;
}

export const linesOf = (text: string): string[] => text.split("\n").slice(0, -1);

/** A map's entries as "key<tab>value" lines, sorted. */
export function asLines(map: ReadonlyMap<string, unknown>): string[] {
  return [...map].map(([key, value]) => `${key}\t${value}`).toSorted();
}
