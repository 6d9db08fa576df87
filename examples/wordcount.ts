// How often every word comes up: the map in plain JavaScript, one call per line.
//
//   sheaf run wordcount.ts book.txt -o counts
//
// counts/part-*.tsv then hold lines "word<tab>count", sorted by word within each part.
import { job, sum, text } from "sheaf";

export default job({
  input: text(),
  map(line, emit) {
    for (const word of line.match(/\p{L}+/gu) ?? []) emit(word, 1);
  },
  reduce: sum(),
});
