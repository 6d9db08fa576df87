import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { crc32cOfFile } from "#src/storage/content-check.js";
import { Bench } from "./support.ts";

const spins = `
  import { count, generate, job, stats, sum } from "sheaf";
  export default job({
    input: generate({
      tasks: 3,
      *records({ random }) {
        for (;;) yield { player: Math.floor(random() * 5), win: random(), odd: ["é\\t", null] };
      },
      count: 6_000,
    }),
    map(spin, emit) { const { player, win } = spin; spin.win = "spoilt"; emit(player, { n: undefined, win }); },
    reduce: stats({ n: count(), win: sum() }),
  });`;

const again = `
  import { count, job, jsonl, stats, sum } from "sheaf";
  export default job({
    input: jsonl<{ player: number; win: number }>(),
    map({ player, win }, emit) { emit(player, { n: undefined, win }); },
    reduce: stats({ n: count(), win: sum() }),
  });`;

test("records are kept as a dataset: counted, checksummed, and read again with one call", async (t) => {
  const bench = new Bench(t);
  const kept = join(bench.root, "elsewhere", "spins");
  const options = { on: "inline", partitions: 2, partBytes: 20_000 } as const;
  const first = await bench.run(spins, { ...options, materialize: kept });
  assert.equal(first.status, "SUCCEEDED", first.error?.report);
  const { materialized } = first;
  assert.equal(materialized!.records, 6_000);
  assert.equal(materialized!.directory, kept);
  assert.ok(materialized!.parts.length > 3, "parts are rolled");
  assert.equal(first.stats.recordsOut, 5, "they are not what the job gives");
  const manifest = JSON.parse(readFileSync(join(kept, "_SUCCESS"), "utf8")) as { parts: unknown };
  assert.deepEqual(manifest.parts, materialized!.parts);
  for (const { file, bytes, crc32c } of materialized!.parts) {
    const found = await crc32cOfFile(join(kept, file));
    assert.deepEqual([found.bytes, found.crc32c.toString(16).padStart(8, "0")], [bytes, crc32c]);
  }
  assert.deepEqual(readdirSync(join(bench.root, "elsewhere")), ["spins"], "nothing else is left");
  const lines = bench.lines();
  const second = await bench.run(again, { ...options, inputs: kept, overwrite: true });
  assert.equal(second.stats.recordsIn, 6_000);
  assert.deepEqual(bench.lines(), lines, "byte for byte");
  // Workers do not show in it.
  const files = () => materialized!.parts.map(({ file }) => readFileSync(join(kept, file), "utf8"));
  const before = files();
  const third = await bench.run(spins, { ...options, on: "local", materialize: kept, overwrite: true });
  assert.deepEqual(third.materialized, materialized);
  assert.deepEqual(files(), before);
});

test("records that are read are kept before map sees them; those that it fails on, too", async (t) => {
  const bench = new Bench(t);
  const kept = join(bench.root, "lines");
  const inputs = bench.file("in.txt", "one\ntwo\nthree\nfour\n");
  const failing = `
    import { count, job, text } from "sheaf";
    export default job({
      input: text(),
      map(line, emit) { if (line === "two") throw new Error("no"); emit(line.length); },
      reduce: count(),
    });`;
  const failed = await bench.run(failing, { on: "inline", inputs, materialize: kept });
  assert.equal(failed.status, "FAILED");
  assert.equal(failed.materialized, null);
  assert.deepEqual([existsSync(kept), bench.left()], [false, []], "a job that fails keeps nothing");
  const { badRecords, materialized } = await bench.run(failing, {
    on: "inline",
    inputs,
    materialize: kept,
    maxBad: 1,
  });
  assert.equal(badRecords, 1);
  const read = readFileSync(join(kept, materialized!.parts[0]!.file), "utf8");
  assert.equal(read, '"one"\n"two"\n"three"\n"four"\n');
  const manifest = JSON.parse(readFileSync(join(kept, "_SUCCESS"), "utf8")) as { badRecords: number };
  assert.equal(manifest.badRecords, 0, "the record is as good as the others");
  // A word count takes the text in its bytes when nobody keeps records.
  const words = `
    import { count, job, words } from "sheaf";
    export default job({ input: words(), reduce: count() });`;
  const native = await bench.run(words, { on: "inline", inputs, materialize: kept, overwrite: true });
  assert.equal(native.materialized!.records, 4);
});

test("a record that would not come back as it is, and a directory in use, are refused", async (t) => {
  const bench = new Bench(t);
  const kept = join(bench.root, "kept");
  for (const record of ["5n", "{ a: new Date(0) }", "[NaN]", "{ a: undefined }", "new Map()", "undefined"]) {
    const { error } = await bench.run(
      `import { generate, job } from "sheaf";
       const input = generate({ *records() { yield ${record}; } });
       export default job({ input, map: (one, emit) => emit("a", 1) });`,
      { on: "inline", materialize: kept },
    );
    assert.equal(error?.code, "VALUE_INVALID", record);
    assert.match(error!.message, /no plain JSON data at record/);
    assert.deepEqual([existsSync(kept), bench.left()], [false, []]);
  }
  const mine = bench.file("kept/mine.txt", "mine");
  for (const overwrite of [false, true]) {
    const { error } = await bench.run(spins, { on: "inline", materialize: kept, overwrite });
    assert.ok(error !== null && /OUTPUT/.test(error.code), String(error?.code));
    assert.equal(readFileSync(mine, "utf8"), "mine");
  }
  writeFileSync(join(bench.root, "in.jsonl"), "1\n");
  for (const materialize of [bench.output, join(bench.output, "inner"), bench.root])
    await assert.rejects(bench.run(spins, { materialize }), { code: "USAGE", message: /lie in one another/ });
  const { error } = await bench.run(spins, { materialize: join(bench.root, "other"), once: true });
  assert.match(error!.message, /once does not go with materialize/);
});

test("where the output cannot be put in its place the records are taken back, and what they replaced is there again", async (t) => {
  const bench = new Bench(t);
  const kept = join(bench.root, "kept");
  const blocked = `
    import { mkdirSync, writeFileSync } from "node:fs";
    ${spins.replace(
      "reduce:",
      `expect() {
         mkdirSync(${JSON.stringify(bench.output)}, { recursive: true });
         writeFileSync(${JSON.stringify(join(bench.output, "mine.txt"))}, "mine");
         return true;
       },
       reduce:`,
    )}`;
  const options = { on: "inline", partitions: 1, materialize: kept } as const;
  const ran = async (job: string, overwrite: boolean) => bench.run(job, { ...options, overwrite });
  assert.match((await ran(blocked, false)).error?.code ?? "", /OUTPUT_EXISTS/);
  assert.deepEqual([existsSync(kept), bench.left()], [false, ["out"]]);
  rmSync(bench.output, { recursive: true });
  const first = await ran(spins, false);
  assert.equal(first.status, "SUCCEEDED", first.error?.report);
  const files = (): string[] => readdirSync(kept).map((name) => readFileSync(join(kept, name), "utf8"));
  const before = files();
  const other = blocked.replace("count: 6_000", "count: 30");
  const { error, materialized } = await ran(other, true);
  assert.deepEqual([error?.code, materialized], ["OUTPUT_UNWRITABLE", null]);
  assert.deepEqual(files(), before);
  assert.deepEqual(
    readdirSync(bench.root).filter((name) => name.startsWith(".kept")),
    [],
  );
});
