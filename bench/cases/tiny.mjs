// The least a job costs: a few words, from command to prompt, against starting Node.
import { example, sheaf } from "../harness/tools.mjs";

export const tiny = {
  name: "tiny",
  summary: "word count of a few lines, from command to prompt, against `node -e 0`",
  defaultBytes: 1000,
  async tables(bench) {
    const input = await bench.data.generated("text", { seed: bench.seed, bytes: 1000 });
    const output = bench.data.path("out-tiny");
    const contenders = [
      { name: "node -e 0", command: [process.execPath, "-e", "0"] },
      { name: "sheaf", command: sheaf(example("wordcount.ts"), [input], output), outputs: [output] },
      { name: "sheaf, words()", command: sheaf(example("words.ts"), [input], output), outputs: [output] },
    ];
    return [await bench.table("a tiny job", contenders, { input, rounds: Math.max(9, bench.rounds) })];
  },
};
