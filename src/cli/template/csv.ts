import type { Template } from "./template.ts";

export const csvTemplate: Template = {
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
