/**
 * A process of its own that runs jobs and prints the checksum of every file they write, and their counters:
 * for tests that compare what it prints under other environments. Argument: a directory.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LocalRunOptions } from "#src/engine/options.js";
import { runHere } from "#src/runner/run.js";

const directory = process.argv[2]!;
mkdirSync(directory, { recursive: true });
process.chdir(directory);

const names = ["I", "İstanbul", "ırmak", "i", "ß", "Äpfel", "apfel", "Zoë", "zoe", "ﬃ", "Ωmega", "日本"];
// Times that a local clock skips or has twice, days that lie in two years, offsets, and none.
const times = ["2024-03-10T02:30:00", "2024-11-03T01:30:00.25", "2023-12-31", "2024-01-01T00:15:00+05:45"];
const rows = Array.from({ length: 240 }, (_, i) => {
  const amount = ((i * 7919) % 1000) / 8 - 50.5;
  return `${i},${names[i % names.length]},${times[i % times.length]},${amount}\n`;
});
writeFileSync("rows.csv", `id,name,at,amount\n${rows.join("")}`);
const lines = Array.from({ length: 300 }, (_, i) => `${names[i % 12]} ${names[(i * 5) % 12]} x${i % 40}\n`);
writeFileSync("lines.txt", lines.join(""));

const ofLines = ["wordcount", "words", "combine", "states", "stats", "sort", "collections", "group-by"];
for (const name of [...ofLines, "dates"]) {
  // Workers have environments of their own.
  const isolate: LocalRunOptions["isolate"] = name === "dates" || name === "states" ? "process" : "inline";
  const { counters } = await runHere(new URL(`./jobs/${name}.js`, import.meta.url), {
    inputs: name === "dates" ? "rows.csv" : "lines.txt",
    output: name,
    stateDirectory: null,
    splitSize: 3_000,
    workers: 1,
    isolate,
  });
  console.log(name, JSON.stringify(counters));
  for (const file of readdirSync(name, { recursive: true, encoding: "utf8" }).sort()) {
    if (!/part-|_SUCCESS/.test(file)) continue;
    console.log(
      file,
      createHash("sha256")
        .update(readFileSync(join(name, file)))
        .digest("hex"),
    );
  }
}
// So that a test can see that the environment has reached this process.
console.log(`# ${new Date(0).getTimezoneOffset()} ${new Intl.NumberFormat().format(1234.5)}`);
