import { crc32c } from "@node-rs/crc32";
import fc from "fast-check";
import assert from "node:assert/strict";
import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { outputNameProblem, OutputNames } from "#src/base/output-name.js";
import type { SuccessManifest } from "#src/engine/commit.js";
import { count, csv, job, jsonl, route, run, text } from "#src/index.js";
import type { Job, Key, RunOptions, SheafError } from "#src/index.js";
import { tempDir } from "../cli/support.ts";

interface Written {
  readonly manifest: SuccessManifest;
  /** Content by path below the output; each file is as `_SUCCESS` says. */
  readonly files: ReadonlyMap<string, string>;
  /** Contents of the files of a directory, one after the other. */
  of(directory: string): string;
}

async function written(
  t: TestContext,
  jobOf: Job,
  lines: string,
  options: RunOptions = {},
): Promise<Written> {
  const directory = tempDir(t);
  const input = join(directory, "in.txt");
  writeFileSync(input, lines);
  const output = join(directory, "out");
  await run(jobOf, { inputs: [input], output, ...options });
  const manifest = JSON.parse(readFileSync(join(output, "_SUCCESS"), "utf8")) as SuccessManifest;
  const files = new Map<string, string>();
  for (const { file, bytes, crc32c: sum } of manifest.parts) {
    const content = readFileSync(join(output, file));
    assert.equal(content.length, bytes);
    assert.equal(crc32c(content).toString(16).padStart(8, "0"), sum);
    files.set(file, (file.endsWith(".gz") ? gunzipSync(content) : content).toString());
  }
  const there = readdirSync(output, { recursive: true, encoding: "utf8" });
  const found = there.filter((name) => statSync(join(output, name)).isFile() && name !== "_SUCCESS");
  assert.deepEqual(found.toSorted(), [...files.keys()].toSorted());
  const of = (name: string): string =>
    [...files].map(([file, content]) => (file.replace(/\/[^/]*$/, "") === name ? content : "")).join("");
  return { manifest, files, of };
}

/** Lines "name<tab>n", the names in turns: no two neighbours go to one file. */
const names = Array.from({ length: 100 }, (_, i) => `2024-${String(1 + (i % 12)).padStart(2, "0")}/${i}`);
const lines = Array.from({ length: 2000 }, (_, i) => `${names[(i * 37) % names.length]}\t${i}`);
const linesOf = (name: string): string[] => lines.filter((line) => line.startsWith(`${name}\t`));

test("a map-only job writes as many names as it likes, in the order of the input", async (t) => {
  for (const compress of [undefined, "gzip"] as const) {
    const options = compress === undefined ? {} : { compress };
    const splitting = job({
      input: text(),
      map: (line, emit) => emit(line),
      output: route((line: string) => line.split("\t")[0]!, text(options)),
    });
    const { files, of } = await written(t, splitting, lines.join("\n"), { splitSize: 9000 });
    for (const name of names)
      assert.equal(
        of(name),
        linesOf(name)
          .map((line) => `${line}\n`)
          .join(""),
      );
    assert.ok(files.size > names.length, "several tasks have written to one name");
  }
});

test("results wait until there are many for a file, in whatever order their names come", async (t) => {
  const directory = tempDir(t);
  const [input, output] = [join(directory, "in.txt"), join(directory, "out")];
  writeFileSync(input, lines.join("\n"));
  const packed = job({
    input: text(),
    map: (line, emit) => emit(line),
    output: route((line: string) => line.split("\t")[0]!, text({ compress: "gzip" })),
  });
  const magic = Buffer.from([0x1f, 0x8b, 8]);
  const membersOf = (bytes: Buffer): number => {
    let members = 0;
    for (let at = bytes.indexOf(magic); at >= 0; at = bytes.indexOf(magic, at + 1)) members++;
    return members;
  };
  for (const memory of [undefined, 8 * 2 ** 20]) {
    await run(packed, { inputs: [input], output, overwrite: true, ...(memory && { memory }) });
    for (const name of names)
      assert.equal(membersOf(readFileSync(join(output, name, "part-00000.txt.gz"))), 1);
  }
});

