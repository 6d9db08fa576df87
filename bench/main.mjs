// Speed and memory against real alternatives, as ratios measured in one run.
import { existsSync } from "node:fs";
import { availableParallelism, cpus, tmpdir, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { cardinality, growth } from "./cases/cardinality.mjs";
import { csv } from "./cases/csv.mjs";
import { measurements } from "./cases/measurements.mjs";
import { sort } from "./cases/sort.mjs";
import { tiny } from "./cases/tiny.mjs";
import { wordcount } from "./cases/wordcount.mjs";
import { words } from "./cases/words.mjs";
import { Bench } from "./harness/bench.mjs";
import { Data } from "./harness/data.mjs";
import { markdownTable, textTable } from "./harness/report.mjs";
import { formatSize, parseSize } from "./harness/size.mjs";

const cases = [wordcount, words, sort, measurements, csv, cardinality, growth, tiny];

const help = `usage: npm run bench -- [CASE...] [options]

Cases (all of them when none is named):
${cases.map((one) => `  ${one.name.padEnd(14)}${one.summary}; ${formatSize(one.defaultBytes)}`).join("\n")}

Options:
  --size SIZE     input size instead of the case's own ("cardinality --size 4GiB" is the full measure)
  --rounds N      rounds of which the median counts (3; rivals marked slow run once)
  --workers N     workers and threads of every contender (all cores: ${availableParallelism()})
  --text FILE     text to count words of, repeated to the size, instead of generated text
  --data DIR      where inputs are kept between runs (${join(tmpdir(), "sheaf-bench")})
  --seed N        seed of generated data (1)
  --json          results as JSON
  --markdown      results as markdown
`;

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      size: { type: "string" },
      rounds: { type: "string", default: "3" },
      workers: { type: "string", default: String(availableParallelism()) },
      text: { type: "string" },
      data: { type: "string", default: join(tmpdir(), "sheaf-bench") },
      seed: { type: "string", default: "1" },
      json: { type: "boolean", default: false },
      markdown: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  for (const name of positionals) {
    if (!cases.some((one) => one.name === name)) throw new Error(`no case "${name}"; there are: ${names()}`);
  }
  for (const name of ["rounds", "workers"]) {
    if (!(Number.isInteger(Number(values[name])) && Number(values[name]) > 0))
      throw new Error(`--${name} wants 1 or more`);
  }
  return {
    values,
    chosen: positionals.length === 0 ? cases : cases.filter((one) => positionals.includes(one.name)),
  };
}

const names = () => cases.map((one) => one.name).join(", ");

async function main() {
  const { values, chosen } = readArguments();
  if (values.help) return process.stdout.write(help);
  if (!existsSync(new URL("../dist/cli/main.js", import.meta.url)))
    throw new Error("no dist/: run `npm run build` first");
  const plain = !values.json && !values.markdown;
  const log = (line) => process.stderr.write(`${line}\n`);
  const data = new Data(resolve(values.data), log);
  const machine = {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    memory: formatSize(totalmem()),
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
  };
  const header = Object.values(machine)
    .join(", ")
    .replace(`, ${machine.cores},`, `, ${machine.cores} cores,`);
  if (!values.json) process.stdout.write(`${header}\n\n`);
  const tables = [];
  for (const one of chosen) {
    const bench = new Bench({
      data,
      log,
      bytes: values.size === undefined ? one.defaultBytes : parseSize(values.size, "--size"),
      rounds: Number(values.rounds),
      workers: Number(values.workers),
      seed: Number(values.seed),
      textPath: values.text === undefined ? undefined : resolve(values.text),
    });
    for (const table of await one.tables(bench)) {
      tables.push({ case: one.name, ...table });
      if (!values.json) process.stdout.write(`${plain ? textTable(table) : markdownTable(table)}\n`);
    }
  }
  if (values.json) process.stdout.write(`${JSON.stringify({ machine, tables }, null, 2)}\n`);
  if (tables.some((table) => table.rows.some((row) => row.wrong !== null))) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  process.stderr.write(`bench: ${error.message}\n`);
  process.exitCode = 2;
}
