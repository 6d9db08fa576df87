import { count, job, jsonl, max, mean, min, stats, sum, text } from "sheaf";

/** The first letters of a word, never half of one. */
const start = (word: string, letters: number): string => Array.from(word).slice(0, letters).join("");

/** Numbers with and without a fraction, of very different sizes. */
function measure(word: string): number {
  let h = 7;
  for (let i = 0; i < word.length; i++) h = (h * 31 + word.charCodeAt(i)) % 1_000_003;
  return (h % 3 === 0 ? h : h / 7) * 10 ** ((h % 9) - 4);
}

export default job({
  input: text(),
  map(line, emit) {
    for (const word of line.split(" ")) {
      const value = measure(word);
      emit(start(word, 8), { n: 1, total: value, average: value, deep: { low: value, high: value } });
    }
  },
  reduce: stats({ n: count(), total: sum(), average: mean(), deep: stats({ low: min(), high: max() }) }),
  output: jsonl(),
  partitions: 3,
});
