// Several results from one reading: each collection has its own keys, reduce, partitions and format.
//
//   sheaf run collections.ts letters.jsonl -o out
//
// letters.jsonl holds lines {"author": "Ada", "age": 36, "text": "..."}. out/wordcounts/part-*.tsv: how often
// each word comes up; out/byage/part-*.csv: for each age the letters and the mean number of words in them.
import { count, csv, job, jsonl, mean, stats, sum } from "sheaf";

interface Letter {
  readonly author: string;
  readonly age: number;
  readonly text: string;
}

export default job({
  input: jsonl<Letter>(),
  collections: {
    wordcounts: { reduce: sum(), partitions: 4 },
    byage: { reduce: stats({ letters: count(), words: mean() }), partitions: 2, output: csv() },
  },
  map(letter, emit) {
    const words = letter.text.toLowerCase().match(/\p{L}+/gu) ?? [];
    for (const word of words) emit.wordcounts(word, 1);
    emit.byage(letter.age, { words: words.length });
  },
});
