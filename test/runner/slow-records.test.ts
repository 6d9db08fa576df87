import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { LocalRunOptions } from "#src/engine/options.js";
import { Bench } from "./support.js";

/** Records take long until two workers have been seen; one of them fails the first time. */
const source = (output: string): string => `
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { threadId } from "node:worker_threads";
import { job, jsonl, text } from "sheaf";

let alone = true;

export default job({
  params: { seen: "" },
  input: text(),
  map(line, emit, ctx) {
    ctx.count("lines");
    if (ctx.params.seen !== "" && alone) {
      writeFileSync(join(ctx.params.seen, process.pid + "-" + threadId), "");
      alone = readdirSync(ctx.params.seen).length < 2;
      const endMs = performance.now() + (alone ? 30 : 0);
      while (performance.now() < endMs);
    }
    if (line.endsWith("7 of 2") && ctx.attempt === 1) throw new Error("not yet");
    emit(line.slice(-4), ctx.path.slice(-5) + ":" + ctx.offset);
  },
  ${output}
});
`;

const lines = (file: number, count: number): string =>
  Array.from({ length: count }, (_, i) => `line ${i} of ${file}\n`).join("");

const cases: readonly (readonly [string, string, readonly number[], LocalRunOptions])[] = [
  [
    "one file, reduced in order",
    "reduce: (_key: string, all: Iterable<string>) => [...all].join()",
    [1500],
    {},
  ],
  [
    "one file, in processes",
    "reduce: (_key: string, all: Iterable<string>) => [...all].length",
    [1500],
    { isolate: "process" },
  ],
  [
    "four files",
    "reduce: (_key: string, all: Iterable<string>) => [...all].join(), output: jsonl()",
    [400, 400, 400, 400],
    {},
  ],
];

for (const [name, output, sizes, options] of cases) {
  test(`slow records of few bytes keep two workers busy, and the output stays the same: ${name}`, async (t) => {
    const bench = new Bench(t);
    const inputs = sizes.map((size, i) => bench.file(`in/${i}.txt`, lines(i, size)));
    const common = { inputs, attempts: 3, overwrite: true, ...options };
    const outputOf = (): Record<string, string> =>
      Object.fromEntries(
        readdirSync(bench.output).map((file) => [file, readFileSync(join(bench.output, file), "utf8")]),
      );
    const quick = await bench.run(source(output), { ...common, workers: 1 });
    assert.equal(quick.status, "SUCCEEDED", quick.error?.message);
    const expected = outputOf();
    const seen = join(bench.root, "seen");
    mkdirSync(seen);
    const slow = await bench.run(source(output), { ...common, params: { seen } });
    assert.equal(slow.status, "SUCCEEDED", slow.error?.message);
    assert.ok(readdirSync(seen).length >= 2, "one worker did it all");
    assert.deepEqual(outputOf(), expected);
    assert.deepEqual(slow.counters, quick.counters);
    const began = bench.events.flatMap((event) => (event.kind === "attempt-started" ? [event.worker] : []));
    assert.deepEqual([...new Set(began)].sort(), [0, 1]);
  });
}

test("a split size that was asked for is kept, however slow its records are", async (t) => {
  const bench = new Bench(t);
  const slow = `import { job, text } from "sheaf";
export default job({
  input: text(),
  map(line, emit) {
    const endMs = performance.now() + 60;
    while (performance.now() < endMs);
    emit(line);
  },
  output: text(),
});`;
  const inputs = [bench.file("in.txt", lines(0, 12))];
  await bench.run(slow, { inputs, splitSize: "1MiB" });
  const began = bench.events.filter(({ kind }) => kind === "attempt-started");
  assert.equal(began.length, 1);
});
