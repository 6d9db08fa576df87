import assert from "node:assert/strict";
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { csv } from "#src/format/csv.js";
import { generate } from "#src/format/generate.js";
import { jsonArray } from "#src/format/json-array.js";
import { text } from "#src/format/text.js";
import { wholeFile } from "#src/format/whole-file.js";
import type { Reader } from "#src/job/reader.js";
import { defaultPartitions, partitionsOfBytes } from "#src/plan/default-partitions.js";
import { planInput, type InputPlan } from "#src/plan/plan-input.js";
import { planSample } from "#src/plan/plan-sample.js";
import type { InputFile } from "#src/storage/list-input.js";
import type { HeldRange } from "#src/storage/store.js";
import { directory, file, read, whole } from "../format/support.ts";

/** "name start-end" of each piece, by split. */
function shape({ splits }: InputPlan): string[][] {
  return splits.map(({ pieces }) =>
    pieces.map((piece) =>
      piece.kind === "file" ? `${piece.name} ${piece.start}-${piece.end}` : `${piece.index}/${piece.tasks}`,
    ),
  );
}

test("small files are spread over as many tasks as are asked for, in order, and no more than there are", async (t) => {
  const cwd = directory(t);
  for (let i = 0; i < 5; i++) writeFileSync(join(cwd, `s${i}`), "x");
  const counts = async (spread: number, more: { splitBytes?: number; mappers?: number } = {}) =>
    (await planInput([{ input: text(), paths: ["."] }], { cwd, workers: 2, spread, ...more })).splits.map(
      ({ pieces }) => pieces.length,
    );
  assert.deepEqual(await counts(1), [5]);
  assert.deepEqual(await counts(2), [3, 2]);
  assert.deepEqual(await counts(4), [2, 2, 1]);
  assert.deepEqual(await counts(5), [1, 1, 1, 1, 1]);
  assert.deepEqual(await counts(16), [1, 1, 1, 1, 1]);
  assert.deepEqual(await counts(16, { splitBytes: 1_000_000 }), [5], "what was asked for by size stays");
});

test("small files are packed in order, big ones cut evenly", async (t) => {
  const cwd = directory(t);
  for (let i = 0; i < 5; i++) writeFileSync(join(cwd, `s${i}`), "x".repeat(100_000));
  writeFileSync(join(cwd, "t"), "y".repeat(1_000_000));
  const plan = await planInput([{ input: text(), paths: ["."] }], { workers: 2, splitBytes: 400_000, cwd });
  assert.deepEqual(shape(plan), [
    ["s0 0-100000", "s1 0-100000"],
    ["s2 0-100000", "s3 0-100000"],
    ["s4 0-100000"],
    ["t 0-333333"],
    ["t 333333-666666"],
    ["t 666666-1000000"],
  ]);
  assert.deepEqual(
    plan.splits.map(({ index }) => index),
    [0, 1, 2, 3, 4, 5],
  );
  assert.deepEqual([plan.totalBytes, plan.tasks, plan.inputs[0]!.files.length], [1_500_000, 6, 6]);
});

test("as many map tasks as are wanted are made, where the files come out even", async (t) => {
  const cwd = directory(t);
  for (const name of ["a", "b"]) writeFileSync(join(cwd, name), "x".repeat(3000));
  for (const [mappers, tasks] of [
    [1, 1],
    [2, 2],
    [6, 6],
    [6000, 6000],
    [1_000_000, 6000],
  ] as const) {
    assert.equal(
      (await planInput([{ input: text(), paths: ["."] }], { workers: 9, mappers, cwd })).tasks,
      tasks,
      `${mappers}`,
    );
  }
});

