import { crc32c } from "@node-rs/crc32";
import assert from "node:assert/strict";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { describe, test } from "node:test";
import type { RunEvent } from "#src/engine/events.js";
import type { LocalRunOptions } from "#src/engine/options.js";
import type { RunResult } from "#src/engine/run-result.js";
import { ENTRY_CRC_OFFSET, INDEX_ENTRY_BYTES, TRAILER_BYTES } from "#src/shuffle/run-format.js";
import { assertFailed, Bench, inputText, wordCount } from "../runner/support.ts";

/** Two maps with output in each of two partitions, and a reduce that fails on any value that is not a 1. */
const inputs = (bench: Bench): string[] => [
  bench.file("a.txt", inputText.repeat(20)),
  bench.file("b.txt", inputText.repeat(20).toUpperCase()),
];
const strict = wordCount({
  reduce: `
    const all = [...values];
    if (all.some((value) => value !== 1)) throw new Error("user code has seen damage");
    return all.length;
  `,
});
const options = { splitSize: 1_000, partitions: 2, attempts: 1, workers: 1 } as const;

/** Runs the job; `damage` is done once, when the first attempts of all maps are finished. */
function damaged(bench: Bench, damage: (run: (task: string) => string) => void): Promise<RunResult> {
  const finished = new Set<string>();
  let done = false;
  const onEvent = (event: RunEvent): void => {
    if (event.kind === "attempt-finished") finished.add(event.task);
    const maps = bench.of("planned")[0]?.mapTasks ?? 0;
    if (done || maps === 0 || finished.size < maps) return;
    done = true;
    damage((task) => bench.work(`${task}.1`, "map.run"));
  };
  return bench.run(strict, { ...options, inputs: inputs(bench), onEvent });
}

/** All counted, and just the map of that name was run again. */
async function assertRepaired(bench: Bench, damage: (run: (task: string) => string) => void): Promise<void> {
  const expected = await bench.run(strict, { ...options, inputs: inputs(bench) });
  assert.equal(expected.status, "SUCCEEDED", expected.error?.report);
  const lines = bench.lines();
  assert.equal(lines.length, 16);
  rmSync(bench.output, { recursive: true });
  const result = await damaged(bench, damage);
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.deepEqual(bench.lines(), lines);
  assert.deepEqual(result.counters, expected.counters);
  const again = bench
    .of("attempt-finished")
    .filter(({ task, attempt }) => task.startsWith("map") && attempt > 1);
  assert.deepEqual(
    again.map(({ task }) => task),
    ["map-00000"],
  );
  assert.deepEqual([...new Set(result.failedAttempts.map(({ failure }) => failure.code))], ["BLOCK_CORRUPT"]);
  assert.deepEqual(bench.left(), ["out"]);
}

/** Changes the file's bytes. */
function edit(path: string, change: (bytes: Buffer) => void): void {
  const bytes = readFileSync(path);
  change(bytes);
  writeFileSync(path, bytes);
}

describe("S2: a damaged index", () => {
  for (const [what, change] of [
    ["a bit of an entry", (bytes: Buffer) => void (bytes[bytes.length - TRAILER_BYTES - 30]! ^= 1)],
    ["a bit of the trailer", (bytes: Buffer) => void (bytes[bytes.length - 20]! ^= 1)],
    ["a bit of the header", (bytes: Buffer) => void (bytes[9]! ^= 1)],
    ["the first bit of a block", (bytes: Buffer) => void (bytes[16]! ^= 1)],
    ["the length of a block", (bytes: Buffer) => void (bytes[16 + 44]! ^= 1)],
    ["the last bit of the blocks", (bytes: Buffer) => void (bytes[lastBlockEnd(bytes) - 1]! ^= 1)],
  ] as const) {
    test(`S2: ${what}: the map runs again, and no user code sees it`, async (t) => {
      await assertRepaired(new Bench(t), (run) => edit(run("map-00000"), change));
    });
  }

  test("S2: the end of the file cut off, and bytes behind it", async (t) => {
    await assertRepaired(new Bench(t), (run) => {
      writeFileSync(run("map-00000"), readFileSync(run("map-00000")).subarray(0, -1));
    });
    await assertRepaired(new Bench(t), (run) => {
      writeFileSync(run("map-00000"), Buffer.concat([readFileSync(run("map-00000")), Buffer.alloc(7)]));
    });
  });
});

