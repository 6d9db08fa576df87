import { csv, job, sum, text } from "sheaf";

/** The first letters of a word, never half of one. */
const start = (word: string, letters: number): string => Array.from(word).slice(0, letters).join("");

export default job({
  input: text(),
  collections: {
    words: { reduce: sum(), partitions: 2 },
    byLength: {
      reduce: (_: number, words: Iterable<string>) => new Set(words).size,
      output: csv(),
      partition: (length: number, partitions: number) => length % partitions,
      partitions: 2,
    },
    sorted: { order: "total", partitions: 3 },
  },
  map(line, emit) {
    for (const word of line.split(" ")) {
      emit.words(word, 1);
      emit.byLength(word.length, word);
      (emit.sorted as (key: readonly [number, string], value: string) => void)(
        [word.length, word],
        start(word, 3),
      );
    }
  },
});
