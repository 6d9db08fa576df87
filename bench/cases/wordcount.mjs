import { difference, sortedLines } from "../harness/outputs.mjs";
import { MiB } from "../harness/size.mjs";
// Word count with a string map against what a user would pick instead, and against the bound of any engine.
import { baseline, example, missing, sheaf, shell } from "../harness/tools.mjs";

export const wordcount = {
  name: "wordcount",
  summary: "words by a regex in a string map, counted; English-like text",
  defaultBytes: 256 * MiB,
  async tables(bench) {
    const input = await bench.text(bench.bytes);
    const out = (name) => bench.data.path(`out-wordcount-${name}`);
    const reference = out("plain");
    const same = (path, change) => () => difference(sortedLines(path, change), sortedLines(reference));
    const threads = String(bench.workers);
    const contenders = [
      {
        name: "plain Node script",
        command: [process.execPath, baseline("wordcount-plain.mjs"), input, reference],
      },
      {
        name: "sheaf",
        command: sheaf(example("wordcount.ts"), [input], out("sheaf"), { workers: bench.workers }),
        outputs: [out("sheaf")],
        check: same(out("sheaf")),
      },
      {
        name: `worker_threads by hand, ${threads}`,
        command: [process.execPath, baseline("wordcount-threads.mjs"), input, out("threads"), threads],
        outputs: [out("threads")],
        check: same(out("threads")),
      },
      {
        name: `bound: the map alone, ${threads} threads`,
        command: [process.execPath, baseline("wordcount-bound.mjs"), input, threads],
      },
      {
        name: "mawk",
        skipped: missing("mawk"),
        once: true,
        command: shell('LC_ALL=C mawk -f "$1" "$2" > "$3"', baseline("wordcount.awk"), input, out("mawk")),
        outputs: [out("mawk")],
        // It knows ASCII letters only.
        check: bench.textPath === undefined ? same(out("mawk")) : undefined,
      },
      {
        name: "tr | sort | uniq -c",
        once: true,
        command: shell(
          'export LC_ALL=C; tr -cs A-Za-z "\\n" < "$1" | sort --parallel="$3" -S 700M | uniq -c > "$2"',
          input,
          out("uniq"),
          threads,
        ),
        outputs: [out("uniq")],
      },
    ];
    return [await bench.table(`word count, ${bench.sizeOf(input)}`, contenders, { input })];
  },
};
