/** A starter project for one kind of job. */
export interface Template {
  /** Name of the job in sheaf.json and of its file. */
  readonly job: string;
  /** What the job does, one sentence. */
  readonly about: string;
  /** jobs/NAME.ts. */
  readonly source: string;
  /** test/NAME.test.ts. */
  readonly test: string;
  /** Commands that make input and run the job, in order. */
  readonly commands: readonly string[];
}

const wordcount: Template = {
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

const csv: Template = {
  job: "sales",
  about: "Number, sum and largest of the orders of every city.",
  source: `// Number, sum and largest of the orders of every city, from a CSV file with a header.
//
//   sheaf gen csv orders.csv --size 10MiB
//   sheaf run sales orders.csv -o out
//
// out/part-00000.jsonl then holds an object per city.
import { count, csv, job, jsonl, max, stats, sum } from "sheaf";

export default job({
  // Only these columns are decoded, to these types.
  input: csv({ columns: { city: "string", quantity: "number", price: "number" } }),

  // --set minimum=100 leaves out smaller orders.
  params: { minimum: 0 },

  map(order, emit, ctx) {
    const total = order.quantity * order.price;
    if (total < ctx.params.minimum) return;
    emit(order.city, { total, largest: total });
  },

  // Several results per key. \`orders\` counts the values; the others take the field of their name.
  reduce: stats({ orders: count(), total: sum(), largest: max() }),

  output: jsonl(),
});
`,
  test: `import assert from "node:assert/strict";
import { test } from "node:test";
import { testJob } from "sheaf/testing";
import sales from "../jobs/sales.ts";

// testJob runs the job in memory, again and again with other splits, partitions and orders, and fails if the
// results ever differ.
test("orders are summed up per city", async () => {
  const { results } = await testJob(sales, [
    { city: "Oslo", quantity: 2, price: 10 },
    { city: "Oslo", quantity: 1, price: 5 },
    { city: "Bonn", quantity: 3, price: 1 },
  ]);
  assert.deepEqual(
    new Map(results),
    new Map([
      ["Bonn", { orders: 1, total: 3, largest: 3 }],
      ["Oslo", { orders: 2, total: 25, largest: 20 }],
    ]),
  );
});
`,
  commands: ["sheaf gen csv orders.csv --size 10MiB", "sheaf run sales orders.csv -o out", "head out/part-*"],
};

const logs: Template = {
  job: "visits",
  about: "Requests per status and per page of a web server's access log.",
  source: `// Requests per status, and requests and bytes per page, of a web server's access log.
//
//   sheaf gen accesslog access.log --size 10MiB
//   sheaf run visits access.log -o out
//
// One map, two outputs: out/status/part-00000.tsv and out/pages/part-00000.jsonl.
import { count, job, jsonl, stats, sum, text } from "sheaf";

const LINE = /"(?:[A-Z]+) (\\S+) [^"]*" (\\d{3}) (\\d+|-)/;

export default job({
  input: text(),

  // Each collection is grouped, reduced and written on its own.
  collections: {
    status: { reduce: count() },
    pages: { reduce: stats({ requests: count(), bytes: sum() }), output: jsonl() },
  },

  map(line, emit, ctx) {
    const match = LINE.exec(line);
    ctx.count("lines");
    if (match === null) {
      // Counters are in the summary, and in sheaf show.
      ctx.count("broken");
      return;
    }
    const [, path = "", status = "", bytes = ""] = match;
    emit.status(Number(status));
    emit.pages(path, { bytes: bytes === "-" ? 0 : Number(bytes) });
  },

  // Looks at the counters before anything is written: a text fails the job, and earlier output stays.
  expect: ({ lines = 0, broken = 0 }) => broken <= lines / 100 || \`\${broken} of \${lines} lines are broken\`,
});
`,
  test: `import assert from "node:assert/strict";
import { test } from "node:test";
import { testJob } from "sheaf/testing";
import visits from "../jobs/visits.ts";

const line = (path: string, status: number, bytes: number): string =>
  \`1.2.3.4 - - [01/Jan/2024:00:00:00 +0000] "GET \${path} HTTP/1.1" \${status} \${bytes} "-" "-"\`;

// testJob runs the job in memory, again and again with other splits, partitions and orders, and fails if the
// results ever differ.
test("requests are counted per status and page", async () => {
  const { collections } = await testJob(visits, [line("/", 200, 10), line("/", 200, 5), line("/gone", 404, 0)]);
  assert.deepEqual(new Map(collections["status"]), new Map([[200, 2], [404, 1]]));
  assert.deepEqual(
    new Map(collections["pages"]),
    new Map([
      ["/", { requests: 2, bytes: 15 }],
      ["/gone", { requests: 1, bytes: 0 }],
    ]),
  );
});
`,
  commands: [
    "sheaf gen accesslog access.log --size 10MiB",
    "sheaf run visits access.log -o out",
    "cat out/status/part-*",
  ],
};

const generate: Template = {
  job: "dice",
  about: "Rolls two dice a million times and counts the sums: a simulation that reads no input.",
  source: `// Rolls two dice a million times and counts the sums. There is no input: every map task makes its own records.
//
//   sheaf run dice -o out
//   sheaf run dice --set rolls=1000
import { count, generate, job } from "sheaf";

export default job({
  params: { rolls: 1_000_000 },

  // Eight tasks, each with its share of the rolls. ctx.random() is seeded by the job's seed and the task, so
  // every run of the job gives the same result, on any number of workers.
  input: generate({
    tasks: 8,
    *records(ctx) {
      const die = (): number => 1 + Math.floor(ctx.random() * 6);
      const rolls = Number(ctx.params["rolls"]);
      for (let i = ctx.index; i < rolls; i += ctx.tasks) yield die() + die();
    },
  }),

  map(sum, emit) {
    emit(sum);
  },

  reduce: count(),
});
`,
  test: `import assert from "node:assert/strict";
import { test } from "node:test";
import { testJob } from "sheaf/testing";
import dice from "../jobs/dice.ts";

// testJob puts records of your own in place of the generated ones.
test("sums are counted", async () => {
  const { results } = await testJob(dice, [7, 2, 7]);
  assert.deepEqual(new Map(results), new Map([[2, 1], [7, 2]]));
});
`,
  commands: ["sheaf run dice -o out", "cat out/part-*"],
};

export const templates = { wordcount, csv, logs, generate };
export type TemplateName = keyof typeof templates;
