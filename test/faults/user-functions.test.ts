import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { LocalRunOptions } from "#src/engine/options.js";
import { assertFailed as assertRunFailed, Bench, inputText, wordCount } from "../runner/support.ts";
import { assertDone, assertFailed, Place } from "./support.ts";

describe("D12: combiners", () => {
  const lines = Array.from({ length: 4_000 }, (_, i) => `w${i % 7} ${i % 5 === 0 ? "rare" + i : "often"}`);

  const counting = (combine: string): string => `
    import { job, text } from "sheaf";
    export default job({
      input: text(),
      map(line, emit) { for (const word of line.split(" ")) emit(word, 1); },
      ${combine}
      reduce(key: string, values: Iterable<number>) {
        let sum = 0;
        for (const value of values) sum += value;
        return sum;
      },
    });
  `;

  test("D12: any that is legal gives the output of none at all, bytes and all", async (t) => {
    const bench = new Bench(t);
    const inputs = bench.file("in.txt", lines.join("\n"));
    const output = async (combine: string): Promise<string[]> => {
      const more = { memory: "8MiB", overwrite: true, isolate: "inline" } as const;
      const options = { inputs, partitions: 2, splitSize: 20_000, ...more };
      const result = await bench.run(counting(combine), options);
      assert.equal(result.status, "SUCCEEDED", result.error?.report);
      return bench.lines();
    };
    const expected = await output("");
    assert.equal(expected.length, 7 + 1 + 800);
    for (const combine of [
      "combine(key, values) { let sum = 0; for (const value of values) sum += value; return sum; },",
      "*combine(key, values) { yield* values; },",
      "*combine(key, values) { let sum = 0; for (const value of values) sum += value; yield sum - 1; yield 1; },",
      "*combine(key, values) { yield 0; yield* values; yield 0; },",
    ]) {
      assert.deepEqual(await output(combine), expected, combine);
    }
  });

  test("D12: one that says nothing, or reads nothing, leaves what it says and breaks nothing else", async (t) => {
    const bench = new Bench(t);
    const inputs = bench.file("in.txt", lines.join("\n"));
    const options = { inputs, splitSize: 20_000, overwrite: true, isolate: "inline" } as const;
    const none = await bench.run(counting("combine() { return undefined; },"), options);
    assert.equal(none.status, "SUCCEEDED", none.error?.report);
    assert.deepEqual(bench.lines(), []);
    const seven = await bench.run(counting('combine: (key) => (key === "often" ? 7 : undefined),'), options);
    assert.equal(seven.status, "SUCCEEDED", seven.error?.report);
    assert.deepEqual(bench.lines(), [`often\t${7 * seven.mapTasks}`]);
  });

  test("D12: one that is not associative gives some result for every key, the same for the same plan", async (t) => {
    const bench = new Bench(t);
    const inputs = bench.file("in.txt", lines.join("\n"));
    const mean =
      "combine(key, values) { const all = [...values]; return all.reduce((a, b) => a + b) / all.length; },";
    const outputs: string[][] = [];
    for (const workers of [1, 4]) {
      const options = { inputs, splitSize: 20_000, memory: "8MiB", overwrite: true, workers };
      const result = await bench.run(counting(mean), options);
      assert.equal(result.status, "SUCCEEDED", result.error?.report);
      outputs.push(bench.lines());
    }
    assert.deepEqual(outputs[0], outputs[1]);
    assert.equal(outputs[0]!.length, 7 + 1 + 800);
  });

  for (const [combine, code, says] of [
    ['() => { throw new RangeError("no more"); }', "USER_CODE", /no more/],
    ["() => Promise.resolve(1) as never", "VALUE_INVALID", /Promise/],
    ["() => (() => 1) as never", "VALUE_INVALID", /function/],
  ] as const) {
    test(`D12: combine: ${combine} fails the job in combine, also where bad records are kept`, async (t) => {
      const bench = new Bench(t);
      const inputs = bench.file("in.txt", inputText);
      const options = { inputs, maxBad: 100, isolate: "inline" } as const;
      const result = await bench.run(wordCount({ more: `combine: ${combine},` }), options);
      assertRunFailed(bench, result, code);
      assert.match(result.error!.message, says);
      assert.equal(result.error!.failure?.phase, "combine");
    });
  }
});

