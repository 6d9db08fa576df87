import assert from "node:assert/strict";
import { appendFileSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { badFilesIn, badFilesOf, readBadRecords } from "#src/engine/bad-list.js";
import type { ListedBadRecord } from "#src/engine/bad-list.js";
import type { RunEvent } from "#src/engine/events.js";
import { findJob } from "#src/engine/job-history.js";
import { planMend, planRetry, runMend, runRetry } from "#src/runner/retry-bad.js";
import { runJob } from "#src/runner/run.js";
import { sheaf, tempDir } from "./support.js";

const source = `
  import { job, jsonl, sum } from "sheaf";
  export default job({
    input: jsonl<{ k: string; v: number }>(),
    map(record, emit) {
      if (record.v < 0) throw new Error("negative: " + record.k);
      emit(record.k, record.v);
    },
    reduce: sum(),
  });`;

const lines = [
  '{"k":"a","v":1}',
  "not json",
  '{"k":"b\\u001b[31m\\nX","v":-1}',
  `{"k":"${"é".repeat(5_000)}","v":-2}`,
  '{"k":"a","v":2}',
];

async function readAll(files: readonly string[]): Promise<ListedBadRecord[]> {
  const records: ListedBadRecord[] = [];
  for (const file of files) for await (const one of readBadRecords(file)) records.push(one);
  return records;
}

test("the records that a job has set aside are listed with file, offset, error and a safe excerpt", async (t) => {
  const root = tempDir(t);
  const [file, inputs, output] = [join(root, "job.ts"), join(root, "in.jsonl"), join(root, "out")];
  const stateDirectory = join(root, "state");
  writeFileSync(file, source);
  writeFileSync(inputs, `${lines.join("\n")}\n`);
  const options = { inputs, stateDirectory, isolate: "inline", maxBad: 3 } as const;
  const first = await runJob(file, { ...options, output, mappers: 2, name: "first" });
  assert.equal(first.status, "SUCCEEDED", first.error?.report);
  const latest = async () => (await findJob(stateDirectory, "@")).record;
  const offsets = lines.map((_, i) =>
    Buffer.byteLength(
      lines
        .slice(0, i)
        .map((line) => `${line}\n`)
        .join(""),
    ),
  );
  const bad = await readAll(badFilesOf(await latest()));
  assert.deepEqual(
    bad.map(({ path, offset, phase, code }) => [path, offset, phase, code]),
    [
      [inputs, offsets[1], "read", "RECORD_INVALID"],
      [inputs, offsets[2], "map", "USER_CODE"],
      [inputs, offsets[3], "map", "USER_CODE"],
    ],
  );

  const env = { SHEAF_STATE: stateDirectory, SHEAF_ON: undefined };
  const shown = await sheaf(["bad", "@", "-n", "2"], { env });
  assert.equal(shown.code, 0, shown.stderr);
  const text = shown.stdout.split("\n");
  assert.equal(text.length, 5, shown.stdout);
  assert.ok(text[0]!.startsWith(`${inputs}:${offsets[1]}  read: `), text[0]);
  assert.equal(text[1], "    not json");
  // Neither a line end nor a control sequence of the data gets through.
  assert.equal(text[2], `${inputs}:${offsets[2]}  map: negative: b\\u001b[31m\\nX [USER_CODE]`);
  assert.match(shown.stderr, /3 records set aside by .* 2 of them shown/);
  const json = await sheaf(["bad", "--json"], { env });
  const records = json.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as ListedBadRecord & { kind: string; job: string });
  assert.deepEqual(
    records.map(({ kind, job, ...rest }) => [kind, job === first.jobId, rest]),
    bad.map((one) => ["bad", true, one]),
  );
  assert.ok(records[2]!.record.length < 1_100);

  // Another run in its place: what lies there is not this job's any more.
  const record = await latest();
  writeFileSync(inputs, `${lines.slice(0, 3).join("\n")}\n`);
  await runJob(file, { ...options, output, overwrite: true, name: "second" });
  assert.throws(() => badFilesOf(record), { code: "NOT_FOUND", message: /is not the output of/ });
  assert.equal((await readAll(badFilesOf(await latest()))).length, 2);
  const none = await runJob(file, { ...options, inputs: [], name: "third" });
  assert.notEqual(none.status, "SUCCEEDED");
  assert.deepEqual(badFilesOf(await latest()), []);

  // Damage is told, with the line.
  const [part] = badFilesIn(output);
  appendFileSync(part!, '{"path":"x","offset":"1"}\n');
  await assert.rejects(readAll([part!]), { code: "BLOCK_CORRUPT", message: /line 3: this is no bad record/ });
  rmSync(output, { recursive: true });
  const gone = await sheaf(["bad", "@?second"], { env });
  assert.equal(gone.code, 1);
  assert.match(gone.stderr, /is not there any more/);
});

