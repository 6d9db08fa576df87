import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { MiB } from "#src/base/size.js";
import { assertFailed as assertRunFailed, Bench } from "../runner/support.ts";
import { assertDone, assertFailed, Place } from "./support.ts";

/** 3,000 lines, none like another: what the files in test/fixtures/format were made of. */
const lines = Array.from({ length: 3000 }, (_, i) => `line ${i} ${(i * 7919) % 1000003} é`);
const plain = Buffer.from(lines.map((line) => `${line}\n`).join(""));

function fixture(name: string): Buffer {
  return readFileSync(new URL(`../../../test/fixtures/format/${name}`, import.meta.url));
}

function changed(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at < 0 ? copy.length + at : at]! ^= 0x11;
  return copy;
}

/** Every line a key: a line that is lost, torn or doubled shows. */
const each = `
  import { count, job, text } from "sheaf";
  export default job({
    input: text(),
    map(line, emit) { emit(line); },
    reduce: count(),
  });
`;

const files = [
  ["gz", gzipSync(plain), 8],
  ["bz2", fixture("lines.bz2"), 10],
  ["zst", fixture("lines.zst"), 4],
] as const;

for (const [extension, good, trailerBytes] of files) {
  describe(`D5: ${extension}`, () => {
    test(`D5: ${extension}: all members are read, and nothing twice`, async (t) => {
      const place = new Place(t);
      place.file("job.ts", each);
      place.file(`in.${extension}`, Buffer.concat([good, good]));
      await assertDone(place, await place.here(["run", "job.ts", `in.${extension}`, "-o", "out"]));
      assert.deepEqual(place.lines(), lines.map((line) => `${line}\t2`).sort());
    });

    for (const [what, bytes] of [
      ["cut in the middle", good.subarray(0, good.length / 2)],
      ["cut by its last byte", good.subarray(0, -1)],
      ["without a trailer", good.subarray(0, -trailerBytes)],
      ["with a wrong checksum", changed(good, extension === "gz" ? -8 : -2)],
      ["with wrong data", changed(good, Math.floor(good.length / 2))],
      ["followed by something else", Buffer.concat([good, Buffer.from("something else")])],
      ["with a second member that is cut", Buffer.concat([good, good.subarray(0, -3)])],
      ["in name only", plain],
    ] as const) {
      test(`D5: ${extension} ${what} fails, names the file and gives no output`, async (t) => {
        const bench = new Bench(t);
        const inputs = bench.file(`in.${extension}`, "");
        bench.file(`in.${extension}`, bytes);
        // Setting bad records aside does not make up for records that are missing.
        const options = { inputs, attempts: 1, maxBad: "50%", isolate: "inline" } as const;
        const result = await bench.run(each, options);
        assertRunFailed(bench, result, "INPUT_CORRUPT");
        assert.ok(result.error!.message.includes(inputs), result.error!.message);
      });
    }
  });
}

test("D5: the command says what is damaged, and leaves nothing", async (t) => {
  const place = new Place(t);
  place.file("job.ts", each);
  place.file("good.txt", plain);
  place.file("in.gz", gzipSync(plain).subarray(0, -4));
  const result = await place.here(["run", "job.ts", "good.txt", "in.gz", "-o", "out"]);
  await assertFailed(place, result, "INPUT_CORRUPT", /in\.gz.*damaged or cut.*unexpected end/);
});

describe("D6: what would fill the memory", () => {
  test("D6: a gzip bomb without a newline trips the record limit in bounded memory", async (t) => {
    const place = new Place(t);
    place.file("job.ts", each);
    // 1 GiB in 64 members, of which only what the limit lets through is ever in memory.
    const member = gzipSync(Buffer.alloc(16 * MiB, "x"));
    place.file("bomb.gz", Buffer.concat(Array.from({ length: 64 }, () => member)));
    const args = ["run", "job.ts", "bomb.gz", "-o", "out", "--memory", "16MiB", "--attempts", "1"];
    const { result, peakBytes } = await place.measured(args);
    await assertFailed(place, result, "RECORD_TOO_LARGE", /bomb\.gz:0: the record is longer than 64 MiB/);
    assert.ok(peakBytes < 500 * MiB, `${peakBytes / MiB} MiB`);
  });

  test("D6: with --max-bad the bomb is one bad record, however long it is", async (t) => {
    const place = new Place(t);
    place.file("job.ts", each);
    const member = gzipSync(Buffer.alloc(16 * MiB, "x"));
    const bomb = Array.from({ length: 16 }, () => member);
    place.file("bomb.gz", Buffer.concat([gzipSync("before\n"), ...bomb, gzipSync("\nafter\n")]));
    const args = ["run", "job.ts", "bomb.gz", "-o", "out", "--memory", "16MiB", "--max-bad", "1"];
    const { result, peakBytes } = await place.measured(args);
    await assertDone(place, result);
    assert.deepEqual(place.lines(), ["after\t1", "before\t1"]);
    assert.ok(peakBytes < 500 * MiB, `${peakBytes / MiB} MiB`);
  });
});

describe("D7: long records", () => {
  const long = `${"é".repeat(2 * MiB - 1)}!`;

  test("D7: a record of 4 MB passes, as it is, in the least memory", async (t) => {
    const place = new Place(t);
    place.file("job.ts", each);
    place.file("in.txt", `short\n${long}\nshort\n`);
    const args = ["run", "job.ts", "in.txt", "-o", "out", "--memory", "8MiB", "--split-size", "1MiB"];
    await assertDone(place, await place.here(args));
    assert.deepEqual(
      place.lines().map((line) => line.length),
      ["short\t2".length, long.length + 2],
    );
    assert.ok(place.lines()[1] === `${long}\t1`);
  });

  const limited = each.replace("text()", "text({ recordBytesMax: 1000 })");
  const records = ["a", "b".repeat(1000), "c".repeat(1001), "d", "e".repeat(5000), "f"];

  test("D7: one over the limit fails with its offset", async (t) => {
    const bench = new Bench(t);
    const inputs = bench.file("in.txt", records.join("\n"));
    for (const splitSize of [100, 10_000]) {
      const options = { inputs, splitSize, attempts: 1, isolate: "inline" } as const;
      const result = await bench.run(limited, options);
      assertRunFailed(bench, result, "RECORD_TOO_LARGE");
      assert.match(result.error!.message, /in\.txt:1003: the record is longer than 1000 B/);
    }
  });

  test("D7: one over the limit is counted as bad, for any split size, and the others are there", async (t) => {
    const bench = new Bench(t);
    const inputs = bench.file("in.txt", records.join("\n"));
    for (const splitSize of [100, 999, 10_000]) {
      const options = { inputs, splitSize, maxBad: 2, overwrite: true, isolate: "inline" } as const;
      const result = await bench.run(limited, options);
      assert.equal(result.status, "SUCCEEDED", result.error?.report);
      assert.equal(result.badRecords, 2);
      assert.deepEqual(
        bench.lines(),
        [records[0], records[1], records[3], records[5]].map((line) => `${line}\t1`),
      );
    }
  });
});
