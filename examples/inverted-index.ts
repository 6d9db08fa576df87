// Which files each word is in: "word<tab>a.txt<tab>b.txt", file names sorted.
//
//   sheaf run inverted-index.ts 'books/*.txt' -o index
import { basename } from "node:path";
import { job, set, text } from "sheaf";

export default job({
  input: text(),
  map(line, emit, ctx) {
    const file = basename(ctx.path);
    for (const word of line.toLowerCase().match(/\p{L}+/gu) ?? []) emit(word, file);
  },
  reduce: set<string>(),
});
