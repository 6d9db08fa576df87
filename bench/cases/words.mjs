import { difference, sortedLines } from "../harness/outputs.mjs";
import { MiB } from "../harness/size.mjs";
// The declarative word count, which never makes a JavaScript string, against the plain script and against C.
import { baseline, compiled, example, sheaf } from "../harness/tools.mjs";

export const words = {
  name: "words",
  summary: "words() and count(): the same result without a map, against C",
  defaultBytes: 256 * MiB,
  async tables(bench) {
    const input = await bench.text(bench.bytes);
    const out = (name) => bench.data.path(`out-words-${name}`);
    const c = compiled(bench.data, "wordcount");
    const same = (path) => () => difference(sortedLines(path), sortedLines(out("plain")));
    const contenders = [
      {
        name: "plain Node script",
        once: true,
        command: [process.execPath, baseline("wordcount-plain.mjs"), input, out("plain")],
      },
      {
        name: "sheaf",
        command: sheaf(example("words.ts"), [input], out("sheaf"), { workers: bench.workers }),
        outputs: [out("sheaf")],
        check: same(out("sheaf")),
      },
      {
        name: `C, ${bench.workers} threads`,
        skipped: c.skipped,
        command: [c.path, input, out("c"), String(bench.workers)],
        outputs: [out("c")],
        check: same(out("c")),
      },
    ];
    return [await bench.table(`words() and count(), ${bench.sizeOf(input)}`, contenders, { input })];
  },
};
