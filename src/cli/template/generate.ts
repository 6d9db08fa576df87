import type { Template } from "./template.ts";

export const generateTemplate: Template = {
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
