import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { plainStyle } from "#src/cli/ui/style.js";
import { summaryText } from "#src/cli/ui/summary.js";
import { Bench } from "./support.ts";

const csvJob = `
  import { csv, job, jsonl } from "sheaf";
  export default job({ input: csv(), map: (row, emit) => emit(row.id, row.v), output: jsonl() });
`;

test("files that gave no record are named, so many of them, in the result, its events and the summary", async (t) => {
  const bench = new Bench(t);
  bench.file("in/a.csv", "id,v\n");
  bench.file("in/b.csv.gz", gzipSync("id,v"));
  bench.file("in/c.csv", "id,v\n1,x\n");
  bench.file("in/d.csv", "id,v\n1,x,y\n");
  bench.file("in/e.csv", "");
  const input = bench.file("in/f.csv", "id,v\r\n\r\n");
  const result = await bench.run(csvJob, { inputs: input.replace("f.csv", ""), maxBad: 10 });
  assert.equal(result.error, null);
  assert.equal(result.emptyFiles?.files, 3);
  assert.deepEqual(
    result.emptyFiles?.names.map((name) => name.slice(name.lastIndexOf("/") + 1)),
    ["a.csv", "b.csv.gz", "f.csv"],
  );
  assert.deepEqual(bench.of("job-finished")[0]?.emptyFiles, result.emptyFiles);
  const text = summaryText(result, { style: plainStyle, cwd: bench.root, showOutput: true });
  assert.match(text, /empty +no record in .*a\.csv, .*f\.csv: is the reader the right one\?/);

  for (let i = 0; i < 30; i++) bench.file(`many/${i}.csv`, "id,v\n");
  const many = await bench.run(csvJob, { inputs: input.replace("in/f.csv", "many"), overwrite: true });
  assert.deepEqual([many.emptyFiles?.files, many.emptyFiles?.names.length], [30, 5]);

  const none = await bench.run(csvJob, { inputs: input.replace("f.csv", "c.csv"), overwrite: true });
  assert.equal(none.emptyFiles, null);
});

test("kernels and searches name them, too", async (t) => {
  const bench = new Bench(t);
  const inputs = [bench.file("a.txt", "\n--\n"), bench.file("b.txt", "word\n")];
  const words = `
    import { count, job, words } from "sheaf";
    export default job({ input: words(), reduce: count() });
  `;
  const counted = await bench.run(words, { inputs });
  assert.deepEqual(counted.emptyFiles, { files: 1, names: [inputs[0]] });
});
