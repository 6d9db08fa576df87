import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { seededRandom } from "#src/base/random.js";
import type { Random } from "#src/base/random.js";
import type { LocalRunOptions } from "#src/engine/options.js";
import type { InjectedFault } from "#src/worker/fault-injection.js";
import { Bench, wordCount } from "../runner/support.ts";

const PARTITIONS = [1, 3, 10];
/** For each number of partitions. SHEAF_KILL_SCHEDULES=100 looks longer; the first seeds stay the same. */
const SCHEDULES = Number(process.env["SHEAF_KILL_SCHEDULES"] ?? 3);
const FAULTS = 3;

const words = Array.from({ length: 1_500 }, (_, i) => `w${(i * i) % 211}${i % 3 === 0 ? "é" : ""}`);
const text = words.map((word, i) => word + (i % 5 === 4 ? "\n" : " ")).join("");

const combine = `combine(key, values) {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
},`;

/** Counted by the simplest means: each word and how often it is there. */
function countByHand(): string[] {
  const counts = new Map<string, number>();
  for (const word of text.split(/[ \n]/)) if (word !== "") counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts].map(([word, count]) => `${word}\t${count}`).sort();
}

function pick<T>(random: Random, from: readonly T[]): T {
  return from[random.below(from.length)]!;
}

/** Faults that leave each task an attempt that is not hit. */
function killSchedule(random: Random, mapTasks: number, reduceTasks: number): InjectedFault[] {
  return Array.from({ length: FAULTS }, () => {
    const phase = pick(random, ["map", "reduce"] as const);
    return {
      phase,
      task: random.below(phase === "map" ? mapTasks : reduceTasks),
      untilAttempt: 1 + random.below(2),
      when: pick(random, ["start", "end"] as const),
      how: pick(random, ["throw", "exit", "kill", "kill", "disk-full"] as const),
    };
  });
}

async function outputOf(
  bench: Bench,
  combiner: boolean,
  options: LocalRunOptions,
  about: string,
): Promise<string[]> {
  const job = wordCount({ more: combiner ? combine : "" });
  const result = await bench.run(job, { ...options, attempts: 4, overwrite: true });
  assert.equal(result.status, "SUCCEEDED", `${about}\n${result.error?.report}`);
  assert.deepEqual(result.counters, { lines: 300 }, about);
  assert.deepEqual(bench.left(), ["out"], about);
  return bench.parts().map((part) => readFileSync(part, "utf8"));
}

for (const partitions of PARTITIONS) {
  test(`D19: ${partitions} partitions: any workers, splits, combiner and kills give the same bytes`, async (t) => {
    const bench = new Bench(t);
    const inputs = bench.file("in.txt", text);
    const calm = { inputs, partitions, workers: 1 };
    const expected = await outputOf(bench, false, calm, "calm");
    assert.equal(expected.length, partitions);
    assert.deepEqual(
      expected.flatMap((part) => part.split("\n").filter((line) => line !== "")).sort(),
      countByHand(),
    );
    assert.deepEqual(await outputOf(bench, true, calm, "calm, combined"), expected);

    let hit = 0;
    for (let seed = 1; seed <= SCHEDULES; seed++) {
      const random = seededRandom(`${partitions}/${seed}`);
      const workers = pick(random, [1, 2, 4]);
      const splitSize = pick(random, [300, 777, 2_000, 100_000]);
      const combiner = pick(random, [true, false]);
      const isolate = seed % 3 === 0 ? "process" : "thread";
      const fail = killSchedule(random, Math.ceil(Buffer.byteLength(text) / splitSize), partitions);
      const options: LocalRunOptions = { inputs, partitions, workers, splitSize, isolate, fail };
      const about = JSON.stringify({ seed, combiner, ...options });
      assert.deepEqual(await outputOf(bench, combiner, options, about), expected, about);
      hit += bench.of("attempt-failed").length;
    }
    assert.ok(hit >= SCHEDULES * (FAULTS - 1), `only ${hit} attempts were hit`);
  });
}
