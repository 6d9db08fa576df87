import { job, text } from "sheaf";

/** The first letters of a word, never half of one. */
const start = (word: string, letters: number): string => Array.from(word).slice(0, letters).join("");

export default job({
  input: text(),
  map(line, emit: (key: [string, number, string], value: number) => void, ctx) {
    for (const word of line.split(" ")) emit([start(word, 3), word.length, word], ctx.offset);
  },
  groupBy: 1,
  *reduce(key: readonly [string, number, string], offsets: Iterable<number>) {
    let last: number | undefined;
    let runs = 0;
    for (const offset of offsets) {
      if (offset !== last) runs++;
      last = offset;
    }
    yield `${key.length} ${runs}`;
    yield last;
  },
  partitions: 3,
});
