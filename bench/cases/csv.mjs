import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { sortedLines } from "../harness/outputs.mjs";
import { baseline, benchJob, missing, sheaf } from "../harness/tools.mjs";

/** Bytes of a row on average; sizes are turned into rows with it. */
const ROW_BYTES = 59;

export const csv = {
  name: "csv",
  summary: "orders and turnover per city of a csv with quoted fields",
  defaultBytes: 5_000_000 * ROW_BYTES,
  async tables(bench) {
    const records = Math.floor(bench.bytes / ROW_BYTES);
    const input = await bench.data.generated("csv", { seed: bench.seed, records });
    const out = (name) => bench.data.path(`out-csv-${name}`);
    const contender = (name, command, skipped) => ({
      name,
      ...(skipped !== undefined && { skipped }),
      command,
      outputs: [out(name)],
      check: () => compare(out(name), out("sheaf")),
    });
    const script = (library) =>
      contender(
        library,
        [process.execPath, baseline("csv-script.mjs"), library, input, out(library)],
        noLibrary(input, library),
      );
    const duckdb = [
      "python3",
      baseline("csv-duckdb.py"),
      String(bench.workers),
      input,
      out("DuckDB from Python"),
    ];
    const contenders = [
      contender("sheaf", sheaf(benchJob("city-sums.ts"), [input], out("sheaf"), { workers: bench.workers })),
      script("papaparse"),
      { ...script("csv-parse"), once: true },
      contender("DuckDB from Python", duckdb, noDuckdb()),
    ];
    return [await bench.table(`cities, ${records.toLocaleString("en")} rows`, contenders, { input })];
  },
};

function noLibrary(input, library) {
  try {
    createRequire(input).resolve(library);
    return undefined;
  } catch {
    return `no ${library} beside ${input}: npm install --prefix DIR ${library}`;
  }
}

function noDuckdb() {
  if (missing("python3") !== undefined) return missing("python3");
  return spawnSync("python3", ["-c", "import duckdb"]).status === 0
    ? undefined
    : "no duckdb: pip install duckdb";
}

/** Sums are compared with a tolerance: their last digits depend on the order of adding. */
function compare(path, reference) {
  const parse = (line) => [
    line.split("\t")[0],
    (line.slice(line.indexOf("\t")).match(/-?\d+(\.\d+)?/g) ?? []).map(Number),
  ];
  const expected = new Map(sortedLines(reference).map(parse));
  const got = new Map(sortedLines(path).map(parse));
  if (got.size !== expected.size) return `${got.size} cities instead of ${expected.size}`;
  for (const [city, numbers] of expected) {
    const other = got.get(city) ?? [];
    const isClose = numbers.every((number, i) => Math.abs(number - other[i]) < 1e-6 * Math.abs(number));
    if (!isClose) return `${city}: ${other} instead of ${numbers}`;
  }
  return null;
}
