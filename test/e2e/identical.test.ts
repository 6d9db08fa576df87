import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { seededRandom } from "#src/base/random.js";
import type { LocalRunOptions } from "#src/engine/options.js";
import type { RunResult } from "#src/engine/run-result.js";
import type { Job } from "#src/job/job-plan.js";
import { compareKeys } from "#src/job/key-order.js";
import type { Key } from "#src/job/key.js";
import { runHere } from "#src/runner/run.js";
import { interpret } from "#src/testing/interpret.js";
import { tempDir } from "../cli/support.js";

const JOBS = ["wordcount", "words", "combine", "states", "stats", "sort", "collections", "group-by"] as const;

/** Input that does not fit into the smallest budget. */
const BIG_BYTES: Readonly<Record<(typeof JOBS)[number], number>> = {
  wordcount: 2_000_000,
  words: 2_000_000,
  combine: 2_500_000,
  states: 500_000,
  stats: 1_500_000,
  sort: 6_000_000,
  collections: 500_000,
  "group-by": 2_000_000,
};

const fileOf = (name: string): URL => new URL(`./jobs/${name}.js`, import.meta.url);

async function jobOf(name: string): Promise<Job> {
  return ((await import(fileOf(name).href)) as { default: Job }).default;
}

/**
 * Lines of words, `distinct` different ones, some not ASCII, some lines empty, the last without its newline.
 */
function lines(seed: string, bytes: number, distinct: number): string[] {
  const random = seededRandom(seed);
  const syllables = ["ka", "to", "mi", "ré", "so", "nu", "ß", "日本", "el", "or", "𝒳", "x"];
  const word = (): string => {
    // The same number gives the same word; small numbers come up more often.
    let n = Math.floor(random.next() ** 2 * distinct);
    let made = "";
    do {
      made += syllables[n % syllables.length]!;
      n = Math.floor(n / syllables.length);
    } while (n > 0);
    return made;
  };
  const all: string[] = [];
  for (let size = 0; size < bytes;) {
    const line = Array.from({ length: random.below(12) }, word).join(" ");
    all.push(line);
    size += Buffer.byteLength(line) + 1;
  }
  return all;
}

interface Shelf {
  readonly directory: string;
  readonly input: string;
  readonly lines: readonly string[];
  runs: number;
}

function shelf(t: TestContext, seed: string, bytes: number, distinct: number): Shelf {
  const directory = tempDir(t);
  const input = join(directory, "input.txt");
  const made = lines(seed, bytes, distinct);
  writeFileSync(input, made.join("\n"));
  if (made.at(-1) === "") made.pop();
  return { directory, input, lines: made, runs: 0 };
}

/** Every file of the output with its bytes, and the counters. */
async function outputOf(
  place: Shelf,
  name: string,
  options: LocalRunOptions,
): Promise<{ files: Map<string, string>; result: RunResult }> {
  const output = join(place.directory, `out-${place.runs++}`);
  const result = await runHere(fileOf(name), {
    inputs: place.input,
    output,
    stateDirectory: null,
    ...options,
  });
  const files = new Map<string, string>();
  for (const file of readdirSync(output, { recursive: true, encoding: "utf8" }).sort()) {
    if (file.includes("part-")) files.set(file, readFileSync(join(output, file), "latin1"));
  }
  return { files, result };
}

function assertSame(
  name: string,
  options: LocalRunOptions,
  wanted: Map<string, string>,
  got: Map<string, string>,
): void {
  const how = `${name} with ${JSON.stringify(options)}`;
  assert.deepEqual([...got.keys()], [...wanted.keys()], how);
  for (const [file, text] of wanted) {
    if (got.get(file) === text) continue;
    const [a, b] = [text.split("\n"), got.get(file)!.split("\n")];
    const at = a.findIndex((line, i) => line !== b[i]);
    assert.fail(
      `${how}: ${file} differs in line ${at + 1}: ${JSON.stringify(a[at])} became ${JSON.stringify(b[at])}`,
    );
  }
}

/**
 * The results in key order, as an interpreter that shares nothing with the engine but the encodings has them.
 */
async function wantedResults(job: Job, place: Shelf): Promise<[Key, unknown][][]> {
  let offset = 0;
  const records = place.lines.map((record) => {
    const placed = { record, path: place.input, offset };
    offset += Buffer.byteLength(record) + 1;
    return placed;
  });
  const given =
    job.input.kind === "words"
      ? place.lines.flatMap((line) =>
          (line.match(/\p{L}+/gu) ?? []).map((record) => ({ record, path: "", offset: 0 })),
        )
      : records;
  return (await interpret(job, [given])).results.map((results) => [...results] as [Key, unknown][]);
}

