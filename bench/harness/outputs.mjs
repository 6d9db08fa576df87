// Reads what programs have written, to see that all of them did the same work.
import { createHash } from "node:crypto";
import { createReadStream, existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/** The files of an output: the file itself, or the parts of a sheaf output directory in order. */
export function partsOf(path) {
  if (!existsSync(path)) throw new Error(`${path}: no output`);
  if (!statSync(path).isDirectory()) return [path];
  if (!existsSync(join(path, "_SUCCESS"))) throw new Error(`${path}: no _SUCCESS`);
  const names = readdirSync(path).filter((name) => name.startsWith("part-"));
  return names.toSorted().map((name) => join(path, name));
}

/** Lines of a small output, sorted. */
export function sortedLines(path, change = (line) => line) {
  const text = partsOf(path)
    .map((part) => readFileSync(part, "utf8"))
    .join("");
  return text.split("\n").filter(Boolean).map(change).toSorted();
}

/** SHA-1 of an output's bytes in order. */
export async function digest(path) {
  const hash = createHash("sha1");
  for (const part of partsOf(path)) for await (const chunk of createReadStream(part)) hash.update(chunk);
  return hash.digest("hex");
}

/** Number of lines, and the sum of the number after the tab in each. */
export async function linesAndSum(path) {
  let lines = 0;
  let sum = 0;
  let number = 0;
  let after = false;
  for (const part of partsOf(path)) {
    for await (const chunk of createReadStream(part, { highWaterMark: 1 << 20 })) {
      for (let i = 0; i < chunk.length; i++) {
        const byte = chunk[i];
        if (byte === 10) {
          lines++;
          sum += number;
          number = 0;
          after = false;
        } else if (byte === 9) after = true;
        else if (after) number = number * 10 + byte - 48;
      }
    }
  }
  return { lines, sum };
}

/** null when both hold the same lines, otherwise the first difference. */
export function difference(got, expected) {
  for (let i = 0; i < Math.max(got.length, expected.length); i++) {
    if (got[i] !== expected[i]) return `line ${i + 1}: ${got[i]} instead of ${expected[i]}`;
  }
  return null;
}
