import assert from "node:assert/strict";
import { appendFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { badFilesIn, badFilesOf, readBadRecords } from "#src/engine/bad-list.js";
import type { BadRecord } from "#src/engine/bad-list.js";
import { findJob } from "#src/engine/job-history.js";
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

async function readAll(files: readonly string[]): Promise<BadRecord[]> {
  const records: BadRecord[] = [];
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
    .map((line) => JSON.parse(line) as BadRecord & { kind: string; job: string });
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
