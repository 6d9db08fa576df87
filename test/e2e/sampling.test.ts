import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { job, run, text, wholeFile } from "sheaf";
import type { RunOptions, RunResult } from "sheaf";
import { tempDir } from "../cli/support.ts";

const lines = job({ input: text(), map: (line, emit) => emit(line), output: text() });
const files = job({ input: wholeFile(), map: (content, emit) => emit(content), output: text() });

async function sampled(
  what: typeof lines,
  inputs: RunOptions["inputs"] & {},
  options: RunOptions = {},
): Promise<string[]> {
  const result = await run(what, { sample: 0.1, stateDirectory: null, ...options, inputs });
  return keysOf(result);
}

async function keysOf(result: RunResult): Promise<string[]> {
  const keys: string[] = [];
  for await (const [key] of result.records()) keys.push(String(key));
  await result.dispose();
  return keys;
}

function inDirectory<T>(directory: string, work: () => Promise<T>): Promise<T> {
  const before = process.cwd();
  process.chdir(directory);
  return work().finally(() => process.chdir(before));
}

const numbered = (name: string): string => Array.from({ length: 1000 }, (_, i) => `${name} ${i}\n`).join("");

test("--sample keeps the same records however a path is spelled, from wherever, with any splits", async (t) => {
  const root = tempDir(t);
  mkdirSync(join(root, "logs/deep"), { recursive: true });
  mkdirSync(join(root, "else"));
  writeFileSync(join(root, "logs/a.txt"), numbered("a"));
  writeFileSync(join(root, "logs/deep/b.txt"), numbered("b"));
  const expected = await sampled(lines, join(root, "logs"));
  assert.ok(expected.length > 130 && expected.length < 270, `${expected.length} of 2000`);
  const spellings: [cwd: string, input: string][] = [
    ["", "logs"],
    ["", "./logs/"],
    ["", "logs/*"],
    ["", "logs/**/*.txt"],
    ["logs", "."],
    ["logs/deep", ".."],
    ["else", "../logs"],
    ["else", "../else/../logs/{a.txt,deep}"],
  ];
  for (const [cwd, input] of spellings) {
    const found = await inDirectory(join(root, cwd), () => sampled(lines, input, { splitSize: 777 }));
    // The last one reaches each file by itself: the one below deep has another place then.
    if (input.includes("{"))
      assert.deepEqual(
        found.filter((key) => key.startsWith("a")),
        expected.filter((key) => key.startsWith("a")),
      );
    else assert.deepEqual(found, expected, input);
  }
  const one = await inDirectory(root, () => sampled(lines, "logs/a.txt"));
  assert.deepEqual(
    one,
    expected.filter((key) => key.startsWith("a")),
  );
});

test("files of the same name under different inputs are sampled apart, in any order of the inputs", async (t) => {
  const root = tempDir(t);
  const places = ["x", "y", "z"].map((name) => join(root, name));
  for (const place of places) {
    mkdirSync(place);
    writeFileSync(join(place, "log"), numbered("n"));
  }
  const all = await sampled(lines, places);
  assert.deepEqual(await sampled(lines, places.toReversed()), all);
  // Were they sampled alike, each record would be there three times or not at all.
  const count = new Map<string, number>();
  for (const key of all) count.set(key, (count.get(key) ?? 0) + 1);
  assert.ok([...count.values()].filter((times) => times === 3).length < count.size / 2);
});

test("of many files of one record about the share is kept", async (t) => {
  const root = tempDir(t);
  for (let i = 0; i < 400; i++) writeFileSync(join(root, `f${i}`), "the same");
  const kept = (await sampled(files, root, { sample: 0.25 })).length;
  assert.ok(kept > 60 && kept < 140, `${kept} of 400`);
});

test("result and events say that a run was sampled", async (t) => {
  const root = tempDir(t);
  writeFileSync(join(root, "in"), numbered("a"));
  for (const sample of [0.5, 1]) {
    const told: unknown[] = [];
    const result = await run(lines, {
      inputs: join(root, "in"),
      sample,
      stateDirectory: null,
      onEvent: (event) => {
        if (event.kind === "job-finished") told.push(event.sample);
      },
    });
    assert.equal(result.sample, sample);
    assert.deepEqual(told, [sample === 1 ? undefined : sample]);
    await result.dispose();
  }
});
