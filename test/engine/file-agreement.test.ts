import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FileAgreement } from "#src/engine/job-checks.js";
import { csv } from "#src/format/csv.js";
import { generate } from "#src/format/generate.js";
import { jsonl } from "#src/format/jsonl.js";
import { tsv } from "#src/format/tsv.js";
import { job } from "#src/job/define.js";
import type { Key } from "#src/job/key.js";
import type { Writer } from "#src/job/writer.js";
import { runHere } from "#src/runner/run.js";
import type { OutputPart } from "#src/task/task-spec.js";

const part = (collection: number, partition: number, layout?: string): OutputPart => ({
  kind: "output",
  collection,
  partition,
  roll: 0,
  path: "",
  extension: "",
  bytes: 0,
  records: 0,
  crc32c: 0,
  ...(layout !== undefined && { layout }),
});

test("files of one collection must agree, those of different ones need not, empty ones say nothing", () => {
  const files = new FileAgreement(["", "pages"]);
  assert.equal(files.add([part(0, 5, "b"), part(1, 0, "c")]), null);
  assert.equal(files.add([part(0, 1), part(0, 2, "b")]), null);
  assert.equal(files.check(), null);
  const refused = files.add([part(0, 3, "x")]);
  assert.match(
    refused?.message ?? "",
    /^the output files would not agree: that of task 3 has x, that of task 5 b$/,
  );
  assert.equal(refused?.code, "VALUE_INVALID");
  assert.equal(files.check(), refused);
  assert.match(files.add([part(1, 1, "d")])?.message ?? "", /task 3/);
  const named = new FileAgreement(["", "pages"]);
  assert.match(named.add([part(1, 0, "c"), part(1, 1, "d")])?.message ?? "", /^collection pages: /);
});

/** Two map tasks whose rows have the same fields in another order, or other fields. */
function rows(second: object, output: Writer<Key, unknown>): Parameters<typeof runHere>[0] {
  return job({
    input: generate({
      tasks: 2,
      *records({ index }) {
        yield index === 0 ? { id: 1, name: "ann" } : second;
      },
    }),
    map: (row: unknown, emit: (key: Key, value: unknown) => void) => emit(null, row),
    output,
  } as never);
}

test("a job whose files would not agree fails, one that says its columns does not", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "sheaf-agree-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const swapped = { name: "bob", id: 2 };
  const refused: readonly [object, Writer<Key, unknown>][] = [
    [swapped, csv()],
    [swapped, tsv()],
    [{ id: 2, title: "x" }, csv({ header: false })],
  ];
  for (const [i, [second, output]] of refused.entries()) {
    const out = join(directory, `refused-${i}`);
    await assert.rejects(runHere(rows(second, output), { output: out }), {
      code: "VALUE_INVALID",
      message: /would not agree: that of task 0 has .*"id","name".*, that of task 1 /,
    });
    assert.ok(!existsSync(out));
  }
  const taken: readonly [Writer<Key, unknown>, string][] = [
    [csv({ header: ["key", "id", "name"] }), "key,id,name\n,1,ann\nkey,id,name\n,2,bob\n"],
    [
      csv({ columns: { id: "integer", name: "string" }, shape: "record" }),
      "id,name\n1,ann\nid,name\n2,bob\n",
    ],
    [tsv({ columns: { id: "integer", name: "string" }, shape: "record" }), "1\tann\n2\tbob\n"],
    [jsonl(), '{"id":1,"name":"ann"}\n{"name":"bob","id":2}\n'],
  ];
  for (const [i, [output, text]] of taken.entries()) {
    const out = join(directory, `taken-${i}`);
    await (await runHere(rows(swapped, output), { output: out })).dispose();
    const parts = readdirSync(out)
      .filter((name) => name.startsWith("part-"))
      .sort();
    assert.equal(parts.map((name) => readFileSync(join(out, name), "utf8")).join(""), text);
  }
});
