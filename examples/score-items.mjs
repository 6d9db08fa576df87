// Reads "item<tab>count" of all files in a directory, and writes the share of items that are seen less often.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [directory, output] = process.argv.slice(2);
const items = readdirSync(directory)
  .filter((name) => name.startsWith("part-"))
  .flatMap((name) => readFileSync(join(directory, name), "utf8").split("\n"))
  .filter((line) => line !== "")
  .map((line) => line.split("\t"))
  .map(([item, count]) => ({ item, count: Number(count) }));
const scores = items.map(({ item, count }) => ({
  item,
  score: 1 - items.filter((other) => other.count < count).length / items.length,
}));
writeFileSync(output, scores.map((score) => `${JSON.stringify(score)}\n`).join(""));
console.log(`scored ${items.length} items`);