test("what went to standard output, or nowhere, has left no bad records; no record set aside is no error", async (t) => {
  const root = tempDir(t);
  const [file, inputs] = [join(root, "job.ts"), join(root, "in.jsonl")];
  const stateDirectory = join(root, "state");
  writeFileSync(file, source);
  writeFileSync(inputs, `${lines.slice(0, 2).join("\n")}\n`);
  const options = { inputs, stateDirectory, isolate: "inline" } as const;
  const result = await runJob(file, { ...options, maxBad: 3 });
  assert.equal(result.badRecords, 1);
  await result.dispose();
  const { record } = await findJob(stateDirectory, "@");
  assert.throws(() => badFilesOf(record), { code: "NOT_FOUND", message: /were not kept/ });
  writeFileSync(inputs, `${lines[0]}\n`);
  await (await runJob(file, options)).dispose();
  const said = await sheaf(["bad"], { env: { SHEAF_STATE: stateDirectory } });
  assert.equal(said.code, 0);
  assert.equal(said.stdout, "");
  assert.match(said.stderr, /has set no record aside/);
});

const partsOf = (directory: string): string => readFileSync(join(directory, "part-00000.tsv"), "utf8");

test("after a fix, bad records alone are tried again, wherever they lie; what is still bad is set aside", async (t) => {
  const root = tempDir(t);
  const [file, plain, packed] = [join(root, "job.ts"), join(root, "a.jsonl"), join(root, "b.jsonl.gz")];
  const stateDirectory = join(root, "state");
  writeFileSync(file, source.replace("params: {}", ""));
  const many = Array.from({ length: 300 }, (_, i) => `{"k":"k${i % 3}","v":${i % 10 === 7 ? -i : i}}`);
  many[5] = "{ broken";
  writeFileSync(plain, many.join("\n"));
  writeFileSync(packed, gzipSync(`${many.slice(0, 40).join("\n")}\n`));
  const options = { inputs: [plain, packed], stateDirectory, partitions: 1, isolate: "inline" } as const;
  const first = await runJob(file, { ...options, output: join(root, "out"), maxBad: 100, mappers: 4 });
  assert.equal(first.badRecords, 36, first.error?.report);
  const before = partsOf(join(root, "out"));
  const job = await findJob(stateDirectory, "@");

  writeFileSync(file, source.replace("if (record.v < 0) throw", "if (record.v < -250) throw"));
  const retry = await planRetry(job, root);
  assert.equal(retry.records, 36);
  const more = { stateDirectory, partitions: 1, isolate: "inline", output: join(root, "again") } as const;
  const result = await runRetry(retry, more);
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  const bad = (lines: readonly string[]): number[] =>
    lines.flatMap((_, i) => (i % 10 === 7 && i <= 250 ? [i] : []));
  const sums = [0, 0, 0];
  for (const i of [...bad(many), ...bad(many.slice(0, 40))]) sums[i % 3]! -= i;
  assert.equal(partsOf(more.output), sums.map((sum, k) => `k${k}\t${sum}\n`).join(""));
  // Two that no fix makes JSON of, and 257, 267, 277, 287 and 297.
  assert.equal(result.badRecords, 7);
  assert.equal((await readAll(badFilesIn(more.output))).length, 7);
  assert.equal(partsOf(join(root, "out")), before);

  // A reader that cuts the file otherwise does not pass for a fix.
  const reader = "jsonl<{ k: string; v: number }>()";
  writeFileSync(
    file,
    source.replace(reader, `fixedLength(${many.join("\n").length})`).replace("jsonl,", "fixedLength,"),
  );
  const files = retry.only.files.filter(({ path }) => path === plain);
  const { offsets } = files[0]!;
  const only = { files, whole: [] };
  const ofPlain = { ...retry, only, options: { ...retry.options, inputs: [plain] } };
  const other = await runRetry(ofPlain, { ...more, overwrite: true });
  assert.equal(other.error?.code, "INPUT_CHANGED", other.error?.report);
  assert.match(
    other.error.message,
    new RegExp(`^0 of the ${offsets.length} records that were asked for are at their offsets`),
  );

  const env = { SHEAF_STATE: stateDirectory, SHEAF_ON: undefined };
  const beside = await sheaf(["bad", "retry", job.record.jobId], { env });
  assert.equal(beside.code, 2);
  assert.match(beside.stderr, /needs --output/);
  writeFileSync(file, source.replace("if (record.v < 0) throw", "if (record.v < -250) throw"));
  const said = await sheaf(["bad", "retry", job.record.jobId, "-o", join(root, "third")], { env, cwd: root });
  assert.equal(said.code, 0, said.stderr);
  assert.match(said.stderr, /29 of 36 bad records are good now; 7 are still bad/);

  const refused = async (error: object, cwd = root): Promise<void> =>
    assert.rejects(planRetry(job, cwd), error);
  utimesSync(plain, 1, 1);
  await refused({ code: "INPUT_CHANGED", message: `${plain} has changed since the job has read it` });
  rmSync(plain);
  await refused({ code: "INPUT_CHANGED", message: `${plain} is gone` });
});

