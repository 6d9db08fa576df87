import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { localFiles, sendInputs } from "#src/hosted/send-inputs.js";
import { addStore } from "#src/storage/stores.js";
import type { Split, SplitPiece } from "#src/task/split.js";
import { MemoryStore } from "../storage/memory-store.ts";

type FilePiece = Extract<SplitPiece, { kind: "file" }>;

const store = new MemoryStore();
addStore("sent", () => Promise.resolve({ createStore: () => store }));

function setting(t: TestContext): { file(name: string, text: string): FilePiece } {
  const directory = mkdtempSync(join(tmpdir(), "sheaf-send-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = (name: string, text: string): FilePiece => {
    const path = join(directory, name);
    writeFileSync(path, text);
    const { size: fileBytes, mtimeMs } = statSync(path);
    return { kind: "file", path, name, start: 0, end: fileBytes, fileBytes, mtimeMs, compression: "none" };
  };
  return { file };
}

function split(index: number, ...pieces: SplitPiece[]): Split {
  return { index, pieces, bytes: 1 };
}

const request = { address: "sent://there/inputs/", job: "job-1", step: (): void => undefined };

test("files of this machine are copied once each, and read there under the names they had", async (t) => {
  const { file } = setting(t);
  const [one, two] = [file("a: b.txt", "one"), file("two.txt", "two and more")];
  const far: FilePiece = { ...one, path: "sent://else/far.txt", version: "7" };
  const splits = [split(0, one, two), split(1, { ...two, start: 3 }, far), split(2)];
  assert.deepEqual(
    localFiles(splits).map(({ name }) => name),
    ["a: b.txt", "two.txt"],
  );
  const sent = await sendInputs(splits, request);
  const [first, second] = [sent[0]!.pieces, sent[1]!.pieces] as FilePiece[][];
  assert.deepEqual(
    first!.map(({ path }) => path),
    ["sent://there/inputs/input-00000", "sent://there/inputs/input-00001"],
  );
  assert.deepEqual(
    first!.map(({ name }) => name),
    ["a: b.txt", "two.txt"],
  );
  assert.equal(second![0]!.path, first![1]!.path);
  assert.equal(second![0]!.start, 3);
  assert.deepEqual(second![1], far);
  for (const piece of first!) assert.equal(typeof piece.version, "string");
  assert.equal(store.files.get("sent://there/inputs/input-00001")?.toString(), "two and more");
});

test("a file that is not what was planned is not sent for it", async (t) => {
  const { file } = setting(t);
  const piece = file("one.txt", "one");
  appendFileSync(piece.path, "more");
  await assert.rejects(sendInputs([split(0, piece)], request), { code: "INPUT_CHANGED" });
  rmSync(piece.path);
  await assert.rejects(sendInputs([split(0, piece)], request), { code: "INPUT_MISSING" });
});
