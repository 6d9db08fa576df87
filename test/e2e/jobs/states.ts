import { collect, count, distinct, job, quantiles, set, text, topK } from "sheaf";

/** The first letters of a word, never half of one. */
const start = (word: string, letters: number): string => Array.from(word).slice(0, letters).join("");

export default job({
  input: text(),
  collections: {
    longest: { reduce: topK<string>(3, { by: (word) => [word.length, word] }), partitions: 2 },
    all: { reduce: collect<string>({ max: 1_000_000 }) },
    spread: { reduce: quantiles([0, 0.5, 0.9, 1]), partitions: 2 },
    different: { reduce: distinct({ max: 1_000_000 }) },
    letters: { reduce: set<string>() },
    lines: { reduce: count() },
  },
  map(line, emit) {
    emit.lines(line.length);
    for (const word of line.split(" ")) {
      const initial = start(word, 2);
      emit.longest(initial, word);
      emit.all(start(word, 5), word);
      emit.spread(initial, word.length * 1.25);
      emit.different(initial, word);
      emit.letters(word.length, Array.from(word).at(-1) ?? "");
    }
  },
});
