import assert from "node:assert/strict";
import { test } from "node:test";
import { text } from "#src/format/text.js";
import { IncrementalRun } from "#src/incremental/incremental-run.js";
import { addStore } from "#src/storage/stores.js";
import { tempDir } from "../cli/support.js";
import { MemoryStore } from "../storage/memory-store.ts";

test("a version that is a time and a size is believed when a later change would show in it", async (t) => {
  addStore("ticks", () => Promise.resolve({ createStore: () => new MemoryStore() }));
  const job = { code: "", sheaf: "", node: "", partBytes: 1, params: {}, aux: {} };
  const noted = async (mtimeMs: number, exact: boolean): Promise<{ waited: number; believed: boolean }> => {
    let waited = 0;
    const run = await IncrementalRun.open({
      output: tempDir(t),
      job,
      collections: 1,
      keepBad: false,
      wallMs: () => 100_000,
      pause: (ms) => Promise.resolve(void (waited += ms)),
    });
    const path = "ticks://host/a";
    const file = { kind: "file", path, name: path, start: 0, end: 4, fileBytes: 4, mtimeMs } as const;
    const piece = { ...file, version: "1-4", compression: "none", ...(exact && { exact }) } as const;
    await run.arrange([{ input: text(), files: [piece] }]);
    const [only] = (await run.notes()).files;
    return { waited, believed: only!.inode !== null };
  };
  assert.deepEqual(await noted(100_000, true), { waited: 0, believed: true });
  assert.deepEqual(await noted(98_000, false), { waited: 0, believed: true });
  assert.deepEqual(await noted(99_000, false), { waited: 1_000, believed: true });
  assert.deepEqual(await noted(100_000, false), { waited: 2_000, believed: true });
  assert.deepEqual(await noted(0, false), { waited: 0, believed: false }, "the storage knows no time");
  assert.deepEqual(await noted(110_000, false), { waited: 0, believed: false }, "its clock is wrong");
});