function lastBlockEnd(bytes: Buffer): number {
  return Number(bytes.readBigUInt64LE(bytes.length - TRAILER_BYTES));
}

describe("S5: sound blocks of something else", () => {
  test("S5: another map's are refused", async (t) => {
    await assertRepaired(new Bench(t), (run) => copyFileSync(run("map-00001"), run("map-00000")));
  });

  test("S5: another job's are refused", async (t) => {
    const bench = new Bench(t);
    const other = new Bench(t);
    let kept = Buffer.alloc(0);
    await damaged(other, (run) => (kept = readFileSync(run("map-00000"))));
    assert.ok(kept.length > 0);
    await assertRepaired(bench, (run) => writeFileSync(run("map-00000"), kept));
  });

  test("S5: another attempt's are refused, however alike", async (t) => {
    const bench = new Bench(t);
    let first = Buffer.alloc(0);
    const onEvent = (event: RunEvent): void => {
      if (event.kind !== "attempt-finished" || event.task !== "map-00000") return;
      if (event.attempt === 1) {
        first = readFileSync(bench.work("map-00000.1", "map.run"));
        rmSync(bench.work("map-00000.1", "map.run"));
      }
      if (event.attempt === 2) writeFileSync(bench.work("map-00000.2", "map.run"), first);
    };
    const result = await bench.run(strict, { ...options, inputs: inputs(bench), onEvent });
    assert.equal(result.status, "SUCCEEDED", result.error?.report);
    assert.ok(
      bench.of("attempt-finished").some(({ task, attempt }) => task === "map-00000" && attempt === 3),
    );
    assert.match(result.failedAttempts.at(-1)!.failure.message, /another job or attempt/);
  });

  test("S5: another partition's are refused, even where the index says they are the ones", async (t) => {
    await assertRepaired(new Bench(t), (run) => {
      edit(run("map-00000"), (bytes) => {
        const entry = lastBlockEnd(bytes);
        const next = entry + INDEX_ENTRY_BYTES;
        // Blocks, offset, length, records, bytes: all but whose they are.
        const first = Buffer.from(bytes.subarray(entry + 12, entry + ENTRY_CRC_OFFSET));
        bytes.copy(bytes, entry + 12, next + 12, next + ENTRY_CRC_OFFSET);
        first.copy(bytes, next + 12);
        for (const at of [entry, next]) {
          bytes.writeUInt32LE(crc32c(bytes.subarray(at, at + ENTRY_CRC_OFFSET)), at + ENTRY_CRC_OFFSET);
        }
      });
    });
  });
});

test("S1: a map output that is deleted with its directory is made again; the reduce loses no attempt", async (t) => {
  await assertRepaired(new Bench(t), (run) =>
    rmSync(run("map-00000").replace(/\/map\.run$/, ""), { recursive: true }),
  );
});

test("S7: a map output that is lost every time ends the job, with that cause", async (t) => {
  const bench = new Bench(t);
  const onEvent: LocalRunOptions["onEvent"] = (event) => {
    if (event.kind === "attempt-finished" && event.task === "map-00000") {
      rmSync(bench.work(`map-00000.${event.attempt}`, "map.run"));
    }
  };
  const result = await bench.run(strict, { ...options, inputs: inputs(bench), onEvent });
  assertFailed(bench, result, "BLOCK_CORRUPT");
  assert.match(result.error!.message, /map-00000 could not be fetched \d+ times.*the run file is gone/);
});
