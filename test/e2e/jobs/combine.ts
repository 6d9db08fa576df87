import { job, text } from "sheaf";

/** The first letters of a word, never half of one. */
const start = (word: string, letters: number): string => Array.from(word).slice(0, letters).join("");

interface Place {
  readonly n: number;
  readonly first: string;
}

/** The larger count first, then the smaller text: any order of adding gives the same. */
function add(values: Iterable<Place>): Place {
  let n = 0;
  let first: string | undefined;
  for (const value of values) {
    n += value.n;
    if (first === undefined || value.first < first) first = value.first;
  }
  return { n, first: first ?? "" };
}

export default job({
  input: text(),
  map(line, emit: (key: string, value: Place) => void) {
    for (const word of line.split(" ")) emit(start(word, 6), { n: 1, first: word });
  },
  combine: (_: string, values: Iterable<Place>) => add(values),
  reduce: (_: string, values: Iterable<Place>) => add(values),
  partitions: 3,
});