describe("D13: what happens after emit", () => {
  /** One object, emitted again and again while its fields change. */
  const reusing = (reduce: string): string => `
    import { argMax, collect, first, generate, job, last, topK } from "sheaf";
    const shared = { n: -1, list: [0], bytes: new Uint8Array(1) };
    export default job({
      input: generate({ *records() { for (let i = 0; i < 3; i++) yield i; } }),
      map(n: number, emit: (key: string[], value: any) => void) {
        const key = ["k"];
        shared.n = n;
        shared.list = [n];
        shared.bytes[0] = n;
        emit(key, shared);
        key[0] = "changed";
        shared.n = 99;
        shared.list.push(99);
        shared.bytes[0] = 99;
      },
      ${reduce}
    });
  `;
  const seen = (n: number): object => ({ n, list: [n], bytes: Uint8Array.of(n) });

  for (const [reduce, expected] of [
    ["reduce(key: string[], values: Iterable<any>) { return [...values]; },", [seen(0), seen(1), seen(2)]],
    ["reduce: collect(),", [seen(0), seen(1), seen(2)]],
    ["reduce: first(),", seen(0)],
    ["reduce: last(),", seen(2)],
    ["reduce: topK(2, { by: (value: any) => value.n }),", [seen(2), seen(1)]],
    ["reduce: argMax({ by: (value: any) => -value.n }),", seen(0)],
    ['order: "hash",', seen(0)],
    ["", seen(0)],
  ] as const) {
    test(`D13: a value changed after emit counts as it was: ${reduce === "" ? "map only" : reduce}`, async (t) => {
      const bench = new Bench(t);
      for (const maxBad of [0, 1]) {
        const more = { isolate: "inline", ...(maxBad > 0 && { maxBad }) } as const;
        const options = { collect: true, overwrite: true, ...more };
        const result = await bench.run(reusing(reduce), options);
        assert.equal(result.status, "SUCCEEDED", result.error?.report);
        const pairs: [unknown, unknown][] = [];
        for await (const pair of result.records()) pairs.push(pair);
        await result.dispose();
        assert.deepEqual(pairs[0], [["k"], expected]);
        assert.equal(pairs.length, reduce.startsWith("reduce") ? 1 : 3);
      }
    });
  }

  test("D13: set() keeps bytes as they were when they were emitted", async (t) => {
    const bench = new Bench(t);
    const job = `
      import { generate, job, set } from "sheaf";
      const bytes = new Uint8Array(1);
      export default job({
        input: generate({ *records() { yield* [1, 2, 3]; } }),
        map(n: number, emit) { bytes[0] = n; emit("k", bytes); bytes[0] = 9; },
        reduce: set(),
      });
    `;
    const result = await bench.run(job, { collect: true, isolate: "inline" });
    assert.equal(result.status, "SUCCEEDED", result.error?.report);
    for await (const [, value] of result.records())
      assert.deepEqual(
        value,
        [1, 2, 3].map((n) => Uint8Array.of(n)),
      );
    await result.dispose();
  });

  /**
   * The first task starts something and does not wait for it: it emits when the second task, on the same
   * worker, says so and waits for it.
   */
  const late = (when: string): string => `
    import { existsSync, writeFileSync } from "node:fs";
    import { job, sum, text } from "sheaf";
    export default job({
      input: text(),
      params: { gates: "" },
      async map(line, emit, ctx) {
        const { gates } = ctx.params;
        emit(line, 1);
        if (line === "first") {
          const timer = setInterval(() => {
            if (!existsSync(gates + "go")) return;
            clearInterval(timer);
            writeFileSync(gates + "went", "");
            emit("late", 1);
          }, 1);
        }
        ${when}
      },
      reduce: sum(),
    });
  `;
  const wait = `
    if (line === "second") {
      writeFileSync(gates + "go", "");
      while (!existsSync(gates + "went")) await new Promise((resolve) => setTimeout(resolve, 1));
    }
  `;

  test("D13: an emit after its task has ended fails the job: that task's result is not complete", async (t) => {
    const place = new Place(t);
    place.file("job.ts", late(wait));
    place.file("in/a.txt", "first\n");
    place.file("in/b.txt", "second\n");
    place.file("gates/x", "");
    const set = ["--set", `gates=${place.path("gates")}/`];
    const result = await place.here([
      "run",
      "job.ts",
      "in",
      "-o",
      "out",
      "-w",
      "1",
      "--split-size",
      "1",
      ...set,
    ]);
    await assertFailed(place, result, "EMIT_LATE", /emit was called after the task had ended/);
  });

  test("D13: an emit of an earlier record, while bad records are kept, is not lost with the record it meets", async (t) => {
    const bench = new Bench(t);
    const job = `
      import { job, sum, text } from "sheaf";
      export default job({
        input: text(),
        map(line, emit) {
          emit(line, 1);
          // Nobody waits for it; the next read of the input lets it come.
          setImmediate(() => emit("not awaited", 1));
        },
        reduce: sum(),
      });
    `;
    const inputs = bench.file("in.txt", "only\n");
    for (const options of [{}, { maxBad: 1 }] satisfies LocalRunOptions[]) {
      const result = await bench.run(job, { inputs, overwrite: true, ...options });
      // Whether it comes in time is the machine's affair; that it counts, or is an error, is sheaf's.
      if (result.status === "SUCCEEDED") assert.deepEqual(bench.lines(), ["not awaited\t1", "only\t1"]);
      else assert.equal(result.error?.code, "EMIT_LATE", result.error?.report);
    }
  });

  test("D13: ctx.emit after the reduce has ended is an error", async (t) => {
    const bench = new Bench(t);
    const reduce = 'if (key === "be") setImmediate(() => ctx.emit("late", 1));';
    const result = await bench.run(wordCount({ reduce }), { inputs: bench.file("in.txt", inputText) });
    if (result.status === "SUCCEEDED") assert.ok(bench.lines().includes("late\t1"));
    else assert.equal(result.error?.code, "EMIT_LATE", result.error?.report);
  });
});

