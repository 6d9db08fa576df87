import { job, sum, text } from "sheaf";

export default job({
  input: text(),
  map(line, emit) {
    for (const word of line.match(/\p{L}+/gu) ?? []) emit(word, 1);
  },
  reduce: sum(),
  partitions: 3,
});