async function resultsOf(
  place: Shelf,
  name: string,
  job: Job,
  options: LocalRunOptions,
): Promise<[Key, unknown][][]> {
  const result = await runHere(fileOf(name), {
    inputs: place.input,
    stateDirectory: null,
    isolate: "inline",
    ...options,
  });
  const all: [Key, unknown][][] = [];
  for (const collection of job.collections) {
    const records: [Key, unknown][] = [];
    for await (const record of result.records(collection.name === "" ? undefined : collection.name))
      records.push(record);
    // Stable: results of one key keep the order they were written in.
    all.push(records.sort((a, b) => compareKeys(a[0], b[0])));
  }
  await result.dispose();
  return all;
}

for (const name of JOBS) {
  test(`${name}: workers, isolation and splits from 7 bytes up leave every byte as it is`, async (t) => {
    const place = shelf(t, name, 600, 120);
    const job = await jobOf(name);
    const { files } = await outputOf(place, name, { isolate: "inline" });
    assert.ok([...files.values()].join("").length > 200);
    const ways: LocalRunOptions[] = [
      { workers: 1 },
      { workers: 2, splitSize: 400 },
      // What a process is told and says is the same for all jobs.
      ...(JOBS.indexOf(name) % 4 === 1 ? [{ isolate: "process", workers: 2, splitSize: 300 } as const] : []),
      { isolate: "inline", splitSize: 7, memory: "8MiB" },
      { workers: 2, splitSize: 131, memory: "9MiB" },
    ];
    for (const options of ways)
      assertSame(name, options, files, (await outputOf(place, name, options)).files);
    const wanted = await wantedResults(job, place);
    for (const splitSize of [100, 100_000])
      assert.deepEqual(await resultsOf(place, name, job, { splitSize }), wanted);
  });

  test(`${name}: spills under the smallest budget leave every byte as it is`, async (t) => {
    const place = shelf(t, `${name}/big`, BIG_BYTES[name], 1_000_000);
    const roomy = await outputOf(place, name, { isolate: "inline", splitSize: "16MiB", memory: "256MiB" });
    assert.equal(roomy.result.mapTasks, 1);
    const tight: LocalRunOptions = { isolate: "inline", splitSize: "16MiB", memory: "8MiB" };
    const { files, result } = await outputOf(place, name, tight);
    const collections = (await jobOf(name)).collections.length;
    assert.ok(result.stats.spills > collections, `${result.stats.spills} spills`);
    assert.ok(result.stats.spills > roomy.result.stats.spills);
    assertSame(name, tight, roomy.files, files);
    const split: LocalRunOptions = { workers: 2, splitSize: "500KiB", memory: "12MiB", partBytes: "64MiB" };
    assertSame(name, split, roomy.files, (await outputOf(place, name, split)).files);
  });
}

test("word count of a large text equals a plain Map's", async (t) => {
  const place = shelf(t, "plain", 1_000_000, 200_000);
  const counts = new Map<string, number>();
  for (const line of place.lines)
    for (const word of line.match(/\p{L}+/gu) ?? []) counts.set(word, (counts.get(word) ?? 0) + 1);
  const wanted = [...counts].map(([word, n]) => `${word}\t${n}`).sort();
  for (const name of ["wordcount", "words"]) {
    for (const memory of ["8MiB", "64MiB"]) {
      const { files } = await outputOf(place, name, { isolate: "inline", memory, splitSize: "300KiB" });
      const got = [...files.values()].flatMap((text) =>
        Buffer.from(text, "latin1").toString("utf8").trimEnd().split("\n"),
      );
      assert.deepEqual(got.sort(), wanted);
    }
  }
});

test("a total order equals a plain sort of the bytes, part after part", async (t) => {
  const place = shelf(t, "order", 5_000_000, 400_000);
  const wanted = place.lines.map((line) => Buffer.from(`${line}\n`)).sort(Buffer.compare);
  for (const options of [
    { memory: "8MiB", partitions: 5 },
    { splitSize: "90KiB", partitions: 2 },
    { splitSize: "400KiB", partBytes: 100_000 },
  ] as LocalRunOptions[]) {
    const { files, result } = await outputOf(place, "sort", { isolate: "inline", ...options });
    assert.equal([...files.values()].join(""), Buffer.concat(wanted).toString("latin1"));
    if (options.partitions === 5) {
      assert.ok(
        [...files.values()].every((text) => text.length > 1000),
        "the parts are very uneven",
      );
      assert.ok(result.stats.spills > 1);
    }
  }
});
