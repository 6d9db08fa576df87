import { digest } from "../harness/outputs.mjs";
// Total order of 100-byte lines against GNU sort, and against a copy of the file: the least any sort can do.
import { example, missing, sheaf, shell } from "../harness/tools.mjs";

const RECORD_BYTES = 100;

export const sort = {
  name: "sort",
  summary: "lines of 100 bytes in total order, against GNU sort",
  defaultBytes: 10_000_000 * RECORD_BYTES,
  async tables(bench) {
    const records = Math.floor(bench.bytes / RECORD_BYTES);
    const input = await bench.data.generated("terasort", { seed: bench.seed, records });
    const out = (name) => bench.data.path(`out-sort-${name}`);
    let expected;
    const contenders = [
      {
        name: `GNU sort --parallel=${bench.workers} -S 700M`,
        skipped: missing("sort"),
        command: shell(
          'LC_ALL=C sort --parallel="$1" -S 700M -T "$2" -o "$3" "$4"',
          String(bench.workers),
          bench.data.directory,
          out("gnu"),
          input,
        ),
        outputs: [out("gnu")],
        check: async () => {
          expected = await digest(out("gnu"));
          return null;
        },
      },
      {
        name: "sheaf",
        command: sheaf(example("sort.ts"), [input], out("sheaf"), { workers: bench.workers }),
        outputs: [out("sheaf")],
        check: async () => {
          const got = await digest(out("sheaf"));
          return expected === undefined || got === expected ? null : "not the bytes of GNU sort";
        },
      },
      { name: "cp", command: ["cp", input, out("cp")], outputs: [out("cp")] },
    ];
    return [
      await bench.table(`sort, ${records.toLocaleString("en")} lines of 100 bytes`, contenders, { input }),
    ];
  },
};