test("parts roll at the part size, also of files that were closed meanwhile", async (t) => {
  const reversed = job({
    input: text(),
    map: (line, emit) => emit([line.split("\t")[1]!.split("").toReversed().join("")], line),
    reduce: (_key: readonly string[], all: Iterable<string>) => [...all][0]!,
    output: route((_key: readonly string[], line: string) => line.split("\t")[0]!, {
      ...text(),
      encoder: () => ({ write: (_, line, sink) => sink.text(`${line}\n`) }),
    }),
  });
  const { files, of } = await written(t, reversed, lines.join("\n"), { partBytes: 60 });
  for (const name of names) {
    assert.deepEqual(of(name).split("\n").slice(0, -1).toSorted(), linesOf(name).toSorted());
    const mine = [...files].filter(([file]) => file.startsWith(`${name}/`));
    assert.ok(mine.length > 2);
    for (const [, content] of mine) assert.ok(content.length < 60 + 20);
  }
});

test("results of a reduce go to files by name, with headers, and are collected too", async (t) => {
  const counted = job({
    input: text(),
    map: (line, emit) => emit(line.split("\t")[0]!),
    reduce: count(),
    partitions: 3,
    output: route((key: Key) => String(key).slice(0, 7), csv()),
  });
  const { files, of } = await written(t, counted, lines.join("\n"));
  for (const content of files.values()) assert.match(content, /^key,value\n/);
  const rows = of("2024-03")
    .split("\n")
    .filter((line) => line.startsWith("2024"));
  assert.deepEqual(
    rows.toSorted(),
    names
      .filter((name) => name.startsWith("2024-03"))
      .map((name) => `${name},${linesOf(name).length}`)
      .toSorted(),
  );
  const collected = await run(counted, { inputs: [fileOf(t)] });
  let records = 0;
  for await (const _ of collected.records()) records++;
  assert.equal(records, names.length);
  await collected.dispose();
});

function fileOf(t: TestContext): string {
  const file = join(tempDir(t), "in.txt");
  writeFileSync(file, lines.join("\n"));
  return file;
}

test("collections are routed each on its own, and empty output has no files", async (t) => {
  const several = job({
    input: text(),
    collections: {
      all: { output: route((line: string) => `len-${line.length % 3}`, jsonl()) },
      none: { reduce: count(), output: route(() => "never") },
      plain: { reduce: count() },
    },
    map(line, emit) {
      emit.all(line);
      emit.plain("lines");
    },
  });
  const { files } = await written(t, several, "a\nbb\nccc\ndddd");
  assert.deepEqual([...files.keys()].toSorted(), [
    "all/len-0/part-00000.jsonl",
    "all/len-1/part-00000.jsonl",
    "all/len-2/part-00000.jsonl",
    "plain/part-00000.tsv",
  ]);
});

test("each name may have columns of its own, on which all files of that name agree", async (t) => {
  const events = job({
    input: text(),
    map(line, emit) {
      const [kind = "", field = ""] = line.trim().split(" ");
      emit(kind, { [field]: 1 });
    },
    output: route((kind: string) => kind, csv()),
  });
  const mixed = ["click x", "view  y", "click x", "view  y"].join("\n");
  const { of } = await written(t, events, mixed, { splitSize: 8 });
  assert.match(of("click"), /x/);
  assert.match(of("view"), /y/);
  await assert.rejects(written(t, events, "click x\nclick y", { splitSize: 8 }), /click.*agree/s);
});

