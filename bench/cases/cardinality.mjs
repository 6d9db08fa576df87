import { linesAndSum } from "../harness/outputs.mjs";
import { GiB, MiB, formatSize } from "../harness/size.mjs";
// What does not fit: many distinct keys under a small memory budget, and how cost grows with the input.
import { benchJob, sheaf } from "../harness/tools.mjs";

const LINE_BYTES = 100;
const PAIRS_PER_LINE = 2.5;
const PAIRS_PER_KEY = 2;

const sizes = (bench) => [16, 4, 1].map((part) => Math.floor(bench.bytes / part));

async function pairsInput(bench, bytes) {
  const records = 2 * Math.floor(bytes / LINE_BYTES / 2);
  const emitted = records * PAIRS_PER_LINE;
  const distinct = Math.ceil(emitted / PAIRS_PER_KEY);
  const input = await bench.data.generated("pairs", { seed: bench.seed, records, options: { distinct } });
  return { input, emitted, distinct };
}

async function contender(bench, bytes, { workers, memory, name }) {
  const { input, emitted, distinct } = await pairsInput(bench, bytes);
  const output = bench.data.path(`out-pairs-${bytes}-${workers}`);
  return {
    name,
    bytes,
    command: sheaf(benchJob("pairs.ts"), [input], output, { workers, memory }),
    outputs: [output],
    check: async () => {
      const { lines, sum } = await linesAndSum(output);
      if (lines === distinct && sum === emitted) return null;
      return `${lines} keys and a sum of ${sum} instead of ${distinct} and ${emitted}`;
    },
  };
}

export const cardinality = {
  name: "cardinality",
  summary:
    "a distinct key for every 2 pairs, 25,000 pairs a MB, 128 MiB a worker; 1/16, 1/4 and all of the size",
  defaultBytes: GiB,
  async tables(bench) {
    const contenders = [];
    for (const bytes of sizes(bench)) {
      const name = `sheaf, ${formatSize(bytes)}`;
      contenders.push(await contender(bench, bytes, { workers: bench.workers, memory: "128MiB", name }));
    }
    return [await bench.growthTable(`distinct keys under 128 MiB a worker`, contenders)];
  },
};

export const growth = {
  name: "growth",
  summary: "the same with a memory budget of a tenth of the data for all workers, 1 worker and all workers",
  defaultBytes: GiB,
  async tables(bench) {
    const tables = [];
    for (const workers of new Set([1, bench.workers])) {
      const contenders = [];
      for (const bytes of sizes(bench)) {
        const memory = Math.max(8 * MiB, Math.floor(bytes / 10 / workers));
        const name = `sheaf, ${formatSize(bytes)}, ${formatSize(memory)} a worker`;
        contenders.push(await contender(bench, bytes, { workers, memory, name }));
      }
      tables.push(await bench.growthTable(`memory a tenth of the data, ${workers} worker(s)`, contenders));
    }
    return tables;
  },
};
