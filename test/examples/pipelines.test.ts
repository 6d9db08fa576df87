import assert from "node:assert/strict";
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { packageRoot } from "../cli/support.ts";
import { PipelineBench } from "../pipeline/support.js";

/** The example, in a directory of its own: what it writes beside itself goes with it. */
function example(bench: PipelineBench, ...names: readonly string[]): string {
  for (const name of names) copyFileSync(join(packageRoot, "examples", name), join(bench.root, name));
  return readFileSync(join(bench.root, names[0]!), "utf8");
}

test("pagerank-loop.ts converges to what the same computation in memory does", async (t) => {
  const bench = new PipelineBench(t);
  const links: Record<string, string[]> = { a: ["b", "c"], b: ["c"], c: ["a"], d: ["c", "e"] };
  const lines = Object.entries(links).map(([page, to]) => `${page}\t${to.join(" ")}\n`);
  const inputs = bench.file("links.tsv", lines.join(""));
  const text = example(bench, "pagerank-loop.ts");
  const result = await bench.pipeline(text, { inputs, partitions: 1 }, "pagerank-loop.ts");
  assert.equal(result.status, "SUCCEEDED", result.error?.report);

  const pages = ["a", "b", "c", "d", "e"];
  let ranks = pages.map(() => 1);
  for (let moved = true; moved;) {
    const received = pages.map(() => 0);
    for (const [index, page] of pages.entries()) {
      const targets = links[page] ?? [page];
      for (const target of targets) received[pages.indexOf(target)]! += ranks[index]! / targets.length;
    }
    const next = received.map((share) => 0.15 + 0.85 * share);
    moved = next.some((rank, index) => Math.abs(rank - ranks[index]!) > 1e-6);
    ranks = next;
  }
  const told = new Map(bench.step("ranks").map((line) => line.split("\t") as [string, string]));
  for (const [index, page] of pages.entries())
    assert.ok(
      Math.abs(Number(told.get(page)) - ranks[index]!) < 1e-3,
      `${page}: ${told.get(page)}, ${ranks[index]}`,
    );
  assert.ok(result.counters["rounds.rounds"]! > 10);
});

test("score-loop.ts: a job, a download, a script, an upload, and a job that uses what came of it", async (t) => {
  const bench = new PipelineBench(t);
  const text = example(bench, "score-loop.ts", "score-items.mjs");
  const views = bench.file("views.tsv", "u1\ta\nu2\ta\nu1\tb\nu3\ta\nu2\tb\nu1\tc\n");
  const inputs = [`count=${views}`, `weigh.views=${views}`];
  const result = await bench.pipeline(text, { inputs, partitions: 1 }, "score-loop.ts");
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  const rows = bench.step("weigh").map((line) => JSON.parse(line) as { item: string; score: number });
  const rounded = rows.map(({ item, score }) => [item, Math.round(score * 3)]);
  assert.deepEqual(rounded, [
    ["a", 1],
    ["b", 2],
    ["c", 3],
  ]);
  assert.deepEqual(Object.keys(bench.ran()), ["count", "download", "score", "upload", "weigh"]);
});
