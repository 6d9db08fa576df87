// Word count as most people would write it: readline, one regex match a line, a Map.
// usage: node wordcount-plain.mjs INPUT OUTPUT
import { createReadStream, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";

const [input, output] = process.argv.slice(2);
const counts = new Map();
const lines = createInterface({ input: createReadStream(input), crlfDelay: Infinity });
lines.on("line", (line) => {
  for (const word of line.match(/\p{L}+/gu) ?? []) counts.set(word, (counts.get(word) ?? 0) + 1);
});
lines.on("close", () => {
  writeFileSync(output, [...counts].map(([word, count]) => `${word}\t${count}\n`).join(""));
});
