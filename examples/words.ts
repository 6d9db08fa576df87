// The same counts as wordcount.ts, said declaratively: the reader's records are words, and each record is a
// key. No word ever becomes a JavaScript string, which makes it several times faster.
//
//   sheaf run words.ts book.txt -o counts
import { count, job, words } from "sheaf";

export default job({
  input: words(),
  reduce: count(),
});
