import assert from "node:assert/strict";
import { appendFileSync, renameSync, statSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { csv } from "#src/format/csv.js";
import { delimited } from "#src/format/delimited.js";
import { fixedLength } from "#src/format/fixed-length.js";
import { text } from "#src/format/text.js";
import type { Reader } from "#src/job/reader.js";
import { type InputPlan, planInput } from "#src/plan/plan-input.js";
import { listInput } from "#src/storage/list-input.js";
import { file, type Records, read } from "../format/support.ts";

const plan = <R>(reader: Reader<R>, path: string, growing = true): Promise<InputPlan> =>
  planInput([{ input: reader, paths: [path] }], { workers: 1, splitBytes: 40, growing });

function readPlan<R>(reader: Reader<R>, { splits }: InputPlan): Promise<Records<R>> {
  return read(
    reader,
    splits.flatMap((split) => split.pieces).filter((piece) => piece.kind === "file"),
  );
}

/** Writes to the file after its time has moved on, however coarse the clock of the file system is. */
function later(path: string, change: () => void): void {
  change();
  const { atimeMs, mtimeMs } = statSync(path);
  utimesSync(path, atimeMs / 1000, mtimeMs / 1000 + 5);
}

const LINES = Array.from({ length: 50 }, (_, i) => `line ${i}`);
const TEXT = LINES.map((line) => `${line}\n`).join("");

test("a log that is appended to is read to the last line that was whole", async (t) => {
  for (const behind of ["", "half a li"]) {
    const path = file(t, TEXT + behind);
    const planned = await plan(text(), path);
    assert.equal(planned.totalBytes, TEXT.length);
    assert.equal(planned.warnings.length, behind === "" ? 0 : 1);
    later(path, () => appendFileSync(path, "ne\nand more\n"));
    assert.deepEqual((await readPlan(text(), planned)).records, LINES);
    assert.deepEqual((await readPlan(text(), await plan(text(), path))).records.at(-1), "and more");
  }
});

test("a log may grow between being listed and being looked into", async (t) => {
  const path = file(t, TEXT);
  const listed = await listInput([path]);
  later(path, () => appendFileSync(path, "more\n"));
  const planned = await planInput([{ input: text(), paths: listed }], { workers: 1, growing: true });
  assert.deepEqual((await readPlan(text(), planned)).records, LINES);
  await assert.rejects(planInput([{ input: text(), paths: listed }], { workers: 1 }), {
    code: "INPUT_CHANGED",
  });
});

test("without --growing, or where records do not end by themselves, a file that grew is an error", async (t) => {
  const path = file(t, TEXT);
  const planned = await plan(text(), path, false);
  const packed = file(t, gzipSync(TEXT), "log.gz");
  const plannedPacked = await plan(text(), packed);
  for (const one of [path, packed]) later(one, () => appendFileSync(one, "x\n"));
  await assert.rejects(readPlan(text(), planned), { code: "INPUT_CHANGED", hint: /--growing/ });
  await assert.rejects(readPlan(text(), plannedPacked), { code: "INPUT_CHANGED" });
});

test("a log that shrank, was emptied and written again, or was rotated is an error with --growing, too", async (t) => {
  const other = TEXT.toUpperCase() + TEXT;
  const changes: Record<string, (path: string) => void> = {
    shrank: (path) => truncateSync(path, 100),
    rewritten: (path) => writeFileSync(path, other),
    "rewritten to the same length": (path) => writeFileSync(path, TEXT.toUpperCase()),
    rotated: (path) => {
      renameSync(path, `${path}.1`);
      writeFileSync(path, other);
    },
  };
  for (const [what, change] of Object.entries(changes)) {
    const path = file(t, TEXT);
    const planned = await plan(text(), path);
    later(path, () => change(path));
    await assert.rejects(readPlan(text(), planned), { code: "INPUT_CHANGED" }, what);
  }
});

test("records of csv with line ends in quotes, of one length, and between delimiters end where they are whole", async (t) => {
  const rows = 'id,note\n1,a\n2,"two\nlines"\n';
  const open = file(t, `${rows}3,"not\nyet\nclosed\n`);
  const planned = await plan(csv(), open);
  assert.equal(planned.totalBytes, rows.length);
  later(open, () => appendFileSync(open, '"\n'));
  assert.deepEqual((await readPlan(csv(), planned)).records, [
    { id: "1", note: "a" },
    { id: "2", note: "two\nlines" },
  ]);
  const fixed = await plan(fixedLength(4), file(t, "aaaabbbbcc"));
  assert.equal(fixed.totalBytes, 8);
  const paragraphs = await plan(delimited("\n\n"), file(t, "a\n\nb\nc\n\nd\n"));
  assert.equal(paragraphs.totalBytes, "a\n\nb\nc\n\n".length);
  const none = await plan(text(), file(t, "not one line"));
  assert.deepEqual([none.tasks, none.warnings.length], [0, 1]);
});

test("the last whole record is found however far back it ends", async (t) => {
  const long = file(t, `first\n${"x".repeat(300_000)}`);
  assert.equal((await plan(text(), long)).totalBytes, 6);
});
