import { sortedLines } from "../harness/outputs.mjs";
// The One Billion Row Challenge's question on fewer rows: min, mean and max per station.
import { baseline, benchJob, example, missing, sheaf, shell } from "../harness/tools.mjs";

/** Bytes of a line on average; sizes are turned into rows with it. */
const ROW_BYTES = 14;

export const measurements = {
  name: "measurements",
  summary: "min, mean and max per weather station (one-billion-row lines)",
  defaultBytes: 10_000_000 * ROW_BYTES,
  async tables(bench) {
    const records = Math.floor(bench.bytes / ROW_BYTES);
    const input = await bench.data.generated("measurements", { seed: bench.seed, records });
    const out = (name) => bench.data.path(`out-measurements-${name}`);
    const check = (path) => () => compare(path, out("plain"));
    const run = (job, name) => ({
      command: sheaf(job, [input], out(name), { workers: bench.workers }),
      outputs: [out(name)],
      check: check(out(name)),
    });
    const contenders = [
      {
        name: "plain Node script",
        command: [process.execPath, baseline("measurements-plain.mjs"), input, out("plain")],
      },
      { name: "sheaf", ...run(example("one-billion-row.ts"), "columns") },
      { name: "sheaf, string map", ...run(benchJob("measurements-map.ts"), "map") },
      {
        name: "mawk",
        skipped: missing("mawk"),
        once: true,
        command: shell('LC_ALL=C mawk -f "$1" "$2" > "$3"', baseline("measurements.awk"), input, out("mawk")),
        outputs: [out("mawk")],
        check: check(out("mawk")),
      },
    ];
    return [await bench.table(`stations, ${records.toLocaleString("en")} rows`, contenders, { input })];
  },
};

/** Numbers are compared with a tolerance: the mean's last digits depend on the order of adding. */
function compare(path, reference) {
  const parse = (line) => {
    const [station, ...rest] = line.split("\t");
    const numbers = rest.join(" ").match(/-?\d+(\.\d+)?(e-?\d+)?/g) ?? [];
    return [station, numbers.map(Number)];
  };
  const expected = new Map(sortedLines(reference).map(parse));
  const got = new Map(sortedLines(path).map(parse));
  if (got.size !== expected.size) return `${got.size} stations instead of ${expected.size}`;
  for (const [station, numbers] of expected) {
    const other = got.get(station) ?? [];
    const close = numbers.every((number, i) => Math.abs(number - other[i]) < 1e-6);
    if (!close) return `${station}: ${other} instead of ${numbers}`;
  }
  return null;
}