const refused: readonly (readonly [unknown, RegExp])[] = [
  ["", /empty/],
  ["..", /begins with/],
  ["a/../b", /begins with/],
  ["/etc", /begins with \//],
  ["a//b", /between two/],
  ["a/", /between two/],
  ["_SUCCESS", /begins with/],
  ["_bad", /begins with/],
  [".hidden", /begins with/],
  ["part-00000.tsv", /part-00000/],
  ["a\\b", /not every file system/],
  ["10:30", /not every file system/],
  ["a\0b", /not every file system/],
  ["a\nb", /not every file system/],
  ["COM1.txt", /Windows/],
  ["nul", /Windows/],
  ["a.", /ends with/],
  ["x".repeat(201), /200 bytes/],
  ["é".repeat(101), /200 bytes/],
  [Array.from({ length: 300 }, () => "abcd").join("/"), /1000 characters/],
  ["\ud800", /surrogate/],
  [undefined, /a undefined, no text|no text/],
  [7, /a number, no text/],
  [Promise.resolve("a"), /no text/],
];

test("names that would lie elsewhere, or not everywhere, are refused", async (t) => {
  for (const [name, problem] of refused) assert.match(outputNameProblem(name) ?? "", problem, String(name));
  for (const name of [
    "2024-01-01",
    "2024/01/01",
    "date=2024-01-01",
    "São Paulo",
    "a.b",
    "日本",
    "partly",
    "x".repeat(200),
  ])
    assert.equal(outputNameProblem(name), undefined, name);
  const wrong = job({
    input: text(),
    map: (line, emit) => emit(line, 1),
    output: route((line: string) => `../${line}`),
  });
  await assert.rejects(written(t, wrong, "a"), (error: SheafError) => {
    assert.equal(error.code, "VALUE_INVALID");
    assert.match(error.message, /route\(\) gave "\.\.\/a" as the name of an output directory/);
    return true;
  });
});

test("a record whose name is refused is set aside with --max-bad", async (t) => {
  const splitting = job({
    input: text(),
    map: (line, emit) => emit(line),
    output: route((line: string) => line, text()),
  });
  const directory = tempDir(t);
  writeFileSync(join(directory, "in.txt"), "a\n..\nb\n");
  const output = join(directory, "out");
  const result = await run(splitting, { inputs: [join(directory, "in.txt")], output, maxBad: 1 });
  assert.equal(result.stats.badRecords, 1);
  assert.equal(readFileSync(join(output, "a/part-00000.txt"), "utf8"), "a\n");
  assert.equal(readFileSync(join(output, "b/part-00000.txt"), "utf8"), "b\n");
});

test("names that differ in case or composition only are refused, in one task and in several", async (t) => {
  const splitting = job({
    input: text(),
    map: (line, emit) => emit(line),
    output: route((line: string) => line.trim(), text()),
  });
  for (const splitSize of [1 << 20, 8]) {
    for (const pair of [
      ["Ulm", "ulm"],
      ["x/Caf\u00e9", "x/cafe\u0301"],
    ]) {
      await assert.rejects(
        written(t, splitting, pair.map((name) => name.padEnd(9)).join("\n"), { splitSize }),
        /one directory on some file systems/,
      );
    }
  }
});

test("a clash is told exactly where two paths fold to one, at any level", () => {
  const segment = fc.constantFrom("a", "A", "b", "é", "e\u0301", "É");
  const path = fc.array(segment, { minLength: 1, maxLength: 3 }).map((list) => list.join("/"));
  const fold = (text: string): string => text.normalize("NFC").toLowerCase();
  fc.assert(
    fc.property(fc.array(path, { maxLength: 6 }), (paths) => {
      const seen = new OutputNames();
      const prefixes: string[] = [];
      for (const one of paths) {
        const mine = one.split("/").map((_, i, all) => all.slice(0, i + 1).join("/"));
        const clashes = mine.some((a) => prefixes.some((b) => a !== b && fold(a) === fold(b)));
        assert.equal(seen.clash(one) !== undefined, clashes);
        if (clashes) return;
        prefixes.push(...mine);
      }
    }),
    { seed: 20261128 },
  );
});

test("an error that route() throws is told as its own", async (t) => {
  const failing = job({
    input: text(),
    map: (line, emit) => emit(line),
    output: route((): string => {
      throw new TypeError("no date in it");
    }),
  });
  await assert.rejects(written(t, failing, "a"), /no date in it/);
});
