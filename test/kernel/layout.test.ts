import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as layout from "#src/kernel/layout.js";

const root = new URL("../../../", import.meta.url);

test("assembly/layout.ts repeats the constants of layout.ts", () => {
  const text = readFileSync(new URL("src/kernel/assembly/layout.ts", root), "utf8");
  const assembly = [...text.matchAll(/^export const (\w+): \w+ = (\w+);$/gm)].map((m) => [
    m[1],
    Number(m[2]),
  ]);
  assert.deepEqual(Object.fromEntries(assembly), { ...layout });
  assert.equal(text.match(/^export const/gm)?.length, assembly.length);
});

test("the kernels bring no data of their own, so all memory from HEAP_START on is the caller's", () => {
  const wasm = readFileSync(new URL("dist/kernel/kernels.wasm", root));
  let at = 8;
  const sections = [];
  while (at < wasm.length) {
    sections.push(wasm[at]!);
    let size = 0;
    let shift = 0;
    let byte = 128;
    for (at++; byte >= 128; shift += 7) {
      byte = wasm[at++]!;
      size |= (byte & 127) << shift;
    }
    at += size;
  }
  const DATA_SECTION = 11;
  assert.ok(!sections.includes(DATA_SECTION), `sections: ${sections.join(" ")}`);
});

test("the kernels' areas below HEAP_START do not overlap", () => {
  assert.ok(layout.LETTER_PAGES + layout.LETTER_PAGE_COUNT <= layout.LETTER_BITMAPS);
  assert.ok(layout.LETTER_BITMAPS + layout.LETTER_BITMAPS_MAX * 32 <= layout.SORT_SCRATCH);
  assert.ok(layout.SORT_SCRATCH + layout.SORT_LEVELS * 1024 <= layout.WORD_SCRATCH);
  assert.ok(layout.WORD_SCRATCH + layout.WORD_SCRATCH_BYTES <= layout.HEAP_START);
});