test("a split is near the hosts that hold at least half of it, where the storage knows them", async (t) => {
  const cwd = directory(t);
  const listed = (name: string, bytes: number, held?: readonly HeldRange[]): InputFile => {
    writeFileSync(join(cwd, name), "x".repeat(bytes));
    const { mtimeMs } = statSync(join(cwd, name));
    return { path: join(cwd, name), name, bytes, mtimeMs, ...(held === undefined ? {} : { held }) };
  };
  const big = listed("big", 3_000, [
    { start: 0, end: 1_000, hosts: ["a", "b", "b"] },
    { start: 1_000, end: 1_600, hosts: ["b", "c"] },
    { start: 1_600, end: 2_000, hosts: ["c", "d"] },
  ]);
  const plan = await planInput([{ input: text(), paths: [big] }], { workers: 1, splitBytes: 1_000 });
  assert.deepEqual(shape(plan), [["big 0-1000"], ["big 1000-2000"], ["big 2000-3000"]]);
  assert.deepEqual(
    plan.splits.map(({ hosts }) => hosts),
    [["a", "b"], ["c", "b"], undefined],
  );
  const whole = (name: string, hosts?: readonly string[]): InputFile =>
    listed(name, 100_000, hosts === undefined ? undefined : [{ start: 0, end: 100_000, hosts }]);
  const files = [whole("s", ["a"]), whole("t", ["b", "c"]), whole("u", ["c"]), whole("v")];
  const packed = await planInput([{ input: text(), paths: files }], { workers: 1, splitBytes: 1_000_000 });
  assert.deepEqual(
    packed.splits.map(({ hosts }) => hosts),
    [["c"]],
  );
  const unknown = await planInput([{ input: text(), paths: [whole("w")] }], { workers: 1 });
  assert.deepEqual(
    unknown.splits.map((split) => Object.hasOwn(split, "hosts")),
    [false],
  );
});

test("compressed and stream files are one piece each, empty files none", async (t) => {
  const cwd = directory(t);
  writeFileSync(join(cwd, "a"), gzipSync("x".repeat(1000), { level: 0 }));
  writeFileSync(join(cwd, "b"), "y".repeat(1000));
  writeFileSync(join(cwd, "c"), "");
  assert.deepEqual(
    (await planInput([{ input: wholeFile(), paths: ["."] }], { workers: 1, splitBytes: 10, cwd })).tasks,
    2,
  );
  const plan = await planInput([{ input: text(), paths: ["a", "c"] }], { workers: 1, splitBytes: 10, cwd });
  assert.equal(plan.tasks, 1);
  const none = await planInput([{ input: text(), paths: ["c"] }], { workers: 1, cwd });
  assert.deepEqual([none.tasks, none.totalBytes, none.splits], [0, 0, []]);
});

test("a file that was listed before keeps its name: standard input", async (t) => {
  const { path, fileBytes, mtimeMs } = await whole(file(t, "spooled\n"));
  const plan = await planInput([{ input: text(), paths: [{ path, name: "-", bytes: fileBytes, mtimeMs }] }], {
    workers: 1,
  });
  assert.deepEqual(shape(plan), [["- 0-8"]]);
});

test("generated input has a split per task; partitions come from the input alone", async () => {
  const source = generate({ tasks: 20, records: () => [] });
  const plan = await planInput([{ input: source, paths: [] }], { workers: 1 });
  assert.deepEqual(shape(plan)[19], ["19/20"]);
  assert.equal(defaultPartitions(source, 0), 8);
  assert.equal(defaultPartitions(text(), 0), 1);
  assert.equal(defaultPartitions(text(), 300 * 1024 * 1024), 3);
  assert.equal(defaultPartitions(text(), 1e15), 1000);
  const wanted = [1, 2, 3, 4, 5, 7, 8, 9, 11, 16, 17, 20, 21, 32, 33, 64, 65, 512, 897, 2000];
  assert.deepEqual(
    wanted.map((count) => partitionsOfBytes(count * 128 * 2 ** 20)),
    [1, 2, 3, 4, 5, 7, 8, 10, 12, 16, 20, 20, 24, 32, 40, 64, 80, 512, 1000, 1000],
  );
  assert.equal(partitionsOfBytes(16 * 128 * 2 ** 20 + 1), 20);
  assert.equal((await planSample(plan))[0]!.pieces.length, 1);
});

test("a split size that would make millions of tasks is refused", async (t) => {
  const path = file(t, Buffer.alloc(1_100_000));
  await assert.rejects(planInput([{ input: text(), paths: [path] }], { workers: 1, splitBytes: 1 }), {
    code: "USAGE",
  });
});