describe("D17: numbers at the end of their range", () => {
  const summing = (reduce: string, values: string): string => `
    import { job, mean, sum, sumBig, text } from "sheaf";
    export default job({
      input: text(),
      map(line, emit) { emit("total", ${values}); },
      reduce: ${reduce},
    });
  `;
  const integers = ["9007199254740991", "1", "-5", "9007199254740000", "3"];

  test("D17: sum() is exact up to 2^53 - 1, and refuses what is beyond it", async (t) => {
    const place = new Place(t);
    place.file("job.ts", summing("sum()", "Number(line)"));
    place.file("in.txt", ["9007199254740991", "5", "-5"].join("\n"));
    const args = ["run", "job.ts", "in.txt", "-o", "out", "--overwrite", "--split-size", "5"];
    await assertDone(place, await place.here(args));
    assert.deepEqual(place.lines(), ["total\t9007199254740991"]);
    place.file("in.txt", ["9007199254740991", "1"].join("\n"));
    const failed = await place.here(["run", "job.ts", "in.txt", "-o", "out2"]);
    assert.equal(failed.code, 1);
    assert.match(failed.stderr, /\[NUMBER_RANGE\]/);
    assert.match(failed.stderr, /sumBig/);
    assert.match(failed.stderr, /key +"?total/);
  });

  test("D17: sumBig() is exact beyond it", async (t) => {
    const bench = new Bench(t);
    const inputs = bench.file("in.txt", integers.join("\n"));
    for (const values of ["Number(line)", "BigInt(line)"]) {
      const options = { inputs, splitSize: 5, overwrite: true, isolate: "inline" } as const;
      const result = await bench.run(summing("sumBig()", values), options);
      assert.equal(result.status, "SUCCEEDED", result.error?.report);
      assert.deepEqual(bench.lines(), [`total\t${integers.reduce((a, b) => a + BigInt(b), 0n)}`]);
    }
  });

  test("D17: sums of floats are rounded once: the same for any split, worker and memory", async (t) => {
    const bench = new Bench(t);
    const floats = Array.from({ length: 700 }, (_, i) => `${((i * 7919) % 1000) / 7}e${(i % 41) - 20}`);
    const inputs = bench.file("in.txt", floats.join("\n"));
    for (const reduce of ["sum()", "mean()"]) {
      const outputs = new Set<string>();
      for (const options of [
        { workers: 1 },
        { workers: 4, splitSize: 1_000 },
        { workers: 2, splitSize: 77 },
      ] satisfies LocalRunOptions[]) {
        const result = await bench.run(summing(reduce, "Number(line)"), {
          inputs,
          overwrite: true,
          ...options,
        });
        assert.equal(result.status, "SUCCEEDED", result.error?.report);
        outputs.add(bench.lines().join());
      }
      assert.equal(outputs.size, 1, [...outputs].join("\n"));
    }
  });
});
