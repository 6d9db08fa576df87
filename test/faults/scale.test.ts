import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { MiB } from "#src/base/size.js";
import { assertDone, Place } from "./support.ts";

test("D8: one key with 90 % of ten million values: they stream, the memory stays flat", async (t) => {
  const place = new Place(t);
  place.file(
    "job.ts",
    `
    import { generate, job } from "sheaf";
    export default job({
      input: generate({ tasks: 4, *records() { for (let i = 0; i < 2_500_000; i++) yield i; } }),
      map(n: number, emit) { emit(n % 10 === 0 ? n % 1000 : "hot", "value " + n); },
      reduce(key: number | string, values: Iterable<string>) {
        let values_ = 0;
        let characters = 0;
        for (const value of values) {
          values_++;
          characters += value.length;
        }
        return [values_, characters];
      },
      partitions: 2,
    });
    `,
  );
  const { result, peakBytes } = await place.measured([
    "run",
    "job.ts",
    "-o",
    "out",
    "-m",
    "16MiB",
    "-w",
    "2",
  ]);
  await assertDone(place, result);
  let characters = 0;
  for (let n = 0; n < 2_500_000; n++) if (n % 10 !== 0) characters += `value ${n}`.length * 4;
  const lines = place.lines();
  assert.equal(
    lines.find((line) => line.startsWith("hot")),
    `hot\t9000000\t${characters}`,
  );
  assert.equal(lines.length, 101);
  // The values alone are 127 MB on disk, and would be half a GiB as an array.
  t.diagnostic(`${Math.round(peakBytes / MiB)} MiB at most`);
  assert.ok(peakBytes < 400 * MiB, `${peakBytes / MiB} MiB`);
});

/** SHEAF_SCALE=full, as .ci/run has it: a million keys and ten thousand partitions, in a minute. */
const isFull = process.env["SHEAF_SCALE"] === "full";
const keysMade = isFull ? 1_000_000 : 200_000;
const partitions = isFull ? 10_000 : 1_500;

/** Writes many keys to many partitions; the first reduce waits until the test has looked. */
const manyKeys = `
  import { existsSync } from "node:fs";
  import { generate, job } from "sheaf";
  export default job({
    input: generate({
      tasks: 4,
      *records({ index }) { for (let i = index; i < ${keysMade}; i += 4) yield i; },
    }),
    map(n: number, emit) { emit("key" + n, n); },
    reduce(key: string, values: Iterable<number>, ctx) {
      if (ctx.index === 0 && !existsSync("gate/open")) {
        console.log("at work");
        while (!existsSync("gate/open")) ctx.progress();
      }
      let sum = 0;
      for (const value of values) sum += value;
      return sum;
    },
    partitions: ${partitions},
  });
`;

test("D9: very many keys and partitions: each key once, one file per map attempt", async (t) => {
  const place = new Place(t);
  // Twice so many files to sync: on a disk that takes half a minute.
  const output = place.mountIf("fast", "size=1g") ? "fast/out" : "out";
  place.file("job.ts", manyKeys);
  place.file("gate/x", "");
  const run = place.startMeasured(["run", "job.ts", "-o", output, "-m", "16MiB", "-w", "2"]);
  await run.until("at work");
  const beside = place.path(output, "..");
  const [work] = readdirSync(beside).filter((name) => name.startsWith(".out.sheaf-"));
  const attempts = readdirSync(join(beside, work!, "work")).filter((name) => name.startsWith("map-"));
  const files = attempts.map((attempt) => readdirSync(join(beside, work!, "work", attempt)));
  assert.deepEqual(files, [["map.run"], ["map.run"], ["map.run"], ["map.run"]]);
  place.file("gate/open", "");
  const { result, peakBytes } = await run.done;
  assert.equal(result.code, 0, result.stderr);
  const parts = place.parts(output);
  assert.equal(parts.length, partitions);
  const seen = new Uint8Array(keysMade);
  for (const part of parts) {
    for (const line of readFileSync(part, "latin1").split("\n")) {
      if (line === "") continue;
      const [key, value] = line.split("\t");
      assert.equal(key, `key${value}`);
      seen[Number(value)]!++;
    }
  }
  assert.ok(seen.every((times) => times === 1));
  t.diagnostic(`${Math.round(peakBytes / MiB)} MiB at most`);
  assert.ok(peakBytes < 500 * MiB, `${peakBytes / MiB} MiB`);
});

test("S14: many times more is shuffled than memory holds, by slow reducers: the memory stays bounded", async (t) => {
  const place = new Place(t);
  place.file(
    "job.ts",
    `
    import { createCipheriv, createHash } from "node:crypto";
    import { generate, job } from "sheaf";
    const zeros = Buffer.alloc(2048);
    const iv = Buffer.alloc(16);
    export default job({
      input: generate({ tasks: 8, *records() { for (let i = 0; i < 12_500; i++) yield i; } }),
      map(n: number, emit, ctx) {
        // Bytes that do not compress, and are the same in every attempt.
        iv.writeUInt32LE(n, 0);
        iv.writeUInt32LE(ctx.index, 4);
        emit((n * 7919) % 9973, createCipheriv("aes-128-ctr", Buffer.alloc(16), iv).update(zeros));
      },
      reduce(key: number, values: Iterable<Uint8Array>) {
        let bytes = 0;
        for (const value of values) bytes += createHash("sha256").update(value).digest().length + value.length;
        return bytes;
      },
      partitions: 3,
    });
    `,
  );
  const { result, peakBytes } = await place.measured(["run", "job.ts", "-o", "out", "-m", "8MiB", "-w", "2"]);
  await assertDone(place, result);
  const sum = place.lines().reduce((all, line) => all + Number(line.split("\t")[1]), 0);
  assert.equal(sum, 8 * 12_500 * (2048 + 32));
  assert.match(result.stderr, /shuffled +100,000 pairs as (19|20)\d(\.\d)? MiB/);
  // 200 MB went through the two workers, each with 8 MiB for data.
  t.diagnostic(`${Math.round(peakBytes / MiB)} MiB at most`);
  assert.ok(peakBytes < 320 * MiB, `${peakBytes / MiB} MiB`);
});