test("a split size means nothing to files that cannot be split: each is a task of its own", async (t) => {
  const path = file(t, Buffer.alloc(1_100_000));
  const packed = file(t, gzipSync(Buffer.alloc(1_500_000, Math.random().toString())));
  for (const [reader, one] of [
    [wholeFile(), path],
    [jsonArray(), path],
    [text(), packed],
  ] as const) {
    const plan = await planInput([{ input: reader as Reader<unknown>, paths: [one] }], {
      workers: 1,
      splitBytes: 1,
    });
    assert.equal(plan.tasks, 1);
  }
});

test("the sample is spread over the files and does not depend on the split size", async (t) => {
  const cwd = directory(t);
  const line = `a,"b\n${"c".repeat(90)}"\n`;
  writeFileSync(join(cwd, "a.csv"), line.repeat(60_000));
  writeFileSync(join(cwd, "b.csv"), line.repeat(10_000));
  const reader = csv({ header: false });
  const sampleOf = async (splitBytes: number): Promise<unknown> =>
    planSample(await planInput([{ input: reader, paths: ["."] }], { workers: 1, splitBytes, cwd }));
  const [sample] = await planSample(await planInput([{ input: reader, paths: ["."] }], { workers: 3, cwd }));
  assert.deepEqual(await sampleOf(700_001), [sample]);
  assert.equal(sample!.pieces.length, 64);
  const pieces = sample!.pieces.filter((piece) => piece.kind === "file");
  assert.equal(new Set(pieces.map(({ path }) => path)).size, 2);
  const { records, bad } = await read(reader, pieces);
  assert.deepEqual(bad, []);
  assert.ok(records.every((fields) => fields.length === 2 && fields[1] === `b\n${"c".repeat(90)}`));
  assert.ok(records.length > 64 * 600);
  const small = await planInput([{ input: text(), paths: ["b.csv"] }], { workers: 1, splitBytes: 1000, cwd });
  assert.equal((await planSample(small))[0]!.bytes, small.totalBytes);
});

test("splits and samples of several inputs hold pieces of one, in the order of the inputs", async (t) => {
  const cwd = directory(t);
  for (const name of ["a", "b", "c"]) writeFileSync(join(cwd, name), "line\n".repeat(40));
  writeFileSync(join(cwd, "big"), "line\n".repeat(1_200_000));
  const inputs = (...paths: readonly string[][]) => paths.map((some) => ({ input: text(), paths: some }));
  const packed = await planInput(inputs(["b", "c"], ["a"], ["b"]), { workers: 1, cwd });
  assert.deepEqual(shape(packed), [["b 0-200", "c 0-200"], ["a 0-200"], ["b 0-200"]]);
  assert.deepEqual(
    packed.splits.map(({ index, input }) => [index, input]),
    [
      [0, 0],
      [1, 1],
      [2, 2],
    ],
  );
  assert.deepEqual([packed.totalBytes, packed.tasks], [800, 3]);
  const small = await planSample(packed);
  assert.deepEqual(
    small.map(({ index, input, pieces }) => [index, input, pieces.length]),
    [
      [0, 0, 2],
      [1, 1, 1],
      [2, 2, 1],
    ],
  );
  // An input as good as empty beside a large one has no stretch of its own.
  const large = await planInput(inputs(["a"], ["big"]), { workers: 3, cwd, splitBytes: 1_000_000 });
  assert.deepEqual(
    [large.splits[0]!.input, large.splits.slice(1).every(({ input }) => input === 1)],
    [0, true],
  );
  const sample = await planSample(large);
  assert.equal(sample.flatMap(({ pieces }) => pieces).length, 64);
  assert.deepEqual(sample, await planSample(await planInput(inputs(["a"], ["big"]), { workers: 1, cwd })));
  const none = await planInput(inputs(["a"], []), { workers: 1, cwd });
  assert.deepEqual(
    none.splits.map(({ input }) => input),
    [0],
  );
});
