import type { Template } from "./template.ts";

export const logs: Template = {
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
