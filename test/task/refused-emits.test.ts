import assert from "node:assert/strict";
import { test } from "node:test";
import { argMax } from "#src/aggregate/arg-extreme.js";
import { collect } from "#src/aggregate/collect.js";
import { count } from "#src/aggregate/count.js";
import { mean } from "#src/aggregate/mean.js";
import { max } from "#src/aggregate/min-max.js";
import { stats } from "#src/aggregate/stats.js";
import { sum } from "#src/aggregate/sum.js";
import { topK } from "#src/aggregate/top-k.js";
import { jsonl } from "#src/format/jsonl.js";
import { text } from "#src/format/text.js";
import { job } from "#src/job/define.js";
import type { Job } from "#src/job/job-plan.js";
import { Stage } from "./support.js";

const LINES = ["a,1", "c,x", "b,2", "c,x", "a,x", "long enough to miss the cache,x", "é,x", "d,3", "d,4"];
const GOOD = LINES.filter((line) => !line.endsWith(",x"));

/** Aggregators, and values of lines that they refuse; without one the partition function refuses the key. */
const kinds: readonly [name: string, aggregator: () => unknown, bad?: () => unknown][] = [
  ["sum", sum, () => "bad"],
  ["max", max, () => NaN],
  ["mean", mean, () => undefined],
  ["stats", () => stats({ sum: sum(), mean: mean() }), () => "bad"],
  ["stats of states", () => stats({ top: topK(2), sum: sum() }), () => undefined],
  ["topK", () => topK(3), () => undefined],
  ["argMax", argMax, () => 7],
  ["collect", () => collect({ max: 3 })],
  ["count", count],
  ["topK, partition", () => topK(3)],
];

function made(aggregator: unknown, bad: (() => unknown) | undefined): Job {
  return job({
    input: text(),
    map(line: string, emit: (key: string, value: unknown) => void, context: { count(name: string): void }) {
      const [key, value] = line.split(",");
      const good = (aggregator as { kind: string }).kind === "argMax" ? [Number(value), key] : Number(value);
      try {
        if (value !== "x") emit(key!, good);
        else if (bad === undefined) emit(`${key}!`, 1);
        else emit(key!, bad());
      } catch {
        context.count("bad");
      }
    },
    partition: (key: string, partitions: number) => {
      if (key.endsWith("!")) throw new Error("no such partition");
      return key.length % partitions;
    },
    reduce: aggregator,
    output: jsonl(),
  } as never);
}

for (const [name, aggregator, bad] of kinds) {
  test(`an emit that is refused and caught leaves no key: ${name}`, async (t) => {
    const all = new Stage(t).file("in.txt", `${LINES.join("\n")}\n`);
    const good = new Stage(t).file("in.txt", `${GOOD.join("\n")}\n`);
    const one = made(aggregator(), bad);
    const wanted = (await good.ok(one)).text();
    assert.match(wanted, /a/);
    for (const partitions of [1, 3]) {
      for (const keepBad of [false, true]) {
        const played = await all.ok(one, { partitions, settings: { keepBad } });
        const sorted = (lines: string): string[] => lines.split("\n").sort();
        assert.deepEqual(sorted(played.text()), sorted(wanted));
        assert.deepEqual(played.counters, { bad: LINES.length - GOOD.length });
        assert.equal(played.maps[0]!.stats.badRecords, 0);
      }
    }
  });
}
