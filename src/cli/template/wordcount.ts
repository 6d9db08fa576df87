import type { Template } from "./template.ts";

export const wordcount: Template = {
  job: "wordcount",
  about: "Counts how often every word occurs.",
  source: `// Counts how often every word occurs.
//
//   sheaf run wordcount README.md -o out
//
// out/part-00000.tsv then holds lines "word<tab>count", sorted by word.
import { job, sum, text } from "sheaf";

export default job({
  // Each line of the input files is a record. Others: csv(), jsonl(), tsv() ...
  input: text(),

  // Called once per line. emit takes a key and a value; what it takes follows from \`reduce\`.
  map(line, emit) {
    for (const word of line.match(/\\p{L}+/gu) ?? []) emit(word.toLowerCase(), 1);
  },

  // What becomes of the values of one key. Others: count(), mean(), topK(10), stats({...}), or a function
  // (key: string, values: Iterable<number>) => result.
  reduce: sum(),

  // Where there is no \`output\`, results are written as tsv(): key, tab, value.
});
`,
  test: `import assert from "node:assert/strict";
import { test } from "node:test";
import { testJob } from "sheaf/testing";
import wordcount from "../jobs/wordcount.ts";

// testJob runs the job in memory, again and again with other splits, partitions and orders, and fails if the
// results ever differ.
test("words are counted without regard to case", async () => {
  const { results } = await testJob(wordcount, ["The cat", "the dog, the end"]);
  assert.deepEqual(new Map(results), new Map([["the", 3], ["cat", 1], ["dog", 1], ["end", 1]]));
});
`,
  commands: ["sheaf run wordcount README.md -o out", "sort -t\"$(printf '\\t')\" -k2,2nr out/part-* | head"],
};
