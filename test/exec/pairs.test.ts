import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { exec, type ExecOptions, job, text } from "#src/index.js";
import type { Job } from "#src/index.js";
import { runJob } from "#src/runner/run.js";
import { file, outputOf } from "./support.js";

const map = (options: ExecOptions): Job =>
  job({ input: text({ invalid: "bytes" }), map: exec(["cat"], options), order: "hash", partitions: 1 });

async function collected(what: Job, input: string): Promise<unknown[]> {
  const result = await runJob(what, { inputs: [input], stateDirectory: null, memory: "16MiB", attempts: 1 });
  try {
    result.throwIfFailed();
    const pairs: unknown[] = [];
    for await (const pair of result.records()) pairs.push(pair);
    return pairs;
  } finally {
    await result.dispose();
  }
}

describe("pairs of programs that JavaScript reads", () => {
  test("have the keys that the program has written, also where they are sorted by fields", async () => {
    const input = file("numbers.txt", "9\ta\n10\tb\n");
    assert.deepEqual(await collected(map({ sort: "-k1nr" }), input), [
      ["10", "b"],
      ["9", "a"],
    ]);
  });

  test("lose no byte when they are collected: those that are no text are refused, or come as bytes", async () => {
    const input = file("latin.txt", Buffer.from("caf\xe9\t\xff\n", "latin1"));
    await assert.rejects(collected(map({}), input), { code: "VALUE_INVALID" });
    await assert.rejects(collected(map({ sort: "-k1", invalid: "bytes" }), input), { code: "VALUE_INVALID" });
    const [pair] = (await collected(map({ invalid: "bytes" }), input)) as Uint8Array[][];
    assert.deepEqual(
      pair!.map((one) => Buffer.from(one).toString("latin1")),
      ["caf\xe9", "\xff"],
    );
  });
});

test("numbers of a combiner are written as such, though the map's values are texts", async () => {
  const input = file("ones.txt", "k\t1.50\nj\t20\n");
  const what = job({
    input: text(),
    map: exec(["cat"]),
    combine: exec(["cat"], { values: "number" }),
    reduce: exec(["cat"]),
    partitions: 1,
  });
  assert.equal(await outputOf(what, input), "j\t20\nk\t1.5\n");
});

test("integers beyond 2^53 are refused where values are numbers, and kept to their digits where they are texts", async () => {
  const input = file("long.txt", "k\t9007199254740993\nk\t-3\n");
  const summed = (options: ExecOptions): Job =>
    job({
      input: text(),
      map: exec(["cat"], options),
      reduce: (_key: string, values: Iterable<number | string>) => {
        let all = 0n;
        for (const value of values) all += BigInt(value);
        return all;
      },
      partitions: 1,
    });
  await assert.rejects(collected(summed({ values: "number" }), input), {
    code: "VALUE_INVALID",
    message: /"k\\t9007199254740993", whose value is beyond 2\^53 and would be rounded/,
  });
  assert.deepEqual(await collected(summed({}), input), [["k", 9007199254740990n]]);
  const held = file("held.txt", "k\t9007199254740991\nk\t1e300\nk\t 0.5 \r\nk\t-9007199254740993.0\n");
  const values = await collected(map({ values: "number" }), held);
  assert.deepEqual(values, [
    ["k", 9007199254740991],
    ["k", 1e300],
    ["k", 0.5],
    ["k", -9007199254740992],
  ]);
});