test("bad records of an incremental run are merged into its output: only their maps run again", async (t) => {
  const root = tempDir(t);
  const file = join(root, "job.ts");
  const stateDirectory = join(root, "state");
  const text = (map: string, reduce = "mean()"): string => `
    import { count, jsonl, job, mean, text } from "sheaf";
    export default job({
      inputs: { visits: jsonl<{ k: string; v: number }>(), names: text() },
      map: {
        visits(record, emit) { ${map} emit(record.k, record.v); },
        names: (name, emit) => emit(name, 1),
      },
      reduce: ${reduce},
    });`;
  const inputs: string[] = [];
  for (const day of [1, 2, 3, 4]) {
    const path = join(root, `day-${day}.jsonl`);
    const values = Array.from({ length: 50 }, (_, i) => (day === 2 && i % 10 === 3 ? -i : i));
    writeFileSync(path, values.map((v, i) => JSON.stringify({ k: `k${i % 3}`, v })).join("\n"));
    inputs.push(`visits=${path}`);
  }
  writeFileSync(join(root, "names.txt"), "k0\nk9\n");
  inputs.push(`names=${join(root, "names.txt")}`);
  const output = join(root, "out");
  const common = { stateDirectory, isolate: "inline", splitSize: "600B" } as const;
  const run = (to: string, more: object = {}): ReturnType<typeof runJob> =>
    runJob(file, { ...common, inputs, output: to, maxBad: 100, partitions: 2, ...more });
  const failing = 'if (record.v < 0) throw new Error("below");';
  writeFileSync(file, text(failing));
  const events: RunEvent[] = [];
  const onEvent = (event: RunEvent): void => void events.push(event);
  const planned = (): Extract<RunEvent, { kind: "planned" }> => {
    const event = events.findLast((one) => one.kind === "planned");
    assert.ok(event?.kind === "planned");
    return event;
  };
  const first = await run(output, { incremental: true, onEvent });
  assert.equal(first.badRecords, 5, first.error?.report);
  const { mapTasks } = planned();
  assert.ok(mapTasks > 5, String(mapTasks));
  const job = await findJob(stateDirectory, "@");

  // What the output was made of must fit what the code makes now.
  const refused: [string, RegExp][] = [
    [text("", "count()"), /the job's reduce or output is another one by now/],
    [text("").replace("reduce:", "partition: () => 0, reduce:"), /has a combine, partition/],
  ];
  for (const [code, message] of refused) {
    writeFileSync(file, code);
    const result = await runMend(await planMend(job), common);
    assert.match(result.error?.message ?? "", message);
  }
  // Two of the five stay bad.
  writeFileSync(file, text('if (record.v < -30) throw new Error("below");'));
  const result = await runMend(await planMend(job), { ...common, onEvent });
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  // The file of the second day was read by two.
  assert.deepEqual([planned().mapTasks, planned().incremental?.keptTasks], [mapTasks, mapTasks - 2]);
  assert.deepEqual([result.badRecords, (await readAll(badFilesIn(output))).length], [2, 2]);
  const whole = await run(join(root, "whole"));
  assert.equal(whole.status, "SUCCEEDED", whole.error?.report);
  const parts = ["part-00000.tsv", "part-00001.tsv"];
  const read = (directory: string): string[] =>
    parts.map((name) => readFileSync(join(directory, name), "utf8"));
  assert.deepEqual(read(output), read(join(root, "whole")));
  // The next run goes on from there, and so does the next fix.
  const next = await run(output, { incremental: true, onEvent });
  assert.deepEqual([next.badRecords, planned().incremental?.keptTasks], [2, mapTasks]);
  writeFileSync(file, text(""));
  const last = await runMend(await planMend(await findJob(stateDirectory, "@")), common);
  assert.deepEqual([last.status, last.badRecords], ["SUCCEEDED", 0]);
  const all = await run(join(root, "all"));
  assert.equal(all.badRecords, 0);
  assert.deepEqual(read(output), read(join(root, "all")));
  await assert.rejects(planMend(await findJob(stateDirectory, "@")), /set aside no record/);
});

test("merged into several collections, each keeps its partitions, and one without reduce its files", async (t) => {
  const root = tempDir(t);
  const [file, stateDirectory] = [join(root, "job.ts"), join(root, "state")];
  const text = (map: string): string => `
    import { count, job, jsonl, route, sum, text } from "sheaf";
    export default job({
      input: text(),
      collections: {
        words: { reduce: count() },
        lines: { output: text() },
        all: { reduce: sum(), output: route((key: any) => "of-" + key, jsonl({ compress: "gzip" })) },
      },
      map(line, emit) { ${map} emit.words(line); emit.lines(line); emit.all(line.slice(0, 1), line.length); },
    });`;
  const inputs = [1, 2, 3].map((day) => {
    const path = join(root, `day-${day}.txt`);
    writeFileSync(path, Array.from({ length: 30 }, (_, i) => `${"abc"[i % 3]}${i * day}\n`).join(""));
    return path;
  });
  const common = { stateDirectory, isolate: "inline", splitSize: "100B" } as const;
  const run = (output: string, more: object): ReturnType<typeof runJob> =>
    runJob(file, { ...common, inputs, output, partitions: { words: 3, all: 2 }, ...more });
  const output = join(root, "out");
  writeFileSync(file, text('if (line === "b4") throw new Error("no");'));
  const first = await run(output, { incremental: true, maxBad: 9 });
  assert.ok(first.badRecords > 0, first.error?.report);
  writeFileSync(file, text(""));
  const mended = await runMend(await planMend(await findJob(stateDirectory, "@")), common);
  assert.equal(mended.status, "SUCCEEDED", mended.error?.report);
  const whole = await run(join(root, "whole"), {});
  assert.equal(whole.status, "SUCCEEDED", whole.error?.report);
  assert.deepEqual(mended.parts, whole.parts);
});

test("records are retried under the names they had; a job that set nothing aside has none", async (t) => {
  const root = tempDir(t);
  const [file, stateDirectory] = [join(root, "job.ts"), join(root, "state")];
  writeFileSync(file, source);
  writeFileSync(join(root, "in.jsonl"), lines.join("\n"));
  const env = { SHEAF_STATE: stateDirectory, SHEAF_ON: undefined };
  const ran = await sheaf(["run", file, "in.jsonl", "-o", "out", "--max-bad", "3", "-q"], { env, cwd: root });
  assert.equal(ran.code, 0, ran.stderr);
  const job = await findJob(stateDirectory, "@");
  assert.deepEqual((await planRetry(job, root)).options.inputs, ["in.jsonl"]);
  await assert.rejects(planRetry(job, tmpdirOf(root)), {
    code: "USAGE",
    hint: `Run this where the job was run: ${root}`,
  });
  const none = { ...job, record: { ...job.record, badRecords: 0 } };
  await assert.rejects(planRetry(none, root), {
    code: "NOT_FOUND",
    message: /no record that could be retried/,
  });
});

function tmpdirOf(root: string): string {
  return join(root, "..");
}
